//! Every reader of foreign bytes over its seeds and thousands of inputs made of them: what libFuzzer does for hours
//! (`tests/fuzz`), for a second each and without its tool chain. What it found stays among the seeds or in the reader's tests.

mod shake;
#[path = "targets/mod.rs"]
mod targets;

use shake::shake;
use targets::{
    archive, challenge, changes, detach_keys, dockerfile, filters, json, layer, manifest, mounts, ports, reference,
    registry_auth, timestamp,
};

#[test]
fn archive() {
    shake(archive::SEEDS, archive::run);
}

#[test]
fn challenge() {
    shake(challenge::SEEDS, challenge::run);
}

#[test]
fn changes() {
    shake(changes::SEEDS, changes::run);
}

#[test]
fn detach_keys() {
    shake(detach_keys::SEEDS, detach_keys::run);
}

#[test]
fn dockerfile() {
    shake(dockerfile::SEEDS, dockerfile::run);
}

#[test]
fn filters() {
    shake(filters::SEEDS, filters::run);
}

#[test]
fn json() {
    shake(json::SEEDS, json::run);
}

#[test]
fn layer() {
    shake(layer::SEEDS, layer::run);
}

#[test]
fn manifest() {
    shake(manifest::SEEDS, manifest::run);
}

#[test]
fn mounts() {
    shake(mounts::SEEDS, mounts::run);
}

#[test]
fn ports() {
    shake(ports::SEEDS, ports::run);
}

#[test]
fn reference() {
    shake(reference::SEEDS, reference::run);
}

#[test]
fn registry_auth() {
    shake(registry_auth::SEEDS, registry_auth::run);
}

#[test]
fn timestamp() {
    shake(timestamp::SEEDS, timestamp::run);
}

/// A target that nobody runs finds nothing.
#[test]
fn each_target_is_a_fuzz_target_too() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let names = |dir: &str| {
        let entries = std::fs::read_dir(format!("{root}{dir}")).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.retain(|name| name != "mod.rs");
        names.sort();
        names
    };
    assert_eq!(names("parsers/targets"), names("fuzz/fuzz_targets"));
    let here = include_str!("main.rs");
    for name in names("parsers/targets") {
        let name = name.trim_end_matches(".rs");
        assert!(here.contains(&format!("shake({name}::SEEDS, {name}::run)")), "{name} is not shaken");
    }
}
