//! Binds, mounts and tmpfs as `docker create` sends them: no path of a host gets through.

use std::collections::BTreeMap;

use docker_api::strict;
use domain::{Digest, ImageRootfs, LogDriver};
use policy::{Accepted, CreateContext, ImageFacts, Package};
use serde_json::{Value, json};

pub const SEEDS: &[&[u8]] = &[
    b"vol:/data:ro",
    b"/etc:/host",
    b"../x:/y:rw,nocopy",
    b"vol:/a/../../proc:z",
    b"size=1m,mode=1777,noexec",
    b"v:/data:rprivate,ro",
];

pub fn run(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let first = text.split('\n').next().unwrap_or("");
    let bodies = [
        json!({ "HostConfig": { "Binds": [text] } }),
        json!({ "HostConfig": { "Tmpfs": { "/t": text } } }),
        json!({ "HostConfig": { "Tmpfs": { first: "" } } }),
        json!({ "HostConfig": { "Mounts": [{ "Type": "volume", "Source": first, "Target": text }] } }),
        json!({ "Volumes": { text: {} } }),
    ];
    for accepted in bodies.iter().filter_map(create) {
        for target in targets(&accepted) {
            let bad = ["/proc", "/sys", "/dev"].iter().any(|p| target == *p || target.starts_with(&format!("{p}/")));
            let climbs = target.split('/').any(|part| part == "..");
            assert!(target.starts_with('/') && target != "/" && !bad && !climbs, "{target:?}");
        }
    }
}

fn targets(accepted: &Accepted) -> impl Iterator<Item = &str> {
    let volumes = accepted.spec.volumes.iter().map(|volume| volume.target.as_str());
    volumes.chain(accepted.spec.tmpfs.iter().map(|tmpfs| tmpfs.target.as_str()))
}

/// The whole of `docker create`'s check over one body.
pub(super) fn create(body: &Value) -> Option<Accepted> {
    let package = Package::standard();
    let rootfs = ImageRootfs { image_id: Digest::of(b"image"), layers: Vec::new() };
    let image = ImageFacts::read(rootfs, br#"{"config":{"Cmd":["sh"]}}"#).expect("an image");
    let context = CreateContext {
        package: &package,
        image: &image,
        id: &"01".repeat(32).parse().expect("an id"),
        name: &"web".parse().expect("a name"),
        default_log: LogDriver::JsonFile,
        reserved_ports: &[22],
        volumes_from: &BTreeMap::new(),
    };
    let config = strict::parse(&serde_json::to_vec(body).expect("JSON")).ok()?;
    policy::create(&context, config).ok()
}
