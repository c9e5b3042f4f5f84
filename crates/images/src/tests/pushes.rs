//! Pushing: to a real registry, through one that falters, and what a registry is asked without a pull.

use domain::{Digest, Error};
use inventory::TenantView;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    World,
    fake::{Proxy, Server},
    noise, reference,
    registry::Registry,
    said, tar_of,
};
use crate::{Progress, RegistryAuth};

impl World {
    /// The lines, and what programs are told.
    async fn push(
        &self,
        tenant: &TenantView,
        name: &str,
        tag: Option<&str>,
        auth: Option<RegistryAuth>,
    ) -> Result<(Vec<String>, Vec<Digest>), Error> {
        let (sender, mut lines) = mpsc::channel(1000);
        self.images.push(tenant, &reference(name), tag, None, auth, sender).await?;
        let (mut texts, mut digests) = (Vec::new(), Vec::new());
        while let Some(line) = lines.recv().await {
            match line {
                Progress::Status { id: Some(id), text } => texts.push(format!("{id}: {text}")),
                Progress::Status { id: None, text } => texts.push(text),
                Progress::Pushed { digest, .. } => digests.push(digest),
                Progress::Bytes { .. } => {}
            }
        }
        Ok((texts, digests))
    }

    /// An image of one layer that no registry has seen.
    async fn import(&self, tenant: &TenantView, name: &str, content: &[u8]) -> Digest {
        let tar = tar_of("f", content);
        let (images, name) = (&self.images, Some(reference(name)));
        images.import(tenant, std::io::Cursor::new(tar), name, json!({}), "", None).await.expect("import")
    }
}

fn auth(username: &str, password: &str) -> RegistryAuth {
    RegistryAuth::from_json(json!({ "username": username, "password": password }).to_string().as_bytes()).expect("auth")
}

#[tokio::test]
async fn a_pulled_image_keeps_its_digest() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let pushed = registry.push("team/app", "v1", &[tar_of("a", b"one"), tar_of("b", b"two")]).await;
    let (tenant, host) = (world.tenant().await, &registry.host);
    world.pull(&tenant, &format!("{host}/team/app:v1")).await.expect("pull");
    let copy = format!("{host}/other/copy");
    tenant.tag(&pushed.id, &copy, "v2").await.expect("tag");

    let (lines, digests) = world.push(&tenant, &copy, Some("v2"), None).await.expect("push");
    assert_eq!(digests, std::slice::from_ref(&pushed.manifest));
    assert_eq!(lines[0], format!("The push refers to repository [{copy}]"));
    assert!(lines.iter().filter(|l| l.ends_with("Preparing")).count() == 2, "{lines:?}");
    assert_eq!(lines.iter().filter(|l| l.ends_with("Mounted from team/app")).count(), 2, "{lines:?}");
    let end = format!("v2: digest: {} size: {}", pushed.manifest, pushed.manifest_size);
    assert_eq!(lines.last(), Some(&end));
    let image = tenant.image(&format!("{copy}:v2")).await.expect("image");
    assert!(image.digests.contains(&(copy.clone(), pushed.manifest.clone())), "{:?}", image.digests);

    let (lines, _) = world.push(&tenant, &copy, None, None).await.expect("again, all tags");
    assert_eq!(lines.iter().filter(|l| l.ends_with("Layer already exists")).count(), 2, "{lines:?}");
    let other = world.tenant().await;
    let (pulled, _) = world.pull(&other, &format!("{copy}:v2")).await.expect("pull of the copy");
    assert_eq!((pulled.id, pulled.digest), (pushed.id, pushed.manifest));
}

#[tokio::test]
async fn an_image_of_our_own_is_pushed_as_docker_does() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let (tenant, name) = (world.tenant().await, format!("{}/mine", registry.host));
    let content = noise("own", 3 << 20);
    let id = world.import(&tenant, &format!("{name}:v1"), &content).await;
    let (lines, digests) = world.push(&tenant, &name, Some("v1"), None).await.expect("push");
    assert!(lines.iter().any(|l| l.ends_with(": Pushed")), "{lines:?}");
    let (lines, again) = world.push(&tenant, &name, Some("v1"), None).await.expect("again");
    assert!(lines.iter().any(|l| l.ends_with(": Layer already exists")) && again == digests, "{lines:?}");

    let url = format!("http://{}/v2/mine/manifests/v1", registry.host);
    let accept = "application/vnd.docker.distribution.manifest.v2+json";
    let answer = reqwest::Client::new().get(url).header("accept", accept).send().await.expect("manifest");
    assert_eq!(answer.headers()["content-type"], accept);
    let manifest: Value = answer.json().await.expect("JSON");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let other = world.tenant().await;
    let (pulled, _) = world.pull(&other, &format!("{name}:v1")).await.expect("pull");
    assert_eq!((&pulled.id, &pulled.digest), (&id, &digests[0]));
}

#[tokio::test]
async fn what_a_tenant_does_not_have_it_cannot_push() {
    let world = World::new(&["127.0.0.1:1"], &[]).await;
    let (owner, other) = (world.tenant().await, world.tenant().await);
    world.import(&owner, "127.0.0.1:1/x:v1", b"x").await;
    let refused =
        async |tenant, tag| world.push(tenant, "127.0.0.1:1/x", tag, None).await.expect_err("refused").to_string();
    let missing = "An image does not exist locally with the tag: 127.0.0.1:1/x";
    assert_eq!(refused(&other, Some("v1")).await, missing);
    assert_eq!(refused(&other, None).await, missing);
    assert_eq!(refused(&owner, Some("v2")).await, "tag does not exist: 127.0.0.1:1/x:v2");
    let unreachable = refused(&owner, Some("v1")).await;
    assert_eq!(unreachable, "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused");
    world.import(&owner, "10.0.0.1/x:v1", b"x").await;
    let error = world.push(&owner, "10.0.0.1/x", Some("v1"), None).await.expect_err("private");
    assert!(matches!(error, Error::Forbidden(_)), "{error}");
}

