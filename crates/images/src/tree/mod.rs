//! Trees of files that exist as tars only: a build's context, and what the layers of an image add up to.
//!
//! Nothing is ever written to a path that an archive names: a path is a key of a map, the data a place in one nameless
//! file or in a stored layer. So links can be followed only inside the tree, whatever they say.

mod context;
mod excerpt;
mod layers;
mod listing;
pub(crate) mod write;

use crate::layer::{Attributes, EntryKind};

pub use context::{Scratch, Tree};
pub use layers::{Indexes, Rootfs};
pub use listing::Listing;
pub use write::{LayerWriter, NewEntry};

/// Entries of one tree.
const ENTRIES_MAX: usize = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    File,
    Directory,
    Symlink,
    /// Devices and FIFOs; none of them is ever copied.
    Other,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub kind: NodeKind,
    /// Permissions, with the set-id and sticky bits.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime_s: u64,
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Of symbolic links.
    pub target: String,
    pub size_bytes: u64,
    /// Where the data is in the tar that holds it; `layer` says in which, where there are several.
    pub(crate) offset: u64,
    pub(crate) layer: usize,
}

impl Node {
    fn of(kind: NodeKind, attributes: Attributes, target: String, size_bytes: u64, offset: u64) -> Self {
        let Attributes { mode, uid, gid, mtime_s, xattrs } = attributes;
        Self { kind, mode, uid, gid, mtime_s, xattrs, target, size_bytes, offset, layer: 0 }
    }

    /// A directory that nothing says anything of.
    pub fn directory() -> Self {
        let attributes = Attributes { mode: 0o755, ..Attributes::default() };
        Self::of(NodeKind::Directory, attributes, String::new(), 0, 0)
    }

    pub fn is_directory(&self) -> bool {
        self.kind == NodeKind::Directory
    }
}

/// None for hard links, which are another name of a node.
fn kind_of(kind: EntryKind) -> Option<NodeKind> {
    match kind {
        EntryKind::File => Some(NodeKind::File),
        EntryKind::Directory => Some(NodeKind::Directory),
        EntryKind::Symlink => Some(NodeKind::Symlink),
        EntryKind::Other => Some(NodeKind::Other),
        EntryKind::HardLink => None,
    }
}

/// `/a//./b/../c/` -> `a/c`; what climbs out stays inside. The root is empty.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
