//! The collector beside pulls, loads and removals.

use std::time::Duration;

use super::{World, noise, registry::Registry, tar_of};

/// Other tests share the inventory; what a collector with a short grace takes from them is only rows of blobs that nobody
/// refers to, never anything in their stores.
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(3600);

async fn collect(world: &World, grace: Duration) {
    world.images.collect(grace, LONG).await.expect("collect");
}

#[tokio::test]
async fn a_blob_that_nobody_refers_to_leaves_the_store() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let seed = uuid::Uuid::new_v4().to_string();
    let pushed = registry.push("app", "v1", &[tar_of("a", &noise(&seed, 5000))]).await;
    let name = format!("{}/app:v1", registry.host);
    let (one, two) = (world.tenant().await, world.tenant().await);
    for tenant in [&one, &two] {
        world.pull(tenant, &name).await.expect("pull");
    }
    let blob = &pushed.layers[0];
    one.remove_image(&pushed.id).await.expect("remove");
    tokio::time::sleep(SHORT).await;
    collect(&world, SHORT).await;
    assert!(world.store.has(blob).await.expect("has"), "the other tenant has it");
    two.remove_image(&pushed.id).await.expect("remove");
    collect(&world, LONG).await;
    assert!(world.store.has(blob).await.expect("has"), "the grace");
    tokio::time::sleep(SHORT).await;
    collect(&world, SHORT).await;
    assert!(!world.store.has(blob).await.expect("has"));
    assert!(!world.store.came_from(blob, &registry.host).await.expect("origin"), "nor what was known of it");
    world.pull(&one, &name).await.expect("again");
    assert!(world.store.has(blob).await.expect("has"));
}

#[tokio::test]
async fn a_stray_of_a_crash_is_found_and_collected() {
    let world = World::new(&[], &[]).await;
    let bytes = noise(&uuid::Uuid::new_v4().to_string(), 3000);
    let digest = domain::Digest::of(&bytes);
    // In the store and in no row: as if the row had gone in between.
    let root = world.store.spool().parent().expect("root").to_owned();
    let unclaimed = crate::BlobStore::open(&root).expect("store");
    let stream = futures::stream::iter([Ok(bytes::Bytes::from(bytes.clone()))]);
    unclaimed.put_stream(&digest, bytes.len() as u64, stream).await.expect("put");
    collect(&world, SHORT).await;
    assert!(world.store.has(&digest).await.expect("has"), "nobody has looked at the store");
    world.images.find_strays().await.expect("look");
    collect(&world, LONG).await;
    assert!(world.store.has(&digest).await.expect("has"), "it has the grace of any blob");
    tokio::time::sleep(SHORT).await;
    collect(&world, SHORT).await;
    assert!(!world.store.has(&digest).await.expect("has"));
}

/// Whoever was told that its image is there has all of it, however busy the collector is. The pauses are about as long as
/// the grace, so that pulls begin just when their layers are being collected.
#[tokio::test]
async fn pulls_and_removals_race_with_the_collector() {
    const GRACE: Duration = Duration::from_secs(2);
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let seed = uuid::Uuid::new_v4().to_string();
    let tars: Vec<_> = (0..3).map(|n| tar_of(&format!("f{n}"), &noise(&format!("{seed}{n}"), 4000))).collect();
    let pushed = registry.push("app", "v1", &tars).await;
    let name = format!("{}/app:v1", registry.host);
    let done = tokio_util::sync::CancellationToken::new();
    let collector = async {
        while !done.is_cancelled() {
            collect(&world, GRACE).await;
        }
    };
    let tenants = async {
        let one = async |lag: u64| {
            let tenant = world.tenant().await;
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(lag)).await;
                world.pull(&tenant, &name).await.expect("pull");
                for layer in tenant.image(&name).await.expect("image").layers {
                    assert!(world.store.has(&layer.digest).await.expect("has"), "a layer is missing after a pull");
                }
                tenant.remove_image(&pushed.id).await.expect("remove");
                tokio::time::sleep(GRACE - Duration::from_millis(100)).await;
            }
        };
        tokio::join!(one(90), one(100), one(115));
        done.cancel();
    };
    tokio::join!(collector, tenants);
}
