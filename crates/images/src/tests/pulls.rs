//! Pulling: what is said, what is stored, and what is said when it does not work.

use domain::{Digest, Error};
use serde_json::json;

use super::{
    World,
    fake::{Proxy, Server},
    noise,
    registry::Registry,
    tar_of,
};
use crate::{RegistryAuth, login, media};

fn auth(username: &str, password: &str, registry: &str) -> RegistryAuth {
    let json = json!({ "username": username, "password": password, "serveraddress": registry });
    RegistryAuth::from_json(json.to_string().as_bytes()).expect("auth")
}

#[tokio::test]
async fn a_pull_says_what_dockerd_says_and_stores_what_was_pushed() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let tars = [tar_of("a", b"one"), tar_of("b", b"two")];
    let pushed = registry.push("team/app", "v1", &tars).await;
    let name = format!("{}/team/app:v1", registry.host);
    let tenant = world.tenant().await;

    let (pulled, lines) = world.pull(&tenant, &name).await.expect("pull");
    assert_eq!((&pulled.id, &pulled.digest, pulled.up_to_date), (&pushed.id, &pushed.manifest, false));
    assert_eq!(lines[0], "v1: Pulling from team/app");
    for layer in &pushed.layers {
        for text in ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"] {
            assert!(lines.contains(&format!("{}: {text}", &layer.hex()[..12])), "{text}: {lines:?}");
        }
    }
    let end = [format!("Digest: {}", pushed.manifest), format!("Status: Downloaded newer image for {name}")];
    assert_eq!(lines[lines.len() - 2..], end);

    let image = tenant.image(&name).await.expect("image");
    assert_eq!(image.size_bytes, tars.iter().map(|t| t.len() as u64).sum::<u64>());
    assert_eq!(image.layers[1].diff_id, Digest::of(&tars[1]));
    assert_eq!(image.digests, [(format!("{}/team/app", registry.host), pushed.manifest.clone())]);
    assert!(world.store.has(&pushed.layers[0]).await.expect("has"));

    let (again, lines) = world.pull(&tenant, &name).await.expect("again");
    assert!(again.up_to_date);
    let end = [format!("Digest: {}", pushed.manifest), format!("Status: Image is up to date for {name}")];
    assert_eq!(lines[1..], end);
    registry.push("team/app", "v2", &[tars[0].clone()]).await;
    let (_, lines) = world.pull(&tenant, &format!("{}/team/app:v2", registry.host)).await.expect("a shared layer");
    assert_eq!(lines[1], format!("{}: Already exists", &pushed.layers[0].hex()[..12]));
    let by_digest = format!("{}/team/app@{}", registry.host, pushed.manifest);
    let (pulled, lines) = world.pull(&tenant, &by_digest).await.expect("by digest");
    assert!(pulled.up_to_date && lines[0] == format!("{}: Pulling from team/app", pushed.manifest));
}

#[tokio::test]
async fn an_index_gives_the_hosts_platform() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let mine = crate::Platform::native().architecture;
    let other = if mine == "amd64" { "arm64" } else { "amd64" };
    let wanted = registry.push_for("x", "mine", &[tar_of("a", b"mine")], &mine).await;
    let foreign = registry.push_for("x", "other", &[tar_of("a", b"other")], other).await;
    let entry = |p: &super::registry::Pushed, architecture: &str| {
        json!({"mediaType": media::OCI_MANIFEST, "digest": p.manifest, "size": p.manifest_size,
               "platform": {"os": "linux", "architecture": architecture}})
    };
    let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX,
                       "manifests": [entry(&foreign, other), entry(&wanted, &mine)]});
    let digest = registry.push_manifest("x", "all", media::OCI_INDEX, &index).await;
    let tenant = world.tenant().await;
    let (pulled, _) = world.pull(&tenant, &format!("{}/x:all", registry.host)).await.expect("pull");
    assert_eq!((pulled.id, pulled.digest), (wanted.id, digest));
    let (sender, _lines) = tokio::sync::mpsc::channel(100);
    let reference = super::reference(&format!("{}/x:all", registry.host));
    let error = world.images.pull(&tenant, &reference, Some("linux/s390x"), None, sender).await.expect_err("platform");
    assert_eq!(error.to_string(), "no matching manifest for linux/s390x in the manifest list entries");
}

