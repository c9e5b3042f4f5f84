//! Records become chunks: small ones are put together, large ones pass without a copy.
//!
//! A chunk holds one stream, and chunks keep the order of the records. For `logs` a chunk ends at the end of a line
//! where that is possible, since many clients take one frame for one or more whole lines; for `attach` it does not matter.

use bytes::{Bytes, BytesMut};
use rpc::v1;

use super::{
    lines::{Lines, Prefix},
    record::{Kind, Record},
};

/// A chunk that is put together from small records.
const CHUNK_BYTES: usize = 64 << 10;
/// From this size on, copying costs more than a chunk of its own.
const LARGE_BYTES: usize = 16 << 10;
/// How much of an unfinished line is held back to complete it.
const HOLD_BYTES: usize = 32 << 10;

/// A larger chunk would hold up others on its connection.
const MAX_CHUNK_BYTES: usize = 256 << 10;
/// Prefixes multiply short lines, so that few bytes at a time are taken then.
const PREFIXED_BYTES: usize = 4 << 10;

/// How output is cut.
#[derive(Debug)]
pub(super) enum Form {
    /// As it comes.
    Raw,
    /// At ends of lines.
    Lines,
    /// At ends of lines, with something before each.
    Prefixed(Prefix),
}

/// Collects chunks.
#[derive(Debug)]
pub(super) struct Shape {
    form: Form,
    stdout: Lines,
    stderr: Lines,
    stream: v1::Stream,
    pending: BytesMut,
    ready: Vec<v1::Chunk>,
}

impl Shape {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            stdout: Lines::default(),
            stderr: Lines::default(),
            stream: v1::Stream::Stdout,
            pending: BytesMut::new(),
            ready: Vec::new(),
        }
    }

    /// How many bytes `push` should be given at most.
    pub(super) fn portion_bytes(&self) -> usize {
        if matches!(self.form, Form::Prefixed(_)) { PREFIXED_BYTES } else { usize::MAX }
    }

    /// Adds what is to be shown of a record, or a part of it.
    pub(super) fn push(&mut self, record: &Record, payload: Bytes) {
        let stream = if record.kind == Kind::Stderr { v1::Stream::Stderr } else { v1::Stream::Stdout };
        match &self.form {
            Form::Prefixed(prefix) => {
                let lines = if stream == v1::Stream::Stderr { &mut self.stderr } else { &mut self.stdout };
                let mut text = BytesMut::new();
                lines.push(&payload, record.unix_ns, prefix, &mut text);
                self.add(stream, text.freeze());
            }
            Form::Raw | Form::Lines => self.add(stream, payload),
        }
    }

    /// What is finished, in order.
    pub(super) fn take(&mut self) -> Vec<v1::Chunk> {
        std::mem::take(&mut self.ready)
    }

    /// Nothing more may come for a while: what is held back is shown.
    pub(super) fn flush(&mut self) {
        self.finish_lines(Lines::flush);
    }

    /// The next byte of either stream begins a line.
    pub(super) fn end_run(&mut self) {
        self.finish_lines(Lines::end_run);
    }

    fn finish_lines(&mut self, finish: fn(&mut Lines, &mut BytesMut)) {
        for stream in [v1::Stream::Stdout, v1::Stream::Stderr] {
            let lines = if stream == v1::Stream::Stderr { &mut self.stderr } else { &mut self.stdout };
            let mut text = BytesMut::new();
            finish(lines, &mut text);
            self.add(stream, text.freeze());
        }
        self.emit_pending();
    }

    fn add(&mut self, stream: v1::Stream, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if stream != self.stream {
            self.emit_pending();
            self.stream = stream;
        }
        if bytes.len() < LARGE_BYTES {
            self.pending.extend_from_slice(&bytes);
        } else {
            self.add_large(bytes);
        }
        if self.pending.len() >= CHUNK_BYTES {
            self.emit_lines();
        }
    }

    /// Only the unfinished line at either end is copied.
    fn add_large(&mut self, mut bytes: Bytes) {
        if !self.pending.is_empty() {
            let head = self.line_bytes(&bytes);
            self.pending.extend_from_slice(&bytes.split_to(head));
            self.emit_pending();
        }
        let rest = self.unfinished_bytes(&bytes);
        let tail = bytes.split_off(bytes.len() - rest);
        self.emit(bytes);
        self.pending.extend_from_slice(&tail);
    }

    /// Leaves the unfinished line at the end pending.
    fn emit_lines(&mut self) {
        let rest = self.unfinished_bytes(&self.pending);
        let tail = self.pending.split_off(self.pending.len() - rest);
        self.emit_pending();
        self.pending = tail;
    }

    fn emit_pending(&mut self) {
        let bytes = self.pending.split().freeze();
        self.emit(bytes);
    }

    fn emit(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(MAX_CHUNK_BYTES));
            self.ready.push(v1::Chunk { stream: self.stream.into(), data });
        }
    }

    /// Up to the first end of a line, if one is near.
    fn line_bytes(&self, bytes: &[u8]) -> usize {
        let near = &bytes[..bytes.len().min(HOLD_BYTES)];
        if matches!(self.form, Form::Raw) { 0 } else { near.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1) }
    }

    /// Behind the last end of a line, if one is near.
    fn unfinished_bytes(&self, bytes: &[u8]) -> usize {
        let near = &bytes[bytes.len().saturating_sub(HOLD_BYTES)..];
        if matches!(self.form, Form::Raw) { 0 } else { near.iter().rev().position(|&b| b == b'\n').unwrap_or(0) }
    }
}
