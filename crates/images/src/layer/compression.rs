//! What a stream is compressed with, by its first bytes, and how to read it.

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};

use crate::media;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// Of an xz decoder: what `xz -9` needs, and no more than a few uploads at once can be given.
const XZ_MEMORY_BYTES: u64 = 128 << 20;

impl Compression {
    /// From the first six bytes or more; of a shorter stream, from what there is.
    pub(crate) fn sniff(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The media type of a layer so stored; None where no host unpacks it.
    pub(crate) fn media_type(self) -> Option<&'static str> {
        match self {
            Self::None => Some(media::LAYER_TAR),
            Self::Gzip => Some(media::LAYER_GZIP),
            Self::Zstd => Some(media::LAYER_ZSTD),
            Self::Bzip2 | Self::Xz => None,
        }
    }

    /// The plain bytes of `reader`.
    pub(crate) fn decoder<'a, R: BufRead + Send + 'a>(self, reader: R) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::None => Box::new(reader),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
            Self::Xz => {
                let stream = xz2::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, xz2::stream::CONCATENATED)?;
                Box::new(xz2::bufread::XzDecoder::new_stream(reader, stream))
            }
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        })
    }
}

/// Sniffs without consuming; blocks until six bytes or the end have come.
pub(crate) fn sniffed<R: Read>(mut reader: R) -> io::Result<(Compression, impl BufRead + use<R>)> {
    let mut start = Vec::with_capacity(6);
    reader.by_ref().take(6).read_to_end(&mut start)?;
    let compression = Compression::sniff(&start);
    Ok((compression, io::BufReader::with_capacity(64 << 10, io::Cursor::new(start).chain(reader))))
}
