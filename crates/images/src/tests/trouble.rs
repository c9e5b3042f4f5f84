//! Registries that are busy, cut, or stand still; clients that go away in the middle; search.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use domain::{Digest, Error};
use serde_json::json;

use super::{
    World,
    fake::{Proxy, Server},
    gzip, noise,
    registry::Registry,
    tar_of,
};
use crate::{Registries, RegistrySettings, media};

/// A registry with one image, which answers each of its documents with `bad` at first, so many times.
async fn busy(bad: &'static [(u16, &'static str)], seed: &str) -> Server {
    let tar = tar_of("f", &noise(seed, 3000));
    let (layer, config) = (
        gzip(&tar),
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar)]}})
            .to_string()
            .into_bytes(),
    );
    let manifest = json!({"schemaVersion": 2,
        "config": {"mediaType": media::OCI_CONFIG, "digest": Digest::of(&config), "size": config.len()},
        "layers": [{"mediaType": media::LAYER_GZIP, "digest": Digest::of(&layer), "size": layer.len()}]})
    .to_string()
    .into_bytes();
    let counts: [AtomicUsize; 3] = Default::default();
    Server::start(move |_, _, path, _| {
        let (which, body) = match path {
            p if p.contains("/manifests/") => (0, &manifest),
            p if p.ends_with(Digest::of(&config).as_str()) => (1, &config),
            _ => (2, &layer),
        };
        match bad.get(counts[which].fetch_add(1, Ordering::SeqCst)) {
            Some((status, headers)) => (*status, (*headers).to_owned(), b"busy".to_vec()),
            None => (200, String::new(), body.clone()),
        }
    })
    .await
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_and_not_before_it_wants_to() {
    let server = busy(&[(503, ""), (429, "Retry-After: 1\r\n"), (500, "")], "busy").await;
    let world = World::new(&[&server.host], &[]).await;
    let tenant = world.tenant().await;
    let began = Instant::now();
    world.pull(&tenant, &format!("{}/app:v1", server.host)).await.expect("pull");
    assert!(began.elapsed() >= Duration::from_secs(3), "a second for each of three documents");
}

#[tokio::test]
async fn a_registry_that_stays_broken_is_given_up_and_named() {
    for (bad, wanted) in [
        (&[(503, ""); 100], "received unexpected HTTP status: 503"),
        (&[(429, ""); 100], "toomanyrequests: too many requests"),
    ] {
        let server = busy(bad, "broken").await;
        let world = World::new(&[&server.host], &[]).await;
        let tenant = world.tenant().await;
        let error = world.pull(&tenant, &format!("{}/app:v1", server.host)).await.expect_err("broken");
        assert!(matches!(error, Error::Unavailable { .. }) && error.to_string().contains(wanted), "{error}");
        assert!(tenant.images().await.expect("images").is_empty());
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_without_end_is_given_up() {
    let registry = Registry::start().await;
    let pushed = registry.push("app", "v1", &[tar_of("big", &noise("endless", 512 << 10))]).await;
    // Some 20 kB of each answer pass: more than the documents, and never enough for the layer.
    let proxy = Proxy::start(&registry.host, usize::MAX, 20 << 10).await;
    let world = World::new(&[&proxy.host], &[]).await;
    let tenant = world.tenant().await;
    let error = world.pull(&tenant, &format!("{}/app:v1", proxy.host)).await.expect_err("cut");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert_eq!(proxy.count(&format!("GET /v2/app/blobs/{}", pushed.layers[0])), 5);
    assert!(tenant.images().await.expect("images").is_empty());
    assert!(!world.store.has(&pushed.layers[0]).await.expect("has"));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_half_made() {
    let registry = Registry::start().await;
    let pushed = registry.push("app", "v1", &[tar_of("big", &noise("gone", 12 << 20))]).await;
    let proxy = Proxy::stalling(&registry.host, 7 << 20).await;
    let world = World::new(&[&registry.host, &proxy.host], &[]).await;
    let tenant = world.tenant().await;
    let uploads = world.store.spool().with_file_name("uploads");
    let files = || std::fs::read_dir(&uploads).expect("uploads").count();
    {
        let name = format!("{}/app:v1", proxy.host);
        let mut pull = std::pin::pin!(world.pull(&tenant, &name));
        let began = Instant::now();
        while files() == 0 && began.elapsed() < Duration::from_secs(20) {
            assert!(tokio::time::timeout(Duration::from_millis(50), &mut pull).await.is_err(), "it stalls");
        }
        assert_eq!(files(), 1, "a part has been written");
    }
    let began = Instant::now();
    while files() > 0 && began.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(files(), 0, "what was staged is gone with the client");
    assert!(tenant.images().await.expect("images").is_empty());
    assert!(!world.store.has(&pushed.layers[0]).await.expect("has"));
    // The one who comes next does not wait for the one who has gone.
    world.pull(&tenant, &format!("{}/app:v1", registry.host)).await.expect("pull");
}

#[tokio::test]
async fn the_configured_index_is_searched() {
    let index = Server::start(|_, _, path, _| match path {
        "/v1/search?q=busy+box%26&n=7" => {
            let body = json!({"num_results": 1, "results": [
                {"name": "busybox", "description": "small", "star_count": 12, "is_official": true, "is_automated": false}]});
            (200, String::new(), body.to_string().into_bytes())
        }
        _ => (500, String::new(), vec![]),
    })
    .await;
    let settings = |url: String| RegistrySettings { search_index: Some(url), ..RegistrySettings::default() };
    let registries = Registries::new(settings(format!("http://{}", index.host))).expect("registries");
    let found = registries.search("busy box&", 7).await.expect("found");
    assert_eq!((found[0].name.as_str(), found[0].star_count, found[0].is_official), ("busybox", 12, true));
    let broken = registries.search("other", 7).await.expect_err("500");
    assert!(matches!(broken, Error::Unavailable { .. }), "{broken}");
    let none = Registries::new(RegistrySettings::default()).expect("registries");
    assert!(matches!(none.search("x", 1).await, Err(Error::Unsupported(_))));
    // The index is no door for pulls.
    let inside = Server::start(|_, _, _, _| (302, "Location: http://127.0.0.1:1/\r\n".to_owned(), vec![])).await;
    let sent_inside = Registries::new(settings(format!("http://{}", inside.host))).expect("registries");
    assert!(matches!(sent_inside.search("x", 1).await, Err(Error::Forbidden(_))));
    assert!(Registries::new(settings("not a url".into())).is_err());
}
