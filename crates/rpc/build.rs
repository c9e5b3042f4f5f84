//! Generates the messages and services of `/proto`, all files of it.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let root = "../../proto";
    println!("cargo::rerun-if-changed={root}");
    let entries = std::fs::read_dir(root)?.map(|entry| entry.map(|e| e.path()));
    let mut files: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "proto"));
    files.sort();
    // Bytes: stream chunks pass through without a copy.
    tonic_prost_build::configure().bytes(".").compile_protos(&files, &[root.into()])
}
