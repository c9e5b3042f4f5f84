//! A registry of the test's own, and pushing to it by plain HTTP.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use domain::Digest;
use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};

use super::gzip;
use crate::media;

/// bcrypt of `secret`.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

pub(crate) struct Registry {
    process: Child,
    /// `127.0.0.1:port`
    pub(crate) host: String,
    client: Client,
    protected: bool,
    _dir: tempfile::TempDir,
}

/// An image as it was pushed.
#[derive(Clone)]
pub(crate) struct Pushed {
    pub(crate) id: Digest,
    pub(crate) manifest: Digest,
    pub(crate) manifest_size: usize,
    pub(crate) layers: Vec<Digest>,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        Self::with(false).await
    }

    /// Takes only `me` with the password `secret`.
    pub(crate) async fn protected() -> Self {
        Self::with(true).await
    }

    async fn with(protected: bool) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let host = format!("127.0.0.1:{port}");
        let root = dir.path().display();
        std::fs::write(dir.path().join("htpasswd"), HTPASSWD).expect("htpasswd");
        let auth = if protected {
            format!("auth: {{htpasswd: {{realm: r, path: {root}/htpasswd}}}}\n")
        } else {
            String::new()
        };
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: \"{host}\"}}\n{auth}"
        );
        std::fs::write(dir.path().join("config.yml"), config).expect("config");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let registry = Self { process, host, client: Client::new(), protected, _dir: dir };
        registry.wait().await;
        registry
    }

    async fn wait(&self) {
        for _ in 0..200 {
            if self.client.get(format!("http://{}/v2/", self.host)).send().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the registry did not start");
    }

    fn request(&self, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, url);
        if self.protected { request.basic_auth("me", Some("secret")) } else { request }
    }

    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let start = format!("http://{}/v2/{repository}/blobs/uploads/", self.host);
        let answer = self.request(reqwest::Method::POST, &start).send().await.expect("upload");
        let place = answer.headers()[header::LOCATION].to_str().expect("location").to_owned();
        let url = format!("{place}{}digest={digest}", if place.contains('?') { "&" } else { "?" });
        let put = self.request(reqwest::Method::PUT, &url).body(bytes.to_vec()).send().await.expect("put");
        assert_eq!(put.status(), StatusCode::CREATED);
        digest
    }

    pub(crate) async fn push_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        manifest: &Value,
    ) -> Digest {
        let bytes = serde_json::to_vec(manifest).expect("json");
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.host);
        let put = self.request(reqwest::Method::PUT, &url).header(header::CONTENT_TYPE, media_type);
        let answer = put.body(bytes.clone()).send().await.expect("put");
        assert_eq!(answer.status(), StatusCode::CREATED, "{}", answer.text().await.expect("text"));
        Digest::of(&bytes)
    }

    /// Layers are tars, pushed gzipped.
    pub(crate) async fn push(&self, repository: &str, tag: &str, tars: &[Vec<u8>]) -> Pushed {
        self.push_for(repository, tag, tars, "amd64").await
    }

    pub(crate) async fn push_for(&self, repository: &str, tag: &str, tars: &[Vec<u8>], architecture: &str) -> Pushed {
        let mut layers = Vec::new();
        let mut descriptors = Vec::new();
        for tar in tars {
            let blob = gzip(tar);
            let digest = self.push_blob(repository, &blob).await;
            descriptors.push(json!({ "mediaType": media::LAYER_GZIP, "digest": digest, "size": blob.len() }));
            layers.push(digest);
        }
        let diff_ids: Vec<Digest> = tars.iter().map(|t| Digest::of(t)).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "created": "2024-01-02T03:04:05Z", "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config).expect("json");
        let id = self.push_blob(repository, &config).await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "layers": descriptors,
            "config": {"mediaType": media::OCI_CONFIG, "digest": id, "size": config.len()},
        });
        let manifest_size = serde_json::to_vec(&manifest).expect("json").len();
        let manifest = self.push_manifest(repository, tag, media::OCI_MANIFEST, &manifest).await;
        Pushed { id, manifest, manifest_size, layers }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
