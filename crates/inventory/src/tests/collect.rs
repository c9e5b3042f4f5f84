//! Blobs go when nobody refers to them, and only then.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use domain::Digest;
use sqlx::PgPool;

use super::{POOL, World, images::image, layer};
use crate::{BlobClaim, Inventory};

const NOW: Duration = Duration::ZERO;

/// What a collector that waits for nothing deletes.
async fn collected(inventory: &Inventory) -> Vec<Digest> {
    inventory.release_pins().await.unwrap();
    let mut gone = Vec::new();
    for digest in inventory.idle_blobs(NOW, 100).await.unwrap() {
        let done = inventory.collect_blob(&digest, NOW, async { Ok(()) }).await.unwrap();
        gone.extend(done.map(|_| digest));
    }
    gone
}

fn claim(n: u8) -> BlobClaim {
    BlobClaim { digest: layer(n).digest, size_bytes: layer(n).size_bytes, diff: Some((layer(n).diff_id, 5000)) }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_blob_goes_with_the_last_right_of_any_tenant(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (one, other) = (world.view(), world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap());
    let other = world.inventory.tenant(other.id);
    let mut new = image("one", vec![layer(7)]);
    new.blobs.truncate(1);
    one.put_image(&new).await.unwrap();
    other.put_image(&new).await.unwrap();
    assert!(collected(&world.inventory).await.is_empty());
    assert!(world.inventory.idle_blobs(NOW, 100).await.unwrap().is_empty(), "looked at once, not again");
    one.remove_image(&new.id).await.unwrap();
    assert!(collected(&world.inventory).await.is_empty(), "the other tenant has it");
    other.remove_image(&new.id).await.unwrap();
    assert!(world.inventory.idle_blobs(Duration::from_secs(60), 100).await.unwrap().is_empty(), "the grace");
    assert_eq!(collected(&world.inventory).await, [layer(7).digest]);
    assert!(one.blob(&layer(7).digest).await.unwrap().is_none());
}

#[sqlx::test(migrations = "../../migrations")]
async fn containers_keep_what_they_were_made_from(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, mut new) = (world.view(), image("busybox", vec![layer(1), layer(2)]));
    new.id = Digest::of(b"config"); // what the fixture's containers are made from
    new.blobs.truncate(2);
    world.inventory.claim_blobs(&[claim(1), claim(2)]).await.unwrap();
    view.put_image(&new).await.unwrap();
    let (first, second) = (world.place("c1").await, world.place("c2").await);
    assert_eq!(view.remove_image(&new.id).await.unwrap().unwrap().freed_bytes, 0, "nothing is freed yet");
    assert!(!view.has_blob_right(&layer(1).digest).await.unwrap());
    view.forget(&first).await.unwrap();
    assert!(collected(&world.inventory).await.is_empty(), "the second one needs them");
    view.forget(&second).await.unwrap();
    assert_eq!(collected(&world.inventory).await.len(), 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_image_that_comes_with_other_blobs_lets_the_old_ones_go(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, mut new) = (world.view(), image("one", vec![layer(1)]));
    new.blobs.truncate(1);
    view.put_image(&new).await.unwrap();
    new.layers = vec![layer(2)];
    new.blobs = vec![(layer(2).digest, layer(2).size_bytes)];
    view.put_image(&new).await.unwrap();
    assert!(!view.has_blob_right(&layer(1).digest).await.unwrap());
    assert_eq!(collected(&world.inventory).await, [layer(1).digest]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_freed_is_counted_unpacked(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, mut one, mut two) = (world.view(), image("one", vec![layer(1), layer(2)]), image("two", vec![layer(1)]));
    one.blobs.truncate(2);
    two.blobs.truncate(1);
    world.inventory.claim_blobs(&[claim(1), claim(2)]).await.unwrap();
    view.put_image(&one).await.unwrap();
    view.put_image(&two).await.unwrap();
    assert_eq!(view.remove_image(&one.id).await.unwrap().unwrap().freed_bytes, 5000, "the other layer is shared");
    assert_eq!(view.remove_image(&two.id).await.unwrap().unwrap().freed_bytes, 5000);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_claim_waits_for_a_deletion_and_a_deletion_passes_by_a_claim(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let inventory = &world.inventory;
    inventory.claim_blobs(&[claim(1)]).await.unwrap();
    let deleted = AtomicBool::new(false);
    let delete = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        deleted.store(true, Ordering::SeqCst);
        Ok(())
    };
    let digest = layer(1).digest;
    let late_claim = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        inventory.claim_blobs(&[claim(1)]).await.unwrap();
        assert!(deleted.load(Ordering::SeqCst), "claimed while it was being deleted");
    };
    let (gone, ()) = tokio::join!(inventory.collect_blob(&digest, NOW, delete), late_claim);
    assert_eq!(gone.unwrap(), Some(1001));
    // The claim has made it new.
    let minute = Duration::from_secs(60);
    let untouched = async { panic!("a claimed blob is not deleted") };
    assert_eq!(inventory.collect_blob(&digest, minute, untouched).await.unwrap(), None);
    assert_eq!(inventory.idle_blobs(NOW, 10).await.unwrap(), [digest]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_store_that_fails_to_delete_is_asked_again(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.inventory.claim_blobs(&[claim(1)]).await.unwrap();
    let digest = layer(1).digest;
    let fails = async { Err(domain::Error::unavailable("no")) };
    world.inventory.collect_blob(&digest, NOW, fails).await.unwrap_err();
    assert_eq!(collected(&world.inventory).await, [digest]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn strays_are_found(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    world.inventory.claim_blobs(&[claim(1)]).await.unwrap();
    let asked = [layer(1).digest, layer(2).digest];
    assert_eq!(world.inventory.unknown_blobs(&asked).await.unwrap(), [layer(2).digest]);
    sqlx::query("UPDATE blobs SET idle_since = NULL").execute(&pool).await.unwrap();
    assert!(collected(&world.inventory).await.is_empty());
    world.inventory.mark_unreferenced().await.unwrap();
    assert_eq!(collected(&world.inventory).await, [layer(1).digest]);
}
