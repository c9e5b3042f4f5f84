//! A tar that was uploaded, or taken out of layers: its listing, and its data in one nameless file.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use domain::{Error, Result};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc,
};

use super::{ENTRIES_MAX, Node, clean, kind_of, listing::Listing};
use crate::{
    layer::{EntryKind, QueueReader, Ration, Walk, climbs_out, sniffed, unreadable},
    store::unavailable,
};

const QUEUE: usize = 16;
const CHUNK_BYTES: usize = 256 << 10;

/// Cheap to clone. The file is gone with the last clone.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) file: Arc<File>,
    pub listing: Listing,
}

impl Tree {
    /// Without anything in it; `scratch` is a directory for the nameless file.
    pub(crate) fn empty(scratch: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(scratch).map_err(unavailable)?;
        Ok(Self { file: Arc::new(file), listing: Listing::default() })
    }

    /// Reads to the end, whatever the compression outside is. `max_bytes` is of the plain tar; `Invalid` where it is none.
    pub(crate) async fn fill(scratch: &Path, mut from: impl AsyncRead + Send + Unpin, max_bytes: u64) -> Result<Self> {
        let file = tempfile::tempfile_in(scratch).map_err(unavailable)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let unpacker = tokio::task::spawn_blocking(move || unpack(QueueReader::new(receiver), file, max_bytes));
        loop {
            let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
            let read = from.read_buf(&mut chunk).await;
            let ended = matches!(read, Ok(0));
            // A cut upload reaches the unpacker as an error; a closed queue means that it has found one of its own.
            if ended || sender.send(read.map(|_| chunk.freeze())).await.is_err() {
                break;
            }
        }
        drop(sender);
        unpacker.await.map_err(|e| Error::because("unpacking an archive", e))?
    }

    /// The data of a file of this tree. Blocking.
    pub fn data<'a>(&'a self, node: &Node) -> impl Read + Send + use<'a> {
        Data { file: &self.file, offset: node.offset, left_bytes: node.size_bytes }
    }

    /// A whole file of at most `max_bytes`. Blocking.
    pub fn read(&self, node: &Node, max_bytes: u64) -> Result<Vec<u8>> {
        if node.size_bytes > max_bytes {
            return Err(Error::invalid(format!("the file is larger than {max_bytes} bytes")));
        }
        let mut bytes = Vec::new();
        self.data(node).read_to_end(&mut bytes).map_err(unavailable)?;
        Ok(bytes)
    }

    /// A tar in a file of this tree, unpacked; None where the file is no tar. Blocking.
    pub fn nested(&self, node: &Node, scratch: &Scratch) -> Result<Option<Self>> {
        let file = tempfile::tempfile_in(&scratch.0).map_err(unavailable)?;
        let looks_so = {
            let (_, buffered) = sniffed(self.data(node)).map_err(unavailable)?;
            let (compression, buffered) = sniffed(buffered).map_err(unavailable)?;
            let first = compression.decoder(buffered).map(|decoder| Walk::new(decoder).next());
            matches!(first, Ok(Ok(Some(_))))
        };
        if looks_so { unpack(self.data(node), file, u64::MAX).map(Some) } else { Ok(None) }
    }

    /// Data that a name is given to by [`Self::name_all`].
    pub(crate) fn append(&mut self, chunk: &[u8]) -> Result<()> {
        (&*self.file).write_all(chunk).map_err(unavailable)
    }

    /// Everything that was appended becomes one file.
    pub(crate) fn name_all(&mut self, path: &str, mode: u32, mtime_s: u64, size_bytes: u64) {
        let node = Node { kind: super::NodeKind::File, mode, mtime_s, size_bytes, ..Node::directory() };
        self.listing.put(path, node);
    }

    /// Adds a small file.
    pub fn put(&mut self, path: &str, content: &[u8], mode: u32, mtime_s: u64) -> Result<()> {
        let offset = self.file.metadata().map_err(unavailable)?.len();
        self.file.write_all_at(content, offset).map_err(unavailable)?;
        let node = Node { kind: super::NodeKind::File, mode, mtime_s, ..Node::directory() };
        self.listing.put(path, Node { size_bytes: content.len() as u64, offset, ..node });
        Ok(())
    }
}

/// A directory for nameless files.
#[derive(Debug, Clone)]
pub struct Scratch(pub(crate) std::path::PathBuf);

struct Data<'a> {
    file: &'a File,
    offset: u64,
    left_bytes: u64,
}

impl Read for Data<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buf.len());
        let n = self.file.read_at(&mut buf[..wanted], self.offset)?;
        if n == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += n as u64;
        self.left_bytes -= n as u64;
        Ok(n)
    }
}

fn unpack(reader: impl Read + Send, file: File, max_bytes: u64) -> Result<Tree> {
    let (counted, ration) = Ration::over(reader);
    let (compression, buffered) = sniffed(counted).map_err(unreadable)?;
    let decoder = compression.decoder(buffered).map_err(unreadable)?;
    let writer = io::BufWriter::with_capacity(1 << 20, file);
    let mut walk = Walk::new(Tee { reader: decoder, writer, ration, max_bytes, full: None });
    let walked = index(&mut walk);
    let mut tee = walk.into_inner();
    if let Some(error) = tee.full.take() {
        return Err(unavailable(error));
    }
    let listing = walked?;
    // The upload is read to its end, so that the client is not cut off while it still sends.
    io::copy(&mut tee.reader, &mut io::sink()).map_err(unreadable)?;
    let file = tee.writer.into_inner().map_err(|e| unavailable(e.into_error()))?;
    Ok(Tree { file: Arc::new(file), listing })
}

fn index<R: Read>(walk: &mut Walk<R>) -> Result<Listing> {
    let mut listing = Listing::default();
    while let Some(entry) = walk.next().map_err(unreadable)? {
        if climbs_out(&entry.name) {
            return Err(outside(&entry.name));
        }
        let path = clean(&entry.name);
        match kind_of(entry.kind) {
            Some(kind) => {
                let node = Node::of(kind, entry.attributes, entry.target, entry.size_bytes, entry.offset);
                listing.put(&path, node);
            }
            None => {
                debug_assert_eq!(entry.kind, EntryKind::HardLink);
                if climbs_out(&entry.target) {
                    return Err(outside(&entry.target));
                }
                let node = listing.get(&clean(&entry.target)).cloned();
                listing.put(&path, node.ok_or_else(|| outside(&entry.target))?);
            }
        }
        if listing.len() > ENTRIES_MAX {
            return Err(Error::invalid(format!("the archive holds more than {ENTRIES_MAX} entries (policy I05)")));
        }
    }
    Ok(listing)
}

fn outside(name: &str) -> Error {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    Error::invalid(format!("invalid archive: {shown:?} is outside of it (policy I05)"))
}

/// Keeps what passes. A full disk is remembered: to the reader it looks like a broken archive.
struct Tee<R> {
    reader: R,
    writer: io::BufWriter<File>,
    ration: Ration,
    max_bytes: u64,
    full: Option<io::Error>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        self.ration.give(n)?;
        if self.ration.given_bytes() > self.max_bytes {
            let text = format!("the archive is larger than {} bytes (policy B02)", self.max_bytes);
            return Err(io::Error::other(Error::invalid(text)));
        }
        if let Err(error) = self.writer.write_all(&buf[..n]) {
            self.full = Some(error);
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(n)
    }
}
