//! Lines for the client; with `q` they are kept, and shown only when the build fails.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use docker_api::progress::Line;
use serde_json::json;
use tokio::sync::mpsc;

/// Of a quiet build's lines.
const KEPT_MAX_BYTES: usize = 4 << 20;

pub(super) struct Output {
    lines: mpsc::Sender<Bytes>,
    kept: Option<Mutex<Vec<Bytes>>>,
}

impl Output {
    pub(super) fn new(lines: mpsc::Sender<Bytes>, quiet: bool) -> Self {
        Self { lines, kept: quiet.then(|| Mutex::new(Vec::new())) }
    }

    pub(super) async fn say(&self, said: ::build::Said) {
        let line = match said {
            ::build::Said::Out(text) => Line::stream(text),
            ::build::Said::Err(text) => Line::stream(format!("\u{1b}[91m{text}\u{1b}[0m")),
            ::build::Said::Id(id) if self.kept.is_none() => Line { aux: Some(json!({ "ID": id })), ..Line::default() },
            ::build::Said::Id(_) => return,
        };
        self.line(&line).await;
    }

    pub(super) async fn line(&self, line: &Line) {
        let bytes = Bytes::from(line.to_bytes());
        match &self.kept {
            // Nobody reads any more: the build is about to be ended.
            None => drop(self.lines.send(bytes).await),
            Some(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.iter().map(Bytes::len).sum::<usize>() < KEPT_MAX_BYTES {
                    kept.push(bytes);
                }
            }
        }
    }

    /// What is said whatever was asked for.
    pub(super) async fn loud(&self, line: &Line) {
        let _ = self.lines.send(Bytes::from(line.to_bytes())).await;
    }

    /// A quiet build has failed.
    pub(super) async fn show_kept(&self) {
        let Some(kept) = &self.kept else { return };
        let lines = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
        for line in lines {
            let _ = self.lines.send(line).await;
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.kept.is_some()
    }
}
