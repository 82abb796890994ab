//! Compression of bodies, and decompression that never yields more than it is allowed to.

use std::fmt;
use std::io::{self, Read, Write};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// gzip, any number of members.
    Gzip,
    /// Zstandard.
    Zstd,
    /// The zlib container.
    Zlib,
    /// HTTP's `deflate`, which is the zlib container too.
    Deflate,
    /// Snappy: blocks on the way out, blocks or frames on the way in.
    Snappy,
    /// Framed snappy.
    SnappyFramed,
    /// LZ4 frames.
    Lz4,
}

/// Why a body could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// There is more data than allowed; nothing beyond the limit was kept.
    #[error("decompressed data is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes that were allowed.
        limit: usize,
    },
    /// The data is not what its encoding says.
    #[error("{0}")]
    Corrupt(#[source] io::Error),
}

/// The largest zstd window that a peer may ask for, as a power of two: 64 MiB, the limit of upstream's decoder.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;

/// What framed snappy begins with (google/snappy `framing_format.txt`).
const SNAPPY_STREAM_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

impl Encoding {
    /// All encodings, in the order of upstream's list.
    pub const ALL: [Encoding; 7] =
        [Self::Gzip, Self::Zstd, Self::Zlib, Self::Snappy, Self::Deflate, Self::Lz4, Self::SnappyFramed];

    /// The name in headers and configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Zlib => "zlib",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::SnappyFramed => "x-snappy-framed",
            Self::Lz4 => "lz4",
        }
    }

    /// The encoding of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.as_str() == name)
    }

    /// Decompresses `body` into at most `limit` bytes.
    ///
    /// # Errors
    /// The data is corrupt or larger than `limit`.
    pub fn decompress(self, body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
        let corrupt = |error| DecompressError::Corrupt(reworded(self, error));
        match self {
            Self::Gzip => capped(flate2::bufread::MultiGzDecoder::new(body), body, limit),
            Self::Zlib | Self::Deflate => capped(flate2::bufread::ZlibDecoder::new(body), body, limit),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(corrupt)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
                capped(decoder, body, limit)
            }
            Self::Lz4 => capped(lz4_flex::frame::FrameDecoder::new(body), body, limit),
            Self::Snappy if !body.starts_with(SNAPPY_STREAM_IDENTIFIER) => snappy_block(body, limit),
            Self::Snappy | Self::SnappyFramed => capped(snap::read::FrameDecoder::new(body), body, limit),
        }
        .map_err(|error| match error {
            DecompressError::Corrupt(error) => corrupt(error),
            too_large @ DecompressError::TooLarge { .. } => too_large,
        })
    }

    /// Compresses `body`. `level` means what it means to the algorithm; `None` is the algorithm's default, and those
    /// without levels ignore it.
    ///
    /// # Errors
    /// Those of the algorithm; a block of snappy cannot be larger than 4 GiB.
    pub fn compress(self, body: &[u8], level: Option<i32>) -> io::Result<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 4 + 64);
        match self {
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate_level(level));
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Zlib | Self::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(out, flate_level(level));
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(body, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)),
            Self::Snappy => snap::raw::Encoder::new().compress_vec(body).map_err(io::Error::from),
            Self::SnappyFramed => {
                let mut encoder = snap::write::FrameEncoder::new(out);
                encoder.write_all(body)?;
                encoder.into_inner().map_err(|error| io::Error::other(error.to_string()))
            }
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
                encoder.write_all(body)?;
                encoder.finish().map_err(io::Error::from)
            }
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads everything, refusing the byte after `limit`.
fn capped(reader: impl Read, body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    // OTLP shrinks about eightfold; start with half of that and let the vector double.
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
    reader.take(limit as u64 + 1).read_to_end(&mut out).map_err(DecompressError::Corrupt)?;
    if out.len() > limit { Err(DecompressError::TooLarge { limit }) } else { Ok(out) }
}

