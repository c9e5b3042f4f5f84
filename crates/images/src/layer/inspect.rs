//! Reads a layer once, as a host will: decompressed, to the end, every tar header looked at. The result is its diff id.
//!
//! Blocking and CPU-bound: call it on a blocking thread. What is refused here, no host has to meet.

use std::io::{self, Read};

use domain::{Digest, Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    compression::{self, Compression},
    ration::Ration,
    walk::{Entry, EntryKind, Walk},
};

const ENTRIES_MAX: u64 = 2_000_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Inspection {
    pub(crate) diff_id: Digest,
    /// Of the uncompressed tar.
    pub(crate) diff_bytes: u64,
    pub(crate) compression: Compression,
}

/// The layer in `reader`; `Invalid` where it is no sound tar.
pub(crate) fn inspect(reader: impl Read + Send) -> Result<Inspection> {
    let (counted, ration) = Ration::over(reader);
    let (compression, buffered) = compression::sniffed(counted).map_err(unreadable)?;
    let decoder = compression.decoder(buffered).map_err(unreadable)?;
    let mut walk = Walk::new(Hashed { reader: decoder, hash: Sha256::new(), ration });
    let mut entries = 0u64;
    while let Some(entry) = walk.next().map_err(unreadable)? {
        check(&entry)?;
        entries += 1;
        if entries > ENTRIES_MAX {
            return Err(Error::invalid(format!("a layer holds more than {ENTRIES_MAX} files (policy I05)")));
        }
    }
    // The digest is of everything, padding behind the end of the archive too.
    let mut rest = walk.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(unreadable)?;
    let hash: [u8; 32] = rest.hash.finalize().into();
    Ok(Inspection { diff_id: Digest::from_sha256(&hash), diff_bytes: rest.ration.given_bytes(), compression })
}

/// Names count from the root of the layer; none may leave it, nor a hard link point out of it. Symbolic links mean what
/// they mean inside the container.
fn check(entry: &Entry) -> Result<()> {
    if climbs_out(&entry.name) || (entry.kind == EntryKind::HardLink && climbs_out(&entry.target)) {
        let name: String = entry.name.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(Error::invalid(format!("a layer holds {name:?}, which is outside of its root (policy I05)")));
    }
    Ok(())
}

pub(crate) fn climbs_out(path: &str) -> bool {
    let mut depth = 0i32;
    path.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    })
}

/// `io::Error`s of decoders and walkers, for the tenant.
pub(crate) fn unreadable(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::invalid("unexpected EOF"),
        // Our reader carries an error of another kind through.
        io::ErrorKind::Other if error.get_ref().is_some_and(|e| e.is::<Error>()) => match error.into_inner() {
            Some(inner) => match inner.downcast::<Error>() {
                Ok(carried) => *carried,
                Err(other) => Error::because("reading a layer", other),
            },
            None => Error::internal("reading a layer"),
        },
        _ => Error::invalid(format!("not a sound archive: {error}")),
    }
}

/// Hashes what passes, within its ration.
struct Hashed<R> {
    reader: R,
    hash: Sha256,
    ration: Ration,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        self.hash.update(&buf[..n]);
        self.ration.give(n)?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn tar_of(name: &str) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(2);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(b"hi");
        bytes.resize(2048, 0);
        bytes
    }

    #[test]
    fn the_diff_id_is_the_same_however_it_is_compressed() {
        let plain = tar_of("etc/hello");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).expect("gzip");
        let zstd = zstd::encode_all(plain.as_slice(), 1).expect("zstd");
        let forms = [
            (plain.clone(), Compression::None),
            (gzip.finish().expect("gzip"), Compression::Gzip),
            (zstd, Compression::Zstd),
        ];
        for (bytes, compression) in forms {
            let seen = inspect(bytes.as_slice()).expect("sound");
            assert_eq!((seen.diff_id, seen.diff_bytes, seen.compression), (Digest::of(&plain), 2048, compression));
        }
    }

    #[test]
    fn names_outside_of_the_root_are_refused() {
        for name in ["../x", "a/../../x", "/../x"] {
            assert!(inspect(tar_of(name).as_slice()).expect_err(name).to_string().contains("outside"), "{name}");
        }
        for name in ["/abs", "a/../b", "./x"] {
            inspect(tar_of(name).as_slice()).expect(name);
        }
    }

    #[test]
    fn a_bomb_is_stopped() {
        let mut bomb = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
        let mut header = tar::Header::new_ustar();
        header.set_size(3 << 30);
        header.set_cksum();
        bomb.write_all(header.as_bytes()).expect("header");
        let zeros = vec![0u8; 1 << 20];
        for _ in 0..3 << 10 {
            bomb.write_all(&zeros).expect("zeros");
        }
        let bytes = bomb.finish().expect("zstd");
        assert!(inspect(bytes.as_slice()).expect_err("bomb").to_string().contains("too many bytes"));
    }

    #[test]
    fn a_cut_layer_is_told() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar_of("x")).expect("gzip");
        let bytes = gzip.finish().expect("gzip");
        assert_eq!(inspect(&bytes[..bytes.len() - 12]).expect_err("cut").to_string(), "unexpected EOF");
    }
}
