//! The builder's cache, and builds that nobody works on any more.

use std::time::Duration;

use domain::Digest;
use sqlx::PgPool;
use uuid::Uuid;

use super::{World, layer};
use crate::{BUILD_LABEL, BlobClaim, CachedStep, NewImage, NewStep, TenantView};

const SILENT: Duration = Duration::from_secs(30);

async fn put(world: &World, view: &TenantView, parent: Option<&Digest>, key: &Digest, layers: &[u8]) {
    let layers: Vec<domain::Layer> = layers.iter().map(|n| layer(*n)).collect();
    let claims: Vec<BlobClaim> =
        layers.iter().map(|l| BlobClaim { digest: l.digest.clone(), size_bytes: l.size_bytes, diff: None }).collect();
    world.inventory.claim_blobs(&claims).await.unwrap();
    let result = CachedStep { image_id: Digest::of(key.as_str().as_bytes()), config: b"{}".to_vec(), layers };
    view.put_step(&NewStep { parent, key, result, description: "RUN x", size_bytes: 7 }).await.unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_step_is_found_by_its_parent_and_key_in_its_own_tenant(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let view = world.view();
    let other = world.inventory.create_tenant("other", super::POOL.parse().unwrap()).await.unwrap();
    let (parent, key) = (Digest::of(b"parent"), Digest::of(b"key"));
    put(&world, &view, Some(&parent), &key, &[1, 2]).await;
    let found = view.cached_step(Some(&parent), &key).await.unwrap().expect("cached");
    assert_eq!(found.layers, [layer(1), layer(2)]);
    assert!(view.cached_step(None, &key).await.unwrap().is_none());
    assert!(view.cached_step(Some(&parent), &parent).await.unwrap().is_none());
    let foreign = world.inventory.tenant(other.id);
    assert!(foreign.cached_step(Some(&parent), &key).await.unwrap().is_none());
    let listed = view.build_steps().await.unwrap();
    assert_eq!((listed.len(), listed[0].uses, listed[0].parent.as_ref()), (1, 1, Some(&parent)));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_step_ends_with_the_last_image_that_holds_its_layers(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let view = world.view();
    let key = Digest::of(b"key");
    put(&world, &view, None, &key, &[1]).await;
    let image = NewImage {
        id: Digest::of(b"image"),
        config: b"{}".to_vec(),
        layers: vec![layer(1)],
        size_bytes: 1,
        architecture: "amd64".into(),
        os: "linux".into(),
        created_at: None,
        tags: vec![],
        digests: vec![],
        blobs: vec![(layer(1).digest, layer(1).size_bytes)],
    };
    view.put_image(&image).await.unwrap();
    assert!(view.cached_step(None, &key).await.unwrap().is_some());
    view.remove_image(&image.id).await.unwrap();
    assert!(view.cached_step(None, &key).await.unwrap().is_none(), "its layer has gone with the image");
}

#[sqlx::test(migrations = "../../migrations")]
async fn pruning_frees_what_nothing_else_holds(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let view = world.view();
    put(&world, &view, None, &Digest::of(b"a"), &[1]).await;
    put(&world, &view, None, &Digest::of(b"b"), &[1, 2]).await;
    let past = chrono::Utc::now() - Duration::from_secs(3600);
    assert!(view.prune_steps(Some(past)).await.unwrap().0.is_empty());
    let (keys, bytes) = view.prune_steps(None).await.unwrap();
    assert_eq!((keys.len(), bytes > 0), (2, true));
    assert!(view.build_steps().await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn steps_of_a_silent_build_are_abandoned(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, build) = (world.view(), Uuid::new_v4());
    assert!(view.begin_build(build, 1, SILENT).await.unwrap());
    assert!(!view.begin_build(Uuid::new_v4(), 1, SILENT).await.unwrap(), "one at a time");
    let mut new = world.new_container("step");
    new.labels.insert(BUILD_LABEL.to_owned(), build.to_string());
    world.inventory.reserve(&new, world.hosts[0]).await.unwrap();
    world.place("ordinary").await;
    assert!(world.inventory.abandoned_steps(SILENT).await.unwrap().is_empty());
    assert!(world.inventory.beat_build(build).await.unwrap());
    let abandoned = world.inventory.abandoned_steps(Duration::ZERO).await.unwrap();
    assert_eq!(abandoned.iter().map(|step| &step.container).collect::<Vec<_>>(), [&new.id]);
    assert!(!world.inventory.beat_build(build).await.unwrap(), "it has been given up");
}
