//! An uploaded archive, unpacked into one nameless file and found by an index of its entries.
//!
//! Nothing of it ever becomes a path on a disk: a name is a key of a map, a link another key. So there is nothing to
//! climb out of; what tries (absolute names, `..`, links that leave) is refused all the same, and told.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use domain::{Error, Result};
use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use crate::layer::{EntryKind, QueueReader, Ration, Walk, climbs_out, sniffed, unreadable};

const QUEUE: usize = 16;
const CHUNK_BYTES: usize = 256 << 10;
const ENTRIES_MAX: usize = 100_000;
/// Links to links.
const LINKS_MAX: usize = 8;

/// Cheap to clone. The file is gone with the last clone.
#[derive(Clone)]
pub(crate) struct Spool {
    file: Arc<File>,
    index: Arc<Index>,
}

#[derive(Default)]
struct Index {
    files: HashMap<String, Place>,
    links: HashMap<String, String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    offset: u64,
    pub(crate) size_bytes: u64,
}

impl Spool {
    /// Reads to the end, whatever the compression outside is. `dir`: scratch space.
    pub(crate) async fn fill(dir: &Path, mut from: impl AsyncRead + Send + Unpin) -> Result<Self> {
        let file = tempfile::tempfile_in(dir).map_err(crate::store::unavailable)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let unpacker = tokio::task::spawn_blocking(move || unpack(QueueReader::new(receiver), file));
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

    /// The file of that name, links followed.
    pub(crate) fn find(&self, name: &str) -> Option<Place> {
        let mut name = clean(name).ok()?;
        for _ in 0..LINKS_MAX {
            if let Some(place) = self.index.files.get(&name) {
                return Some(*place);
            }
            name = self.index.links.get(&name)?.clone();
        }
        None
    }

    pub(super) fn entries(&self) -> usize {
        self.index.files.len() + self.index.links.len()
    }

    /// A whole file of at most `cap_bytes`; `Invalid` where it is missing.
    pub(crate) async fn read(&self, name: &str, cap_bytes: u64) -> Result<Vec<u8>> {
        let place = self.find(name).ok_or_else(|| missing(name))?;
        if place.size_bytes > cap_bytes {
            return Err(Error::invalid(format!(
                "{name:?} in the archive is larger than {cap_bytes} bytes (policy I05)"
            )));
        }
        self.bytes_at(place.offset, place.size_bytes as usize).await.map(|b| b.to_vec())
    }

    /// In chunks.
    pub(crate) fn stream(&self, place: Place) -> BoxStream<'static, Result<Bytes>> {
        let spool = self.clone();
        stream::try_unfold((spool, place), |(spool, place)| async move {
            if place.size_bytes == 0 {
                return Ok(None);
            }
            let wanted = place.size_bytes.min(CHUNK_BYTES as u64);
            let bytes = spool.bytes_at(place.offset, wanted as usize).await?;
            let rest = Place { offset: place.offset + wanted, size_bytes: place.size_bytes - wanted };
            Ok(Some((bytes, (spool, rest))))
        })
        .boxed()
    }

    async fn bytes_at(&self, offset: u64, size: usize) -> Result<Bytes> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0u8; size];
            file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
        });
        read.await.map_err(|e| Error::because("reading a spooled archive", e))?.map_err(crate::store::unavailable)
    }
}

pub(crate) fn missing(name: &str) -> Error {
    Error::invalid(format!("invalid archive: it does not contain {name:?}"))
}

fn unpack(reader: QueueReader, file: File) -> Result<Spool> {
    let (counted, ration) = Ration::over(reader);
    let (compression, buffered) = sniffed(counted).map_err(unreadable)?;
    let decoder = compression.decoder(buffered).map_err(unreadable)?;
    let writer = io::BufWriter::with_capacity(1 << 20, file);
    let mut walk = Walk::new(Tee { reader: decoder, writer, ration, full: None });
    let walked = index(&mut walk);
    let mut tee = walk.into_inner();
    if let Some(error) = tee.full.take() {
        return Err(crate::store::unavailable(error));
    }
    let index = walked?;
    // The upload is read to its end, so that the client is not cut off while it still sends.
    io::copy(&mut tee.reader, &mut io::sink()).map_err(unreadable)?;
    let file = tee.writer.into_inner().map_err(|e| crate::store::unavailable(e.into_error()))?;
    Ok(Spool { file: Arc::new(file), index: Arc::new(index) })
}

