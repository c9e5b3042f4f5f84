//! What the layers of an image add up to: OCI's whiteouts applied, hard links resolved.
//!
//! A layer is read to its end once to learn its names; what was learned is kept in memory for the next build, within a
//! bound. The data stays in the store: [`super::excerpt`] fetches it.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use domain::{Digest, Error, Layer, Result};
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::{ENTRIES_MAX, Node, clean, kind_of, listing::Listing};
use crate::{
    layer::{Entry, QueueReader, Walk, sniffed, unreadable},
    store::BlobStore,
};

const QUEUE: usize = 16;
/// Entries of all layers that are kept.
const KEPT_MAX: usize = 500_000;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// An image's root file system.
#[derive(Debug, Clone, Default)]
pub struct Rootfs {
    pub listing: Listing,
    pub(super) layers: Vec<Layer>,
}

#[derive(Debug, Default)]
struct LayerIndex {
    /// In the order of the tar.
    nodes: Vec<(String, Node)>,
    /// Name and target.
    hard_links: Vec<(String, String)>,
    removed: Vec<String>,
    /// Directories whose lower content is hidden.
    opaque: Vec<String>,
}

/// What layers hold, of those that were asked for last.
#[derive(Debug, Default)]
pub struct Indexes(Mutex<VecDeque<(Digest, Arc<LayerIndex>)>>);

impl Indexes {
    pub(crate) async fn rootfs(&self, store: &BlobStore, layers: &[Layer]) -> Result<Rootfs> {
        let mut listing = Listing::default();
        for (number, layer) in layers.iter().enumerate() {
            let index = match self.known(&layer.digest) {
                Some(index) => index,
                None => self.keep(&layer.digest, read(store, &layer.digest).await?),
            };
            index.put_on(&mut listing, number);
            if listing.len() > ENTRIES_MAX {
                return Err(Error::invalid(format!("the image holds more than {ENTRIES_MAX} files (policy B02)")));
            }
        }
        Ok(Rootfs { listing, layers: layers.to_vec() })
    }

    fn known(&self, digest: &Digest) -> Option<Arc<LayerIndex>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(d, _)| d == digest)?;
        let entry = kept.remove(at)?;
        let index = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(index)
    }

    fn keep(&self, digest: &Digest, index: LayerIndex) -> Arc<LayerIndex> {
        let index = Arc::new(index);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((digest.clone(), Arc::clone(&index)));
        let mut total = 0;
        kept.retain(|(_, index)| {
            total += index.nodes.len();
            total <= KEPT_MAX
        });
        index
    }
}

impl LayerIndex {
    fn add(&mut self, entry: Entry) {
        let path = clean(&entry.name);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == OPAQUE {
            self.opaque.push(folder.to_owned());
        } else if let Some(gone) = name.strip_prefix(WHITEOUT) {
            self.removed.push(super::listing::join(folder, gone));
        } else {
            match kind_of(entry.kind) {
                Some(kind) => {
                    let node = Node::of(kind, entry.attributes, entry.target, entry.size_bytes, entry.offset);
                    self.nodes.push((path, node));
                }
                None => self.hard_links.push((path, clean(&entry.target))),
            }
        }
    }

    /// What is removed was in lower layers, whatever the order in the tar.
    fn put_on(&self, listing: &mut Listing, layer: usize) {
        for path in &self.opaque {
            listing.remove_below(path);
        }
        for path in &self.removed {
            listing.remove(path);
        }
        for (path, node) in &self.nodes {
            listing.put(path, Node { layer, ..node.clone() });
        }
        for (path, target) in &self.hard_links {
            if let Some(node) = listing.get(target).cloned() {
                listing.put(path, node);
            }
        }
    }
}

async fn read(store: &BlobStore, digest: &Digest) -> Result<LayerIndex> {
    walk_layer(store, digest, |walk| {
        let mut index = LayerIndex::default();
        while let Some(entry) = walk.next().map_err(unreadable)? {
            index.add(entry);
            if index.nodes.len() + index.removed.len() > ENTRIES_MAX {
                return Err(Error::invalid(format!("a layer holds more than {ENTRIES_MAX} files (policy B02)")));
            }
        }
        Ok(index)
    })
    .await
}

/// Runs `work` on a stored layer, on a blocking thread.
pub(super) async fn walk_layer<T, W>(store: &BlobStore, digest: &Digest, work: W) -> Result<T>
where
    T: Send + 'static,
    W: FnOnce(&mut Walk<Box<dyn Read + Send>>) -> Result<T> + Send + 'static,
{
    let mut stream = store.read(digest).await?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let worker = tokio::task::spawn_blocking(move || {
        let (compression, buffered) = sniffed(QueueReader::new(receiver)).map_err(unreadable)?;
        work(&mut Walk::new(compression.decoder(buffered).map_err(unreadable)?))
    });
    while let Some(chunk) = stream.next().await {
        if sender.send(chunk.map_err(io::Error::other)).await.is_err() {
            break; // it has what it wants, or a reason to stop
        }
    }
    drop(sender);
    worker.await.map_err(|e| Error::because("reading a layer", e))?
}

#[cfg(test)]
mod tests {
    use super::{super::NodeKind, *};

    fn layer(entries: &[(&str, Option<&str>)]) -> LayerIndex {
        let mut index = LayerIndex::default();
        for (name, hard_link) in entries {
            let mut header = tar::Header::new_ustar();
            let kind = match (hard_link, name.ends_with('/')) {
                (Some(_), _) => tar::EntryType::Link,
                (None, true) => tar::EntryType::Directory,
                (None, false) => tar::EntryType::Regular,
            };
            header.set_entry_type(kind);
            header.set_path(name).expect("path");
            if let Some(target) = hard_link {
                header.set_link_name(target).expect("link");
            }
            header.set_size(0);
            header.set_cksum();
            let bytes = header.as_bytes().to_vec();
            index.add(Walk::new(bytes.as_slice()).next().expect("walk").expect("entry"));
        }
        index
    }

    #[test]
    fn layers_add_up_as_the_oci_says() {
        let mut listing = Listing::default();
        layer(&[("etc/", None), ("etc/a", None), ("etc/b", None), ("usr/lib/x", None), ("f", None)])
            .put_on(&mut listing, 0);
        layer(&[("etc/.wh.a", None), ("usr/lib/new", None), ("usr/lib/.wh..wh..opq", None), ("hard", Some("f"))])
            .put_on(&mut listing, 1);
        let names: Vec<&str> = listing.all().map(|(path, _)| path).collect();
        assert_eq!(names, ["etc", "etc/b", "f", "hard", "usr", "usr/lib", "usr/lib/new"]);
        let hard = listing.get("hard").expect("hard link");
        assert_eq!((hard.kind, hard.layer), (NodeKind::File, 0), "the data is where it was written");
    }
}
