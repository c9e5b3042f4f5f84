//! Layers: what they are compressed with, what their tars hold, and their way into the store.

mod compression;
mod inspect;
mod plain;
mod ration;
mod receive;
mod walk;

pub(crate) use compression::sniffed;
pub(crate) use inspect::{Inspection, climbs_out, inspect, unreadable};
pub use plain::unpacked;
pub(crate) use plain::{decoded, plain};
pub(crate) use ration::Ration;
pub(crate) use receive::{QueueReader, Received, facts, receive};
pub(crate) use walk::{Attributes, Entry, EntryKind, Walk};
