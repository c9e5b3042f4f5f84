//! A part of an image's files with their data: what `COPY --from` reads.

use std::{
    collections::BTreeMap,
    io::{self, Seek as _, Write as _},
};

use domain::{Error, Result};

use super::{Node, NodeKind, Rootfs, Tree, layers::walk_layer, listing::join};
use crate::{
    layer::unreadable,
    store::{BlobStore, unavailable},
};

/// What one excerpt may hold.
const EXCERPT_MAX_BYTES: u64 = 16 << 30;

impl Rootfs {
    /// The trees and files at `paths` (links resolved), data included. Each layer is read once.
    pub(crate) async fn excerpt(&self, store: &BlobStore, paths: &[String]) -> Result<Tree> {
        let mut tree = Tree::empty(store.spool())?;
        // For each layer, by offset: all places that have this data.
        let mut wanted: BTreeMap<usize, BTreeMap<u64, Vec<(String, Node)>>> = BTreeMap::new();
        let mut total_bytes = 0;
        for path in paths {
            let itself = self.listing.get(path).map(|node| (path.clone(), node));
            let below = self.listing.below(path).map(|(name, node)| (join(path, name), node));
            let is_directory = self.listing.is_directory(path);
            for (path, node) in itself.into_iter().chain(below.filter(|_| is_directory)) {
                match node.kind {
                    NodeKind::File => {
                        total_bytes += node.size_bytes;
                        let places = wanted.entry(node.layer).or_default().entry(node.offset).or_default();
                        places.push((path, node.clone()));
                    }
                    _ => tree.listing.put(&path, node.clone()),
                }
            }
        }
        if total_bytes > EXCERPT_MAX_BYTES {
            return Err(Error::invalid(format!("COPY takes more than {EXCERPT_MAX_BYTES} bytes (policy B11)")));
        }
        for (layer, places) in wanted {
            let digest = self.layers.get(layer).map(|l| l.digest.clone());
            let digest = digest.ok_or_else(|| Error::internal("an excerpt of a layer that is not there"))?;
            let file = tree.file.try_clone().map_err(unavailable)?;
            let found = walk_layer(store, &digest, move |walk| {
                let mut file = file;
                let mut found = Vec::new();
                let mut left = places.values().filter(|p| p.iter().any(|(_, n)| n.size_bytes > 0)).count();
                while left > 0 {
                    let Some(entry) = walk.next().map_err(unreadable)? else { break };
                    let Some(nodes) = places.get(&entry.offset).filter(|_| entry.size_bytes > 0) else { continue };
                    let offset = file.seek(io::SeekFrom::End(0)).map_err(unavailable)?;
                    let mut writer = io::BufWriter::with_capacity(1 << 20, &mut file);
                    walk.copy_data(entry.size_bytes, &mut writer).map_err(unreadable)?;
                    writer.flush().map_err(unavailable)?;
                    drop(writer);
                    left -= 1;
                    found.extend(nodes.iter().map(|(path, node)| (path.clone(), Node { offset, ..node.clone() })));
                }
                // Files without data have no place of their own.
                found.extend(places.into_values().flatten().filter(|(_, node)| node.size_bytes == 0));
                Ok(found)
            })
            .await?;
            for (path, node) in found {
                tree.listing.put(&path, node);
            }
        }
        Ok(tree)
    }
}
