use domain::{Digest, Error, Layer};
use sqlx::PgPool;

use super::{POOL, World, layer};
use crate::NewImage;

pub(crate) fn image(name: &str, layers: Vec<Layer>) -> NewImage {
    let config = format!("{{\"config of\":\"{name}\"}}").into_bytes();
    let id = Digest::of(&config);
    let manifest = format!("manifest of {name}").into_bytes();
    let mut blobs: Vec<_> = layers.iter().map(|l| (l.digest.clone(), l.size_bytes)).collect();
    blobs.push((id.clone(), config.len() as u64));
    blobs.push((Digest::of(&manifest), manifest.len() as u64));
    NewImage {
        id,
        config,
        layers,
        size_bytes: 4096,
        architecture: "amd64".into(),
        os: "linux".into(),
        created_at: chrono::DateTime::from_timestamp(1_700_000_000, 0),
        tags: vec![(name.into(), "latest".into()), (name.into(), "1".into())],
        digests: vec![(name.into(), Digest::of(&manifest), manifest)],
        blobs,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_image_is_found_in_every_form(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, new) = (world.view(), image("busybox", vec![layer(1)]));
    view.put_image(&new).await.unwrap();
    view.put_image(&new).await.unwrap();
    let manifest = &new.digests[0].1;
    for reference in [
        "busybox",
        "busybox:latest",
        "busybox:1",
        "docker.io/library/busybox:1",
        &format!("busybox@{manifest}"),
        &format!("busybox:1@{manifest}"),
        new.id.as_str(),
        new.id.hex(),
        &new.id.hex()[..12],
        &new.id.as_str()[..15],
    ] {
        let found = view.image(reference).await.unwrap_or_else(|e| panic!("{reference}: {e}"));
        assert_eq!((&found.id, &found.layers, &found.config), (&new.id, &new.layers, &new.config));
        assert_eq!(found.tags, [("busybox".to_owned(), "1".to_owned()), ("busybox".into(), "latest".into())]);
        assert_eq!(found.digests, [("busybox".to_owned(), manifest.clone())]);
    }
    for (absent, shown) in
        [("alpine", "alpine:latest"), ("busybox:2", "busybox:2"), ("abcdefabcdef", "abcdefabcdef:latest")]
    {
        assert_eq!(view.image(absent).await.unwrap_err().to_string(), format!("No such image: {shown}"));
    }
    assert!(matches!(view.image("UPPER").await.unwrap_err(), Error::Invalid(_)));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_name_wins_over_the_prefix_of_an_id(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, new) = (world.view(), image("busybox", vec![]));
    view.put_image(&new).await.unwrap();
    let other = image("other", vec![]);
    view.put_image(&other).await.unwrap();
    let prefix = &new.id.hex()[..12];
    view.tag(&other.id, prefix, "latest").await.unwrap();
    assert_eq!(view.image(prefix).await.unwrap().id, other.id);
    assert_eq!(view.image(&format!("sha256:{prefix}")).await.unwrap().id, new.id);
}

#[sqlx::test(migrations = "../../migrations")]
async fn tags_move_and_go(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, one, two) = (world.view(), image("one", vec![]), image("two", vec![]));
    view.put_image(&one).await.unwrap();
    view.put_image(&two).await.unwrap();
    view.tag(&two.id, "one", "1").await.unwrap();
    assert_eq!(view.image("one:1").await.unwrap().id, two.id);
    assert!(view.untag("one", "1").await.unwrap() && !view.untag("one", "1").await.unwrap());
    assert!(view.image("one:1").await.is_err());
    assert!(view.undigest("one", &one.digests[0].1).await.unwrap());
    assert!(view.image("one").await.unwrap().digests.is_empty());
    assert!(view.tag(&Digest::of(b"?"), "x", "y").await.is_err());
    assert_eq!(view.images().await.unwrap().len(), 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn rights_are_the_tenants_own_and_end_with_the_last_image(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, one, two) = (world.view(), image("one", vec![layer(1), layer(2)]), image("two", vec![layer(1)]));
    view.put_image(&one).await.unwrap();
    view.put_image(&two).await.unwrap();
    let stranger = world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap();
    let stranger = world.inventory.tenant(stranger.id);
    assert!(!stranger.has_blob_right(&layer(1).digest).await.unwrap());
    assert_eq!(stranger.image("one").await.unwrap_err().to_string(), "No such image: one:latest");
    let blob = view.blob(&layer(2).digest).await.unwrap().unwrap();
    assert_eq!((blob.size_bytes, blob.diff_id), (1002, Some(layer(2).diff_id)));
    assert!(stranger.remove_image(&one.id).await.unwrap().is_none());
    assert_eq!(
        view.remove_image(&one.id).await.unwrap().unwrap().freed_bytes,
        1002 + one.config.len() as u64 + one.digests[0].2.len() as u64
    );
    assert!(view.remove_image(&one.id).await.unwrap().is_none());
    assert!(view.has_blob_right(&layer(1).digest).await.unwrap(), "the other image holds it");
    assert!(!view.has_blob_right(&layer(2).digest).await.unwrap());
    assert!(!view.has_blob_right(&one.id).await.unwrap());
    assert!(!view.has_blob_right(&one.digests[0].1).await.unwrap());
    assert!(view.image("one").await.is_err());
    stranger.put_image(&one).await.unwrap();
    assert!(stranger.has_blob_right(&layer(2).digest).await.unwrap());
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_image_knows_its_containers(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, mut new) = (world.view(), image("busybox", vec![]));
    new.id = Digest::of(b"config"); // what the fixture's containers are made from
    view.put_image(&new).await.unwrap();
    let id = world.place("web").await;
    assert_eq!(view.image("busybox").await.unwrap().containers, 1);
    assert_eq!(view.image_users(&new.id).await.unwrap(), [(id, domain::Status::Created)]);
    assert_eq!(view.usage().await.unwrap().images, 1);
}
