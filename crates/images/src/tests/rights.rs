//! Blobs are stored once, and knowing a digest gives nothing (policy I06).

use serde_json::json;

use super::{
    World,
    fake::{Proxy, Server},
    noise,
    registry::Registry,
    tar_of,
};
use crate::{BlobStore, media};

#[tokio::test]
async fn two_tenants_at_once_transfer_a_layer_once() {
    let registry = Registry::start().await;
    let proxy = Proxy::start(&registry.host, 0, 0).await;
    let world = World::new(&[&proxy.host], &[]).await;
    let pushed = registry.push("app", "v1", &[tar_of("big", &noise("once", 4 << 20))]).await;
    let name = format!("{}/app:v1", proxy.host);
    let (one, two) = (world.tenant().await, world.tenant().await);
    let (first, second) = tokio::join!(world.pull(&one, &name), world.pull(&two, &name));
    let lines = [first.expect("first").1, second.expect("second").1];
    let blob = format!("/v2/app/blobs/{}", pushed.layers[0]);
    assert_eq!((proxy.count(&format!("GET {blob}")), proxy.count(&format!("HEAD {blob}"))), (1, 1));
    for lines in &lines {
        assert!(!lines.iter().any(|l| l.ends_with("Already exists")), "{lines:?}");
    }
    let third = world.tenant().await;
    assert!(!third.has_blob_right(&pushed.layers[0]).await.expect("right"));
    assert!(one.has_blob_right(&pushed.layers[0]).await.expect("right"));
}

#[tokio::test]
async fn a_registry_that_only_claims_to_have_a_blob_is_not_believed() {
    let registry = Registry::start().await;
    let tar = tar_of("secret", &noise("claim", 10_000));
    let pushed = registry.push("app", "v1", std::slice::from_ref(&tar)).await;
    let size = super::gzip(&tar).len();
    let config = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [domain::Digest::of(&tar)]}});
    let config = config.to_string().into_bytes();
    let manifest = json!({"schemaVersion": 2,
        "config": {"mediaType": media::OCI_CONFIG, "digest": domain::Digest::of(&config), "size": config.len()},
        "layers": [{"mediaType": media::LAYER_GZIP, "digest": pushed.layers[0], "size": size}]});
    let layer = pushed.layers[0].clone();
    let thief = Server::start(move |_, method, path, _| {
        if path.contains("/manifests/") {
            return (200, String::new(), manifest.to_string().into_bytes());
        }
        match (method, path.ends_with(layer.as_str())) {
            ("HEAD", _) => (200, String::new(), vec![]),
            (_, true) => (404, String::new(), vec![]),
            _ => (200, String::new(), config.clone()),
        }
    })
    .await;
    let world = World::new(&[&registry.host, &thief.host], &[]).await;
    let (owner, other) = (world.tenant().await, world.tenant().await);
    world.pull(&owner, &format!("{}/app:v1", registry.host)).await.expect("pull");
    world.pull(&other, &format!("{}/stolen:v1", thief.host)).await.expect_err("a claim is no proof");
    assert!(!other.has_blob_right(&pushed.layers[0]).await.expect("right"));
    assert!(other.images().await.expect("images").is_empty());
}

#[tokio::test]
async fn what_was_lost_beside_the_blob_is_found_again() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let tar = tar_of("a", b"facts");
    registry.push("app", "v1", std::slice::from_ref(&tar)).await;
    let name = format!("{}/app:v1", registry.host);
    let tenant = world.tenant().await;
    world.pull(&tenant, &name).await.expect("pull");
    std::fs::remove_dir_all(world.store.spool().with_file_name("facts")).expect("facts");
    let _again: BlobStore = BlobStore::open(world.store.spool().parent().expect("dir")).expect("store");
    let layers = tenant.image(&name).await.expect("image").layers;
    assert_eq!(world.images.layer_sizes(&layers).await.expect("sizes"), [tar.len() as u64]);
    world.store.delete(&layers[0].digest).await.expect("delete");
    world.pull(&tenant, &name).await.expect("fetched again");
    assert!(world.store.has(&layers[0].digest).await.expect("has"));
    assert_eq!(tenant.image(&name).await.expect("image").size_bytes, tar.len() as u64);
}
