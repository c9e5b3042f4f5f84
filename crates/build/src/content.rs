//! What the cache compares of copied files: kinds, names, modes, sizes and content; never times or owners, as dockerd.
//! Blocking.

use std::io::Read as _;

use domain::{Error, Result};
use images::tree::{Node, NodeKind, Tree};
use sha2::{Digest as _, Sha256};

use crate::copy::Picked;

/// `file:`, `dir:` or `multi:` and a hash.
pub(crate) fn hash(trees: &[Tree], picked: &[Picked]) -> Result<String> {
    let mut hashes = Vec::new();
    for source in picked {
        let tree = trees.get(source.tree).ok_or_else(|| Error::internal("a hash of no tree"))?;
        hashes.push(of(tree, source)?);
    }
    match &hashes[..] {
        [(kind, only)] => Ok(format!("{kind}:{only}")),
        all => {
            let mut together = Sha256::new();
            for (kind, hash) in all {
                together.update(format!("{kind}:{hash},"));
            }
            Ok(format!("multi:{}", hex::encode(together.finalize())))
        }
    }
}

fn of(tree: &Tree, source: &Picked) -> Result<(&'static str, String)> {
    let mut hash = Sha256::new();
    match tree.listing.get(&source.path).filter(|node| !node.is_directory()) {
        Some(node) => {
            add(&mut hash, tree, &source.name, node)?;
            Ok(("file", hex::encode(hash.finalize())))
        }
        None => {
            for (path, node) in tree.listing.below(&source.path) {
                add(&mut hash, tree, path, node)?;
            }
            let kind = if source.is_archive { "file" } else { "dir" };
            Ok((kind, hex::encode(hash.finalize())))
        }
    }
}

/// Each field with its length, so that no two trees run together.
fn add(hash: &mut Sha256, tree: &Tree, name: &str, node: &Node) -> Result<()> {
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(name.as_bytes());
    field(&[node.kind as u8]);
    field(&node.mode.to_le_bytes());
    field(node.target.as_bytes());
    for (key, value) in &node.xattrs {
        field(key.as_bytes());
        field(value);
    }
    if node.kind == NodeKind::File {
        hash.update(node.size_bytes.to_le_bytes());
        let mut data = tree.data(node);
        let mut buffer = vec![0u8; 128 << 10];
        loop {
            let n = data.read(&mut buffer).map_err(|e| Error::because("reading a build's files", e))?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
        }
    }
    Ok(())
}
