//! Many pulls of the same image at once.

use super::{World, registry::Registry, tar_of};

#[tokio::test]
async fn pulls_of_overlapping_images_do_not_hinder_each_other() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let tars: Vec<_> = (0..6).map(|n| tar_of(&format!("f{n}"), &super::noise(&n.to_string(), 20_000))).collect();
    registry.push("a", "v1", &tars).await;
    registry.push("b", "v1", &tars.iter().rev().cloned().collect::<Vec<_>>()).await;
    let tenant = world.tenant().await;
    let names: Vec<_> =
        (0..8).map(|n| format!("{}/{}:v1", registry.host, if n % 2 == 0 { "a" } else { "b" })).collect();
    let all = futures::future::join_all(names.iter().map(|name| world.pull(&tenant, name))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(tenant.images().await.expect("images").len(), 2);
}