fn snappy_block(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let corrupt = |error: snap::Error| DecompressError::Corrupt(error.into());
    // The length stands first, so nothing is reserved for a block that says it is too large.
    if snap::raw::decompress_len(body).map_err(corrupt)? > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(corrupt)
}

/// 0 to 9; -1 is the default, -2 (Huffman only) is nearest to level 1.
fn flate_level(level: Option<i32>) -> flate2::Compression {
    match level {
        None | Some(-1) => flate2::Compression::default(),
        Some(level @ 0..=9) => flate2::Compression::new(level.unsigned_abs()),
        Some(_) => flate2::Compression::fast(),
    }
}

/// The words that users of upstream know.
fn reworded(encoding: Encoding, error: io::Error) -> io::Error {
    let prefix = match encoding {
        Encoding::Gzip => "gzip",
        Encoding::Zlib | Encoding::Deflate => "zlib",
        _ => "",
    };
    match (error.kind(), prefix) {
        (io::ErrorKind::UnexpectedEof, _) => io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF"),
        (io::ErrorKind::InvalidInput, "gzip" | "zlib") => {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{prefix}: invalid header"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_read_back() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::parse(encoding.as_str()), Some(encoding));
        }
        assert_eq!(Encoding::parse("br"), None);
        assert_eq!(Encoding::parse(""), None);
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; 4 << 20];
        for encoding in Encoding::ALL {
            let bomb = encoding.compress(&zeros, None).unwrap();
            for limit in [0, 1, 1000, zeros.len() - 1] {
                let result = encoding.decompress(&bomb, limit);
                assert!(
                    matches!(result, Err(DecompressError::TooLarge { limit: l }) if l == limit),
                    "{encoding} {limit}: {result:?}"
                );
            }
            assert_eq!(encoding.decompress(&bomb, zeros.len()).unwrap().len(), zeros.len(), "{encoding}");
        }
    }

    #[test]
    fn corrupt_data_is_named() {
        let check = |encoding: Encoding, body: &[u8], expected: &str| {
            let error = encoding.decompress(body, 1000).unwrap_err().to_string();
            assert!(error.contains(expected), "{encoding}: {error}");
        };
        let gzip = Encoding::Gzip.compress(b"hello", None).unwrap();
        check(Encoding::Gzip, b"hello hello hello", "gzip: invalid header");
        check(Encoding::Gzip, &gzip[..gzip.len() - 9], "unexpected EOF");
        check(Encoding::Gzip, b"", "unexpected EOF");
        check(Encoding::Zlib, b"hello hello", "");
        check(Encoding::Zstd, b"hello", "");
        check(Encoding::Lz4, b"hello", "");
        check(Encoding::Snappy, b"\xff\xff\xff\xff\xff\xff", "snappy");
        check(Encoding::SnappyFramed, b"hello", "snappy");
    }

    #[test]
    fn several_members_are_one_body() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let mut twice = encoding.compress(b"one ", None).unwrap();
            twice.extend(encoding.compress(b"two", None).unwrap());
            assert_eq!(encoding.decompress(&twice, 100).unwrap(), b"one two", "{encoding}");
        }
    }

    #[test]
    fn levels() {
        let body = "otlp ".repeat(1000);
        for level in [None, Some(-2), Some(-1), Some(0), Some(1), Some(9)] {
            for encoding in Encoding::ALL {
                let small = encoding.compress(body.as_bytes(), level).unwrap();
                assert_eq!(encoding.decompress(&small, body.len()).unwrap(), body.as_bytes(), "{encoding}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_reads_back(body: Vec<u8>) {
            for encoding in Encoding::ALL {
                let small = encoding.compress(&body, None).unwrap();
                prop_assert_eq!(&encoding.decompress(&small, body.len()).unwrap(), &body);
            }
        }

        #[test]
        fn any_bytes_are_answered_within_the_limit(body: Vec<u8>, limit in 0usize..200) {
            for encoding in Encoding::ALL {
                if let Ok(out) = encoding.decompress(&body, limit) {
                    prop_assert!(out.len() <= limit);
                }
            }
        }
    }
}
