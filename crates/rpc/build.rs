//! Generates the messages and services of `/proto`.

fn main() -> std::io::Result<()> {
    let root = "../../proto";
    let files = ["common", "agent", "scheduler", "frontend", "layers"].map(|name| format!("{root}/{name}.proto"));
    println!("cargo::rerun-if-changed={root}");
    // Bytes: stream chunks pass through without a copy.
    tonic_prost_build::configure().bytes(".").compile_protos(&files, &[root.to_owned()])
}