#[tokio::test]
async fn a_registry_that_wants_a_credential_gets_it() {
    let registry = Registry::protected().await;
    let world = World::new(&[&registry.host], &[]).await;
    let (tenant, name) = (world.tenant().await, format!("{}/mine", registry.host));
    world.import(&tenant, &format!("{name}:v1"), b"x").await;
    let error = world.push(&tenant, &name, Some("v1"), None).await.expect_err("no credential");
    assert!(error.to_string().ends_with("no basic auth credentials"), "{error}");
    let error = world.push(&tenant, &name, Some("v1"), Some(auth("me", "wrong"))).await.expect_err("wrong");
    assert!(matches!(error, Error::Forbidden(_)) && error.to_string().starts_with("unauthorized: "), "{error}");
}

#[tokio::test]
async fn a_registry_that_says_no_is_quoted() {
    let server = Server::start(|own, method, path, authorization| {
        let (method, path) = (method.to_owned(), path.split('?').next().unwrap_or_default().to_owned());
        let realm = format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"s\",scope=\"x\",error=\"insufficient_scope\"\r\n");
        match (method.as_str(), path.as_str()) {
            ("GET", "/token") => (200, String::new(), br#"{"token":"weak"}"#.to_vec()),
            ("GET", "/v2/") if !authorization.is_empty() => (200, String::new(), b"{}".to_vec()),
            ("HEAD", _) => (404, String::new(), Vec::new()),
            _ => (401, realm, Vec::new()),
        }
    })
    .await;
    let world = World::new(&[&server.host], &[]).await;
    let (tenant, name) = (world.tenant().await, format!("{}/mine", server.host));
    world.import(&tenant, &format!("{name}:v1"), b"x").await;
    let error = world.push(&tenant, &name, Some("v1"), None).await.expect_err("denied");
    assert_eq!(error.to_string(), "denied: requested access to the resource is denied");
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let registry = Registry::start().await;
    let proxy = Proxy::start(&registry.host, 3, 0).await;
    let world = World::new(&[&proxy.host], &[]).await;
    let (tenant, name) = (world.tenant().await, format!("{}/mine", proxy.host));
    let id = world.import(&tenant, &format!("{name}:v1"), &noise("cut", 1 << 20)).await;
    let mut pushed = world.push(&tenant, &name, Some("v1"), None).await;
    // The very first look at a registry is not tried again.
    for _ in 0..3 {
        if pushed.is_err() {
            pushed = world.push(&tenant, &name, Some("v1"), None).await;
        }
    }
    pushed.expect("push");
    let other = world.tenant().await;
    assert_eq!(world.pull(&other, &format!("{name}:v1")).await.expect("pull").0.id, id);
}

#[tokio::test]
async fn all_tags_of_all_pages() {
    let server = Server::start(|_, _, path, _| match path {
        "/v2/x/tags/list" => {
            let link = "Link: </v2/x/tags/list?last=b&n=2>; rel=\"next\"\r\n".to_owned();
            (200, link, br#"{"name":"x","tags":["a","b"]}"#.to_vec())
        }
        "/v2/x/tags/list?last=b&n=2" => (200, String::new(), br#"{"name":"x","tags":["c"]}"#.to_vec()),
        _ => (404, String::new(), Vec::new()),
    })
    .await;
    let world = World::new(&[&server.host], &[]).await;
    let tags = world.images.tags(&reference(&format!("{}/x", server.host)), None).await.expect("tags");
    assert_eq!(tags, ["a", "b", "c"]);
}

#[tokio::test]
async fn pulling_all_tags_ends_with_one_word_for_all() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    for tag in ["v1", "v2"] {
        registry.push("app", tag, &[tar_of(tag, b"x")]).await;
    }
    let (tenant, name) = (world.tenant().await, format!("{}/app", registry.host));
    for outcome in ["Downloaded newer image", "Image is up to date"] {
        let (sender, lines) = mpsc::channel(1000);
        world.images.pull_all(&tenant, &reference(&name), None, None, sender).await.expect("pull");
        let lines = said(lines).await;
        assert!(
            lines.contains(&"v1: Pulling from app".to_owned()) && lines.contains(&"v2: Pulling from app".to_owned())
        );
        assert_eq!(
            lines.iter().filter(|l| l.starts_with("Status: ")).collect::<Vec<_>>(),
            [&format!("Status: {outcome} for {name}")]
        );
    }
}

#[tokio::test]
async fn a_registry_is_asked_without_a_pull() {
    let registry = Registry::start().await;
    let world = World::new(&[&registry.host], &[]).await;
    let pushed = registry.push("app", "v1", &[tar_of("a", b"x")]).await;
    let found = world.images.distribution(&reference(&format!("{}/app:v1", registry.host)), None).await.expect("found");
    assert_eq!((&found.digest, found.size_bytes as usize), (&pushed.manifest, pushed.manifest_size));
    assert_eq!(found.media_type, "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(found.platforms, [json!({"architecture": "amd64", "os": "linux"})]);
    let error = world.images.distribution(&reference(&format!("{}/app:v2", registry.host)), None).await;
    assert_eq!(error.expect_err("missing").to_string(), "manifest unknown: manifest unknown");
}
