use domain::{Error, Status};
use futures::future::join_all;
use sqlx::PgPool;

use super::{MIB, POOL, World, observed};

#[sqlx::test(migrations = "../../migrations")]
async fn look_up_is_by_id_then_name_then_prefix(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    let web = world.place("web").await;
    let view = world.view();
    for reference in [web.as_str(), "web", "/web", web.short()] {
        assert_eq!(view.container(reference).await.unwrap().id, web, "{reference}");
    }
    // A name that is the beginning of another's id wins; one that *is* another's id loses.
    let decoy = world.place(web.short()).await;
    assert_eq!(view.container(web.short()).await.unwrap().id, decoy);
    assert_eq!(view.container(web.as_str()).await.unwrap().id, web);
    let hexed = "ab".repeat(32);
    let named = world.place(&hexed).await;
    assert_eq!(view.container(&hexed).await.unwrap().id, named);
    for absent in ["nobody", "", "/", "we", "zz", "%"] {
        let error = view.container(absent).await.unwrap_err();
        assert_eq!(error.to_string(), format!("No such container: {absent}"));
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_ambiguous_prefix_is_refused(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let mut ids = vec![];
    for (n, tail) in ["0", "1"].iter().enumerate() {
        let mut new = world.new_container(&format!("c{n}"));
        new.id = format!("{}{tail}", "a".repeat(63)).parse().unwrap();
        world.inventory.reserve(&new, world.hosts[0]).await.unwrap();
        ids.push(new.id);
    }
    let error = world.view().container("aaa").await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)));
    assert_eq!(error.to_string(), "Multiple IDs found with provided prefix: aaa");
    assert_eq!(world.view().container(ids[1].as_str()).await.unwrap().id, ids[1]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_foreign_container_looks_like_a_missing_one(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let web = world.place("web").await;
    let other = world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap();
    let stranger = world.inventory.tenant(other.id);
    for reference in [web.as_str(), "web", web.short()] {
        let error = stranger.container(reference).await.unwrap_err();
        assert_eq!(error.to_string(), format!("No such container: {reference}"));
    }
    assert!(!stranger.forget(&web).await.unwrap());
    assert!(stranger.rename(&web, &"mine".parse().unwrap()).await.is_err());
    // The tenant in an observation is the view's own, whatever it says.
    stranger.observe(&observed(world.tenant.id, &web, 9, Status::Dead)).await.unwrap();
    assert!(stranger.containers().await.unwrap().is_empty());
    assert_eq!(world.view().container("web").await.unwrap().observation.generation, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_newest_generation_wins_in_any_order(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, id) = (world.view(), world.place("web").await);
    view.observe(&observed(view.id(), &id, 2, Status::Running)).await.unwrap();
    let revision = view.revision().await.unwrap();
    view.observe(&observed(view.id(), &id, 1, Status::Created)).await.unwrap();
    view.observe(&observed(view.id(), &id, 2, Status::Paused)).await.unwrap();
    assert_eq!(view.revision().await.unwrap(), revision, "a stale observation changes nothing");
    assert_eq!(view.container("web").await.unwrap().observation.status, Status::Running);
    let racing: Vec<_> = (3..40).map(|g| observed(view.id(), &id, g, Status::Exited)).collect();
    join_all(racing.iter().rev().map(|o| view.observe(o))).await;
    let found = view.container("web").await.unwrap().observation;
    assert_eq!((found.generation, found.status), (39, Status::Exited));
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_observation_comes_back_as_it_was_stored(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, id) = (world.view(), world.place("web").await);
    let at = chrono::DateTime::from_timestamp(1_700_000_000, 123_456_000);
    let seen = domain::Observation {
        exit_code: 137,
        oom_killed: true,
        error: "no space".into(),
        started_at: at,
        finished_at: at,
        restart_count: 3,
        health: Some(domain::Health { status: domain::HealthStatus::Unhealthy, failing_streak: 2, log: vec![] }),
        size_rw_bytes: Some(4096),
        happenings: Vec::new(),
        ..observed(view.id(), &id, 5, Status::Restarting)
    };
    view.observe(&seen).await.unwrap();
    assert_eq!(view.container("web").await.unwrap().observation, seen);
    assert_eq!(view.containers().await.unwrap()[0].observation, seen);
    // Who has not measured does not know better.
    view.observe(&observed(view.id(), &id, 6, Status::Exited)).await.unwrap();
    assert_eq!(view.container("web").await.unwrap().observation.size_rw_bytes, Some(4096));
}

#[sqlx::test(migrations = "../../migrations")]
async fn forgetting_gives_back_once(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, id) = (world.view(), world.place("web").await);
    let kept = world.place("kept").await;
    let outcomes = join_all((0..10).map(|_| view.forget(&id))).await;
    assert_eq!(outcomes.into_iter().filter(|o| *o.as_ref().unwrap()).count(), 1);
    let usage = view.usage().await.unwrap();
    assert_eq!((usage.containers, usage.memory_used_bytes, usage.cpu_used_millis), (1, 100 * MIB, 100));
    let host = world.inventory.host(world.hosts[0]).await.unwrap();
    assert_eq!((host.containers, host.memory_bytes_free), (1, 3996 * MIB));
    // A `removed` observation does the same.
    view.observe(&domain::Observation { removed: true, ..observed(view.id(), &kept, 1, Status::Removing) })
        .await
        .unwrap();
    assert_eq!(view.usage().await.unwrap().containers, 0);
    view.observe(&observed(view.id(), &kept, 7, Status::Running)).await.unwrap();
    assert!(view.container("kept").await.is_err(), "a late observation brings nothing back");
    world.place("web").await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_list_is_newest_first_and_counted(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, old) = (world.view(), world.place("old").await);
    let new = world.place("new").await;
    view.observe(&observed(view.id(), &old, 1, Status::Running)).await.unwrap();
    view.observe(&observed(view.id(), &new, 1, Status::Paused)).await.unwrap();
    world.place("newest").await;
    let names: Vec<_> = view.containers().await.unwrap().into_iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names, ["newest", "new", "old"]);
    let usage = view.usage().await.unwrap();
    assert_eq!((usage.containers, usage.running, usage.paused, usage.stopped), (3, 1, 1, 1));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_rename_keeps_names_unique(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, web) = (world.view(), world.place("web").await);
    let db = world.place("db").await;
    let error = view.rename(&web, &"db".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("The container name \"/db\" is already in use by container \"{db}\"")));
    view.rename(&web, &"front".parse().unwrap()).await.unwrap();
    assert_eq!(view.container("front").await.unwrap().id, web);
    assert!(view.container("web").await.is_err());
    assert!(view.rename(&domain::ContainerId::random(), &"xx".parse().unwrap()).await.is_err());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_host_needs_the_blobs_of_its_own_containers_only(pool: PgPool) {
    let world = World::new(pool, 2).await;
    let id = world.place("web").await;
    let (tenant, layer) = (world.tenant.id, super::layer(2).digest);
    let needs = |host, tenant, digest: domain::Digest| {
        let (inventory, id) = (world.inventory.clone(), id.clone());
        async move { inventory.host_needs_blob(host, tenant, &id, &digest).await.unwrap() }
    };
    assert!(needs(world.hosts[0], tenant, layer.clone()).await);
    assert!(!needs(world.hosts[1], tenant, layer.clone()).await);
    assert!(!needs(world.hosts[0], domain::TenantId::random(), layer).await);
    assert!(!needs(world.hosts[0], tenant, super::layer(9).digest).await);
}
