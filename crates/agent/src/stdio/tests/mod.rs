//! `segments`: what is read from segments that a test wrote. `live`: together with a real logger. `pipes`: FIFOs.

#![allow(clippy::unwrap_used)]

mod live;
mod pipes;
mod segments;

use std::{
    fs,
    path::{Path, PathBuf},
};

use domain::{LogDriver, LogSpec};
use futures::StreamExt;
use rpc::v1::{self, stream_output::Output as Item};

use super::{Output, Paths, paths};

/// A directory for one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wharfinger-stdio-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("run")).unwrap();
        Self(path)
    }

    fn paths(&self) -> Paths {
        paths(&self.0, &self.0.join("run"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a client got.
#[derive(Debug, Default, PartialEq, Eq)]
struct Got {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    chunks: Vec<(i32, usize)>,
    error: Option<String>,
}

impl Got {
    fn add(&mut self, item: domain::Result<v1::StreamOutput>) {
        match item.map(|i| i.output.unwrap()) {
            Ok(Item::Attached(attached)) => {
                assert!(self.chunks.is_empty() || attached.place.is_some(), "attached comes first, then places only");
            }
            Ok(Item::Chunk(chunk)) => {
                self.chunks.push((chunk.stream, chunk.data.len()));
                let to = if chunk.stream == 1 { &mut self.stdout } else { &mut self.stderr };
                to.extend_from_slice(&chunk.data);
            }
            Ok(Item::Exit(exit)) => panic!("{exit:?}"),
            Err(e) => self.error = Some(e.to_string()),
        }
    }
}

async fn collect(mut output: Output) -> Got {
    let mut got = Got::default();
    while let Some(item) = output.next().await {
        got.add(item);
    }
    got
}

fn log_spec(max_size_bytes: u64, max_files: u32) -> LogSpec {
    LogSpec { driver: LogDriver::JsonFile, max_size_bytes, max_files, attributes: Default::default() }
}

fn all() -> v1::LogsRequest {
    v1::LogsRequest { stdout: true, stderr: true, ..Default::default() }
}

fn record(kind: u8, unix_ns: u64, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&len[..], &[kind, 0, 0, 0], &unix_ns.to_le_bytes(), payload, &len].concat()
}

/// One segment with these records.
fn write(dir: &Path, number: u64, records: &[Vec<u8>]) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(format!("{number:08}.log")), records.concat()).unwrap();
}
