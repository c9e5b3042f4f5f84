//! Manifests, lists of manifests and images' configs, as a registry or an archive gives them.

use images::foreign;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

pub const SEEDS: &[&[u8]] = &[
    br#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","size":1},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","size":7}]}"#,
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","size":1,"platform":{"architecture":"arm64","os":"linux","variant":"v8"}}]}"#,
    br#"{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","rootfs":{"type":"layers","diff_ids":["sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]},"history":[{"created_by":"x"}],"config":{"Cmd":["sh"]}}"#,
    br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
];

pub fn run(data: &[u8]) {
    for content_type in ["", OCI] {
        let _ = foreign::manifest(data, content_type);
    }
    let _ = foreign::config(data);
}