fn index<R: Read>(walk: &mut Walk<R>) -> Result<Index> {
    let mut index = Index::default();
    while let Some(entry) = walk.next().map_err(unreadable)? {
        let name = clean(&entry.name)?;
        match entry.kind {
            EntryKind::File => {
                index.files.insert(name, Place { offset: entry.offset, size_bytes: entry.size_bytes });
            }
            EntryKind::HardLink => drop(index.links.insert(name, clean(&entry.target)?)),
            EntryKind::Symlink => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let target = clean(&join(folder, &entry.target))?;
                index.links.insert(name, target);
            }
            EntryKind::Directory | EntryKind::Other => {}
        }
        if index.files.len() + index.links.len() > ENTRIES_MAX {
            return Err(Error::invalid(format!("the archive holds more than {ENTRIES_MAX} entries (policy I05)")));
        }
    }
    Ok(index)
}

/// An absolute target stays absolute, so that it is refused.
fn join(folder: &str, target: &str) -> String {
    if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("{folder}/{target}").trim_start_matches('/').to_owned()
    }
}

/// `a//./b/../c` -> `a/c`. What is absolute or leaves the archive is `Invalid`.
fn clean(name: &str) -> Result<String> {
    if name.starts_with('/') || climbs_out(name) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(Error::invalid(format!("invalid archive: {shown:?} is outside of it (policy I05)")));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Keeps what passes. A full disk is remembered: to the reader it looks like a broken archive.
struct Tee<R> {
    reader: R,
    writer: io::BufWriter<File>,
    ration: Ration,
    full: Option<io::Error>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        self.ration.give(n)?;
        if let Err(error) = self.writer.write_all(&buf[..n]) {
            self.full = Some(error);
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            let data = if *kind == tar::EntryType::Regular { content.as_bytes() } else { b"" };
            if data.is_empty() {
                header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_size(data.len() as u64);
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    async fn fill(bytes: &[u8]) -> Result<Spool> {
        let dir = tempfile::tempdir().expect("dir");
        Spool::fill(dir.path(), bytes).await
    }

    #[tokio::test]
    async fn files_are_found_through_links_and_any_compression() {
        use tar::EntryType::{Regular, Symlink};
        let plain = archive(&[("./a/layer.tar", Regular, "hello"), ("b/layer.tar", Symlink, "../a/layer.tar")]);
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&plain).expect("bzip2");
        let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&plain).expect("xz");
        for bytes in [plain, bzip2.finish().expect("bzip2"), xz.finish().expect("xz")] {
            let spool = fill(&bytes).await.expect("spool");
            assert_eq!(spool.read("b/layer.tar", 10).await.expect("read"), b"hello");
            assert!(spool.read("b/layer.tar", 4).await.is_err());
            assert!(spool.read("c", 4).await.expect_err("missing").to_string().contains("does not contain"));
        }
    }

    #[tokio::test]
    async fn what_leaves_the_archive_is_refused() {
        use tar::EntryType::{Link, Regular, Symlink};
        for entry in [
            ("/etc/passwd", Regular, "x"),
            ("a/../../x", Regular, "x"),
            ("a", Symlink, "/etc/passwd"),
            ("a/b", Symlink, "../../x"),
            ("a", Link, "../x"),
        ] {
            let error = fill(&archive(&[entry])).await.err().expect(entry.0);
            assert!(error.to_string().contains("outside"), "{entry:?}: {error}");
        }
        assert!(matches!(fill(&[1u8; 3000]).await.err(), Some(Error::Invalid(_))));
    }
}