#[tokio::test]
async fn what_cannot_be_pulled_is_told_in_dockerds_words() {
    let registry = Registry::start().await;
    let mirror = format!("http://{}", registry.host);
    let world = World::new(&[&registry.host, "127.0.0.1:1"], &[&mirror]).await;
    let tenant = world.tenant().await;
    registry.push("app", "v1", &[]).await;

    let host = &registry.host;
    for (name, wanted) in [
        (format!("{host}/app:v2"), format!("manifest for {host}/app:v2 not found: manifest unknown: manifest unknown")),
        (
            format!("{host}/none:v1"),
            format!("manifest for {host}/none:v1 not found: manifest unknown: manifest unknown"),
        ),
        (
            "127.0.0.1:1/x:y".to_owned(),
            "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused".to_owned(),
        ),
    ] {
        let error = world.pull(&tenant, &name).await.expect_err(&name);
        assert_eq!(error.to_string(), wanted);
    }
    for name in ["127.0.0.1:2/x", "10.0.0.1/x", "localhost/x", "169.254.169.254/latest"] {
        let error = world.pull(&tenant, name).await.expect_err(name);
        assert!(matches!(error, Error::Forbidden(_)) && error.to_string().contains("I01"), "{name}: {error}");
    }
    assert!(tenant.images().await.expect("images").is_empty());
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_its_no_counts_when_the_hub_is_out_of_reach() {
    let registry = Registry::start().await;
    let world = World::new(&[], &[&format!("http://{}", registry.host)]).await;
    let tenant = world.tenant().await;
    registry.push("library/tool", "latest", &[tar_of("a", b"x")]).await;
    let (_, lines) = world.pull(&tenant, "tool").await.expect("pull");
    assert_eq!(lines[0], "latest: Pulling from library/tool");
    tenant.image("tool").await.expect("familiar name");
    let error = world.pull(&tenant, "nosuchtool").await.expect_err("missing");
    assert!(matches!(error, Error::Missing(_)));
    assert!(
        error.to_string().starts_with("pull access denied for nosuchtool, repository does not exist or may require")
    );
    // The mirror's address is not a door for tenants.
    let direct = world.pull(&tenant, &format!("{}/library/tool", registry.host)).await.expect_err("refused");
    assert!(matches!(direct, Error::Forbidden(_)));
}

#[tokio::test]
async fn a_private_registry_wants_its_credential() {
    let registry = Registry::protected().await;
    let world = World::new(&[&registry.host], &[]).await;
    let tenant = world.tenant().await;
    registry.push("app", "v1", &[tar_of("a", b"x")]).await;
    let name = format!("{}/app:v1", registry.host);
    let error = world.pull(&tenant, &name).await.expect_err("no credential");
    assert!(error.to_string().ends_with("no basic auth credentials"), "{error}");
    let wrong = world.pull_as(&tenant, &name, Some(auth("me", "no", ""))).await.expect_err("wrong");
    assert_eq!(wrong.to_string(), "unauthorized: authentication required");
    let foreign = world.pull_as(&tenant, &name, Some(auth("me", "secret", "other.example"))).await.expect_err("I02");
    assert!(foreign.to_string().contains("I02"));
    world.pull_as(&tenant, &name, Some(auth("me", "secret", &registry.host))).await.expect("pull");

    let registries = &world.images.registries;
    assert_eq!(login(registries, &auth("me", "secret", &registry.host)).await.expect("login"), "Login Succeeded");
    let refused = login(registries, &auth("me", "no", &registry.host)).await.expect_err("login");
    assert!(matches!(refused, Error::Unauthenticated(_)));
}

#[tokio::test]
async fn a_cut_connection_is_resumed() {
    let registry = Registry::start().await;
    let proxy = Proxy::start(&registry.host, 2, 200 << 10).await;
    let world = World::new(&[&proxy.host], &[]).await;
    let tar = tar_of("big", &noise("cut", 1 << 20));
    let pushed = registry.push("app", "v1", &[tar]).await;
    let tenant = world.tenant().await;
    world.pull(&tenant, &format!("{}/app:v1", proxy.host)).await.expect("pull");
    assert_eq!(proxy.count(&format!("GET /v2/app/blobs/{}", pushed.layers[0])), 3);
}

#[tokio::test]
async fn a_token_is_fetched_with_the_credential_and_used() {
    let manifest = json!({"schemaVersion": 2, "config": {"mediaType": media::OCI_CONFIG, "digest": Digest::of(b"{}"), "size": 2},
        "layers": []});
    let server = Server::start(move |own, _, path, authorization| {
        if path.starts_with("/token") {
            let good = authorization.starts_with("Basic ") && path.contains("scope=repository%3Aapp%3Apull");
            return if good {
                (200, String::new(), br#"{"token":"tok"}"#.to_vec())
            } else {
                (401, String::new(), vec![])
            };
        }
        if authorization != "Bearer tok" {
            return (401, format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"s\"\r\n"), vec![]);
        }
        match path {
            "/v2/app/manifests/v1" => (200, String::new(), manifest.to_string().into_bytes()),
            _ => (200, String::new(), b"{}".to_vec()),
        }
    })
    .await;
    let world = World::new(&[&server.host], &[]).await;
    let tenant = world.tenant().await;
    let name = format!("{}/app:v1", server.host);
    let error = world.pull_as(&tenant, &name, Some(auth("me", "secret", &server.host))).await.expect_err("no rootfs");
    assert_eq!(error.to_string(), "invalid image config: no RootFS key");
    let denied = world.pull(&tenant, &name).await.expect_err("no credential");
    assert_eq!(denied.to_string(), "unauthorized: authentication required");
}

#[tokio::test]
async fn a_registry_cannot_send_us_inside() {
    let server = Server::start(|_, _, _, _| (302, "Location: http://127.0.0.1:1/v2/\r\n".to_owned(), vec![])).await;
    let realm = Server::start(|_, _, _, _| {
        (401, "WWW-Authenticate: Bearer realm=\"https://169.254.169.254/token\"\r\n".to_owned(), vec![])
    })
    .await;
    let world = World::new(&[&server.host, &realm.host], &[]).await;
    let tenant = world.tenant().await;
    for host in [&server.host, &realm.host] {
        let error = world.pull(&tenant, &format!("{host}/x")).await.expect_err("refused");
        assert!(matches!(error, Error::Forbidden(_)) && error.to_string().contains("I01"), "{error}");
    }
}
