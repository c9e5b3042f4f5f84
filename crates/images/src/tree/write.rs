//! A new layer, written entry by entry, on its way into the store as a compressed tar.

use std::io::{self, Read, Write};

use bytes::Bytes;
use domain::{Error, Layer, Result};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Node, NodeKind};
use crate::{
    archive,
    layer::{receive, unreadable},
    store::BlobStore,
};

const QUEUE: usize = 16;
const CHUNK_BYTES: usize = 128 << 10;

/// See [`crate::Images::write_layer`]. Blocking.
pub struct LayerWriter {
    tar: tar::Builder<flate2::write::GzEncoder<Chunks>>,
}

/// One entry of a layer.
pub struct NewEntry<'a> {
    /// Without the leading slash.
    pub path: &'a str,
    pub node: &'a Node,
}

impl LayerWriter {
    /// `data` is read for files only, exactly as far as the node says.
    pub fn put(&mut self, entry: &NewEntry<'_>, data: impl Read) -> Result<()> {
        self.try_put(entry, data).map_err(unreadable)
    }

    fn try_put(&mut self, entry: &NewEntry<'_>, data: impl Read) -> io::Result<()> {
        let NewEntry { path, node } = entry;
        if !node.xattrs.is_empty() {
            let keys: Vec<String> = node.xattrs.iter().map(|(name, _)| format!("SCHILY.xattr.{name}")).collect();
            let values = node.xattrs.iter().map(|(_, value)| value.as_slice());
            self.tar.append_pax_extensions(keys.iter().map(String::as_str).zip(values))?;
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(node.mode);
        header.set_uid(node.uid);
        header.set_gid(node.gid);
        header.set_mtime(node.mtime_s);
        header.set_size(0);
        match node.kind {
            NodeKind::File => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(node.size_bytes);
                self.tar.append_data(&mut header, path, data.take(node.size_bytes))
            }
            NodeKind::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                self.tar.append_data(&mut header, format!("{path}/"), io::empty())
            }
            NodeKind::Symlink => {
                header.set_entry_type(tar::EntryType::Symlink);
                self.tar.append_link(&mut header, path, &node.target)
            }
            NodeKind::Other => Ok(()),
        }
    }
}

/// The layer and the bytes of its plain tar. What `produce` writes is in the store when this returns.
pub(crate) async fn write<P>(store: &BlobStore, produce: P) -> Result<(Layer, u64)>
where
    P: FnOnce(&mut LayerWriter) -> Result<()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    let producer = tokio::task::spawn_blocking(move || {
        let chunks = Chunks { sender: sender.clone(), pending: Vec::with_capacity(CHUNK_BYTES) };
        let produced = produced(chunks, produce);
        if let Err(error) = produced {
            // The receiver must not take half a layer for a whole one.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let received = receive(store, ReceiverStream::new(receiver), None).await;
    producer.await.map_err(|e| Error::because("writing a layer", e))?;
    let received = received?;
    let diff_bytes = received.inspection.diff_bytes;
    Ok((archive::stored_layer(received)?, diff_bytes))
}

fn produced<P>(chunks: Chunks, produce: P) -> Result<()>
where
    P: FnOnce(&mut LayerWriter) -> Result<()>,
{
    let gzip = flate2::GzBuilder::new().mtime(0).write(chunks, flate2::Compression::fast());
    let mut writer = LayerWriter { tar: tar::Builder::new(gzip) };
    writer.tar.mode(tar::HeaderMode::Complete);
    produce(&mut writer)?;
    let ended = writer.tar.into_inner().and_then(flate2::write::GzEncoder::finish).and_then(|mut c| c.flush());
    ended.map_err(|e| Error::because("writing a layer", e))
}

struct Chunks {
    sender: mpsc::Sender<Result<Bytes>>,
    pending: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(buf);
        if self.pending.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK_BYTES));
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
