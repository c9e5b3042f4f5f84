use domain::{Error, HostId};
use sqlx::PgPool;

use super::{World, facts};

#[sqlx::test(migrations = "../../migrations")]
async fn hosts_register_and_are_seen(pool: PgPool) {
    let world = World::new(pool.clone(), 2).await;
    assert_eq!(world.inventory.hosts().await.unwrap().len(), 2);
    let error = world.inventory.register_host(HostId::random(), "h0", &facts(1, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)));
    sqlx::query("UPDATE hosts SET seen_at = now() - interval '1 minute'").execute(&pool).await.unwrap();
    assert!(world.inventory.host_seen(world.hosts[0]).await.unwrap());
    assert!(!world.inventory.host_seen(HostId::random()).await.unwrap());
    let now = chrono::Utc::now();
    assert!(world.inventory.host(world.hosts[0]).await.unwrap().is_reachable(now));
    assert!(!world.inventory.host(world.hosts[1]).await.unwrap().is_reachable(now));
    assert!(matches!(world.inventory.host(HostId::random()).await.unwrap_err(), Error::NotFound { .. }));
}

#[sqlx::test(migrations = "../../migrations")]
async fn reads_get_over_broken_connections(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    let id = world.place("web").await;
    futures::future::join_all((0..10).map(|_| world.inventory.hosts())).await;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'wharfinger'",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(world.view().container("web").await.unwrap().id, id);
    assert!(world.view().forget(&id).await.unwrap());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_database_that_is_away_is_unavailable_within_seconds(pool: PgPool) {
    drop(pool);
    let started = std::time::Instant::now();
    let error = crate::Inventory::connect("postgres://nobody@localhost:1/nothing?host=/nowhere", 1).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(started.elapsed().as_secs() < 4 && !error.to_string().contains("nowhere"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_read_only_database_is_refused(pool: PgPool) {
    let options = (*pool.connect_options()).clone().options([("default_transaction_read_only", "on")]);
    assert!(matches!(crate::Inventory::open(options, 1).await.unwrap_err(), Error::Unavailable { .. }));
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_one_works_alone(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let again = world.inventory.clone();
    let mut second = None;
    let first =
        world.inventory.alone("reaper", async { second = Some(again.alone("reaper", async {}).await.unwrap()) });
    assert!(first.await.unwrap());
    assert_eq!(second, Some(false));
    assert!(world.inventory.alone("reaper", async {}).await.unwrap());
}
