//! The arrows between crates, as `cargo metadata` sees them. A new arrow is a decision: change the table on purpose.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// What each crate may use of the workspace.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("docker-api", &[]),
    ("policy", &["domain", "docker-api"]),
    ("rpc", &["domain"]),
    ("inventory", &["domain"]),
    ("identity", &["domain", "inventory"]),
    ("images", &["domain", "inventory"]),
    ("bootstrap", &[]),
    ("build", &["domain", "images"]),
    ("frontend", &["domain", "docker-api", "policy", "rpc", "inventory", "identity", "images", "bootstrap", "build"]),
    ("scheduler", &["domain", "rpc", "inventory", "bootstrap"]),
    ("agent", &["domain", "docker-api", "policy", "rpc", "bootstrap"]),
    ("edge", &["domain", "rpc", "bootstrap"]),
    // The helpers that run beside containers: the standard library and libc, nothing else.
    ("logger", &[]),
    ("enter", &[]),
    (
        "wharfinger",
        &["domain", "rpc", "inventory", "identity", "images", "bootstrap", "frontend", "scheduler", "agent", "edge"],
    ),
    // `tests/parsers` calls readers directly; the tests from outside use none of them.
    ("e2e", &["domain", "docker-api", "policy", "images", "build"]),
];

/// Crates that only one of ours may name.
const OWNED: &[(&str, &[&str])] = &[
    ("sqlx", &["inventory"]),
    ("containerd-client", &["agent"]),
    ("rtnetlink", &["agent"]),
    ("object_store", &["images"]),
    ("axum", &["frontend"]),
];

fn metadata() -> Value {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo metadata runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// Name of each workspace crate with the names of all that it depends on, tests included.
fn dependencies(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let members: Vec<&str> =
        metadata["workspace_members"].as_array().expect("members").iter().filter_map(Value::as_str).collect();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .filter(|p| members.contains(&p["id"].as_str().expect("id")))
        .map(|p| {
            let names = p["dependencies"].as_array().expect("dependencies").iter();
            (
                p["name"].as_str().expect("name").to_owned(),
                names.filter_map(|d| d["name"].as_str()).map(str::to_owned).collect(),
            )
        })
        .collect()
}

#[test]
fn arrows_only_point_down() {
    let found = dependencies(&metadata());
    let known: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (name, dependencies) in &found {
        let (_, allowed) =
            ARROWS.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("crate {name} is not in the table"));
        for used in dependencies.iter().filter(|d| known.contains(&d.as_str())) {
            assert!(allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
}

#[test]
fn an_engine_is_named_by_its_owner_only() {
    for (name, dependencies) in dependencies(&metadata()) {
        for (engine, owners) in OWNED {
            let uses = dependencies.iter().any(|d| d == engine);
            assert!(!uses || owners.contains(&name.as_str()), "{name} must not use {engine}");
        }
    }
}

#[test]
fn the_container_helpers_use_the_standard_library_and_libc() {
    let found = dependencies(&metadata());
    for helper in ["logger", "enter"] {
        for used in found.get(helper).into_iter().flatten() {
            assert!(["libc", "tempfile", "proptest"].contains(&used.as_str()), "{helper} must not use {used}");
        }
    }
}

/// `cargo tree`, since the metadata's resolution also holds what no feature turns on.
#[test]
fn there_is_one_tls_stack() {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--offline", "--prefix", "none", "--format", "{p}", "--edges", "normal,build"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo tree runs");
    let tree = String::from_utf8_lossy(&out.stdout).into_owned();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"rustls") && names.contains(&"aws-lc-rs"), "{tree}");
    for other in ["ring", "openssl", "openssl-sys", "native-tls"] {
        assert!(!names.contains(&other), "{other} is in the build");
    }
}
