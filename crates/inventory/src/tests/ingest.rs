use std::time::Duration;

use domain::{ContainerId, ExecId, ExecObservation, Observation, Status};
use futures::future::join_all;
use sqlx::PgPool;

use super::{POOL, World, new_container, observed};

#[sqlx::test(migrations = "../../migrations")]
async fn a_report_stores_what_is_newer_and_names_what_is_unknown(pool: PgPool) {
    let world = World::new(pool, 2).await;
    let (view, web, db) = (world.view(), world.place("web").await, world.place("db").await);
    view.observe(&observed(view.id(), &db, 5, Status::Running)).await.unwrap();
    let stranger = ContainerId::random();
    let gone = ContainerId::random();
    let report = [
        observed(view.id(), &web, 2, Status::Exited),
        observed(view.id(), &web, 1, Status::Running),
        observed(view.id(), &db, 4, Status::Exited),
        observed(view.id(), &stranger, 1, Status::Running),
        Observation { removed: true, ..observed(view.id(), &gone, 1, Status::Removing) },
    ];
    let forget = world.inventory.ingest(world.hosts[0], &report, &[], false).await.unwrap();
    assert_eq!(forget, [(view.id(), stranger)]);
    assert_eq!(view.container("web").await.unwrap().observation.status, Status::Exited);
    assert_eq!(view.container("db").await.unwrap().observation.generation, 5);
    // Another host has no say, and is told that the container is not its own.
    let lie = [observed(view.id(), &web, 9, Status::Dead)];
    let forget = world.inventory.ingest(world.hosts[1], &lie, &[], false).await.unwrap();
    assert_eq!(forget, [(view.id(), web.clone())]);
    assert_eq!(view.container("web").await.unwrap().observation.generation, 2);
    let end = [Observation { removed: true, ..observed(view.id(), &web, 3, Status::Removing) }];
    assert!(world.inventory.ingest(world.hosts[0], &end, &[], false).await.unwrap().is_empty());
    assert!(view.container("web").await.is_err());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_report_brings_the_ends_of_execs(pool: PgPool) {
    let world = World::new(pool, 2).await;
    let (view, web, exec) = (world.view(), world.place("web").await, ExecId::random());
    let spec = serde_json::from_value(serde_json::json!({
        "args": ["true"], "env": [], "cwd": "", "user": "", "tty": false, "attach_stdin": false, "attach_stdout": true,
        "attach_stderr": true, "detach_keys": "", "console_height": 0, "console_width": 0
    }))
    .unwrap();
    view.add_exec(&web, &exec, &spec).await.unwrap();
    let end = [ExecObservation {
        tenant: view.id(),
        container: web,
        exec: exec.clone(),
        running: false,
        pid: 0,
        exit_code: 4,
    }];
    world.inventory.ingest(world.hosts[1], &[], &end, false).await.unwrap();
    assert_eq!(view.exec(&exec).await.unwrap().exit_code, None);
    world.inventory.ingest(world.hosts[0], &[], &end, false).await.unwrap();
    assert_eq!(view.exec(&exec).await.unwrap().exit_code, Some(4));
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_a_host_lacks_twice_is_unfinished_or_lost(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    let (view, half, had) = (world.view(), world.place("half").await, world.place("had").await);
    view.observe(&observed(view.id(), &had, 1, Status::Running)).await.unwrap();
    let minute = Duration::from_secs(60);
    let age = || async {
        sqlx::query("UPDATE containers SET missing_since = missing_since - interval '61 seconds'")
            .execute(&pool)
            .await
            .unwrap();
    };
    world.inventory.ingest(world.hosts[0], &[], &[], true).await.unwrap();
    age().await;

    let unfinished = world.inventory.unfinished(minute).await.unwrap();
    assert_eq!(unfinished.iter().map(|u| &u.container).collect::<Vec<_>>(), [&half]);
    let lost = world.inventory.lost(minute).await.unwrap();
    assert_eq!(lost.iter().map(|l| (&l.container, l.auto_remove)).collect::<Vec<_>>(), [(&had, false)]);
    // It is there after all.
    let seen = [observed(view.id(), &had, 1, Status::Running), observed(view.id(), &half, 0, Status::Created)];
    world.inventory.ingest(world.hosts[0], &seen, &[], true).await.unwrap();
    assert!(world.inventory.unfinished(minute).await.unwrap().is_empty());
    assert!(world.inventory.lost(minute).await.unwrap().is_empty());
    world.inventory.bury(view.id(), &had).await.unwrap();
    assert_eq!(view.container("had").await.unwrap().observation.status, Status::Running);
    assert!(!world.inventory.forget_missing(view.id(), &half).await.unwrap());
    // And now it is not.
    world.inventory.ingest(world.hosts[0], &[], &[], true).await.unwrap();
    age().await;
    assert!(world.inventory.forget_missing(view.id(), &half).await.unwrap());
    world.inventory.bury(view.id(), &had).await.unwrap();
    assert_eq!(view.container("had").await.unwrap().observation.status, Status::Dead);
    assert!(world.inventory.lost(minute).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn reports_of_many_tenants_and_their_verbs_never_block_each_other(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    let mut all = Vec::new();
    for n in 0..4 {
        let tenant = world.inventory.create_tenant(&format!("t{n}"), POOL.parse().unwrap()).await.unwrap();
        let new = new_container(tenant.id, "web");
        world.inventory.reserve(&new, world.hosts[0]).await.unwrap();
        all.push((tenant.id, new.id));
    }
    let work = (1..=40u64).map(|generation| {
        let (world, mut report) =
            (&world, all.iter().map(|(t, c)| observed(*t, c, generation, Status::Running)).collect::<Vec<_>>());
        async move {
            report.rotate_left(usize::try_from(generation % 4).unwrap());
            world.inventory.tenant(report[0].tenant).observe(&report[0]).await.unwrap();
            world.inventory.ingest(world.hosts[0], &report, &[], generation % 2 == 0).await.unwrap();
        }
    });
    join_all(work).await;
    for (tenant, container) in &all {
        let found = world.inventory.tenant(*tenant).container(container.as_str()).await.unwrap();
        assert_eq!(found.observation.generation, 40);
    }
    let deadlocks: i64 =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
}
