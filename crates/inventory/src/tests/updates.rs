//! Updates take and give exactly, whoever does what at the same time.

use domain::{ContainerId, Error, Resources};
use futures::future::join_all;
use sqlx::PgPool;

use super::{MIB, World, raw};
use crate::{Claim, Container, Update};

fn resources(container: &Container, cpu_millis: i64, memory_bytes: i64) -> Resources {
    Resources { cpu_millis, memory_bytes, ..container.spec.resources.clone() }
}

/// What the frontend does, with a host that answers at once.
async fn update(world: &World, name: &str, cpu_millis: i64, memory_bytes: i64) -> domain::Result<bool> {
    let view = world.view();
    let container = view.container(name).await?;
    let wanted = resources(&container, cpu_millis, memory_bytes);
    let Some(claim) = view.begin_update(&container.id, &container.docker_host_config, &wanted).await? else {
        return Ok(false);
    };
    let mut spec = container.spec.clone();
    spec.resources = wanted.clone();
    let shown = format!(r#"{{"NetworkMode":"bridge","Memory":{memory_bytes},"NanoCpus":{cpu_millis}000000}}"#);
    view.finish_update(&claim, &wanted, Some(&Update { spec, docker_host_config: raw(&shown) })).await?;
    Ok(true)
}

async fn used(world: &World) -> (i64, i64) {
    let usage = world.view().usage().await.unwrap();
    (usage.memory_used_bytes / MIB, usage.cpu_used_millis)
}

async fn free(world: &World) -> (i64, i64) {
    let host = world.inventory.host(world.hosts[0]).await.unwrap();
    (host.memory_bytes_free / MIB, host.cpu_millis_free)
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_update_changes_row_host_and_quota_together(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.place("web").await;
    let revision = world.view().revision().await.unwrap();
    assert!(update(&world, "web", 500, 300 * MIB).await.unwrap());
    assert_eq!((used(&world).await, free(&world).await), ((300, 500), (3796, 3500)));
    assert!(world.view().revision().await.unwrap() > revision);
    let web = world.view().container("web").await.unwrap();
    assert_eq!(web.spec.resources.memory_bytes, 300 * MIB);
    assert!(web.docker_host_config.get().contains("314572800"));
    assert!(update(&world, "web", 50, 10 * MIB).await.unwrap());
    assert_eq!((used(&world).await, free(&world).await), ((10, 50), (4086, 3950)));
    world.view().forget(&web.id).await.unwrap();
    assert_eq!((used(&world).await, free(&world).await), ((0, 0), (4096, 4000)));
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_too_much_is_refused_by_its_name_and_changes_nothing(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.place("web").await;
    let error = update(&world, "web", 100, 5000 * MIB).await.unwrap_err();
    assert!(matches!(&error, Error::NoCapacity(text) if text.contains("4.88GiB of memory")), "{error}");
    assert!(matches!(update(&world, "web", 5000, 100 * MIB).await, Err(Error::NoCapacity(_))));
    world.inventory.set_quota(world.tenant.id, Some(200 * MIB), Some(1000), None).await.unwrap();
    let error = update(&world, "web", 100, 250 * MIB).await.unwrap_err();
    assert_eq!(error.to_string(), "quota exceeded: memory: 150MiB more asked for, 100MiB of 200MiB left (quota)");
    assert!(matches!(update(&world, "web", 2000, 100 * MIB).await, Err(Error::Forbidden(_))));
    assert_eq!((used(&world).await, free(&world).await), ((100, 100), (3996, 3900)));
    // Below what it has, a tenant over its quota may always go.
    world.inventory.set_quota(world.tenant.id, Some(10 * MIB), Some(10), None).await.unwrap();
    assert!(update(&world, "web", 50, 50 * MIB).await.unwrap());
    let missing = world.view().begin_update(&ContainerId::random(), &raw("{}"), &spare(&world).await).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

async fn spare(world: &World) -> Resources {
    world.view().container("web").await.unwrap().spec.resources
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_failed_host_gives_back_what_was_taken(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.place("web").await;
    let (view, web) = (world.view(), world.view().container("web").await.unwrap());
    let claim: Claim =
        view.begin_update(&web.id, &web.docker_host_config, &resources(&web, 1000, 900 * MIB)).await.unwrap().unwrap();
    assert_eq!((used(&world).await, free(&world).await), ((900, 1000), (3196, 3000)));
    // Meanwhile nobody else may.
    assert!(view.begin_update(&web.id, &web.docker_host_config, &web.spec.resources).await.unwrap().is_none());
    view.finish_update(&claim, &web.spec.resources, None).await.unwrap();
    assert_eq!((used(&world).await, free(&world).await), ((100, 100), (3996, 3900)));
    let after = view.container("web").await.unwrap();
    assert_eq!((after.spec, after.docker_host_config.get()), (web.spec.clone(), web.docker_host_config.get()));
    assert!(view.finish_update(&claim, &web.spec.resources, None).await.is_err(), "once");
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_has_read_an_older_version_reads_again(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.place("web").await;
    let old = world.view().container("web").await.unwrap();
    assert!(update(&world, "web", 200, 200 * MIB).await.unwrap());
    let stale = world.view().begin_update(&old.id, &old.docker_host_config, &old.spec.resources).await;
    assert!(stale.unwrap().is_none());
}

#[sqlx::test(migrations = "../../migrations")]
async fn updates_at_once_exceed_neither_quota_nor_host(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    for name in &names {
        world.place(name).await;
    }
    // 2000 MiB are used; 20 more than fit want 400 MiB each.
    world.inventory.set_quota(world.tenant.id, Some(3500 * MIB), None, None).await.unwrap();
    let outcomes = join_all(names.iter().map(|name| update(&world, name, 100, 400 * MIB))).await;
    let grown = outcomes.iter().filter(|o| matches!(o, Ok(true))).count();
    assert_eq!(grown, 5, "{outcomes:?}");
    assert_eq!((used(&world).await.0, free(&world).await.0), (3500, 596));
    // And without a quota, the host's own bound.
    world.inventory.set_quota(world.tenant.id, None, None, None).await.unwrap();
    let outcomes = join_all(names.iter().map(|name| update(&world, name, 100, 500 * MIB))).await;
    let grown = i64::try_from(outcomes.iter().filter(|o| matches!(o, Ok(true))).count()).unwrap();
    let (memory, _) = free(&world).await;
    assert!(grown > 0 && memory >= 0, "{grown} {memory}");
    assert_eq!(used(&world).await.0 + memory, 4096);
}
