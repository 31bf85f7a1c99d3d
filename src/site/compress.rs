//! Compressing text when it is loaded, once for all who will ask for it.

use std::hash::Hasher;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use siphasher::sip::SipHasher13;

use super::coding::Coding;
use super::settings::Compress;

/// Files shorter than this fit one packet or two, compressed or not.
pub const MIN_BYTES: usize = 1024;

/// Compressed content must be at least so many hundredths shorter, or it is not worth being unpacked.
const MIN_GAIN_PERCENT: usize = 5;

/// How hard a compressor tries.
struct Levels {
    brotli: u32,
    gzip: u32,
}

/// A quarter of a mebibyte takes some milliseconds at these levels, and higher ones gain few hundredths.
const BEST: Levels = Levels { brotli: 5, gzip: 6 };

/// Much less time, and somewhat more bytes.
const FAST: Levels = Levels { brotli: 1, gzip: 1 };

/// As much as is ever compressed at once fits in a window of 2^18 bytes.
const BROTLI_WINDOW_BITS: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;

/// `content` in the codings in which it is worth being sent, in the order of [`Coding::COMPRESSED`].
pub(super) fn variants(how: Compress, media_type: &str, content: &Bytes) -> Vec<(Coding, Bytes)> {
    let levels = match how {
        Compress::Off => return Vec::new(),
        Compress::Fast => &FAST,
        Compress::Best => &BEST,
    };
    if content.len() < MIN_BYTES || !is_compressible(media_type) {
        return Vec::new();
    }
    let most = content.len() - content.len() * MIN_GAIN_PERCENT / 100;
    [Coding::Brotli, Coding::Gzip]
        .into_iter()
        .filter_map(|coding| Some((coding, compress(coding, levels, content).ok()?)))
        .filter(|(_, compressed)| compressed.len() <= most)
        .collect()
}

/// Eight bytes that go with `compressed`: another version of a compressor may make other bytes of the same content, and
/// a strong entity tag must not name both (RFC 9110 section 8.8.1).
pub(super) fn fingerprint(compressed: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(compressed);
    hasher.finish()
}

fn compress(coding: Coding, levels: &Levels, content: &[u8]) -> io::Result<Bytes> {
    let out = Vec::with_capacity(content.len() / 2);
    Ok(match coding {
        Coding::Brotli => {
            let (buffer, quality) = (BROTLI_BUFFER_BYTES, levels.brotli);
            let mut encoder =
                brotli::CompressorWriter::new(out, buffer, quality, BROTLI_WINDOW_BITS);
            encoder.write_all(content)?;
            encoder.into_inner()
        }
        _ => {
            let mut encoder = GzEncoder::new(out, Compression::new(levels.gzip));
            encoder.write_all(content)?;
            encoder.finish()?
        }
    }
    .into())
}

/// Whether content of this type is not compressed by itself.
fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default();
    let others = [
        "application/javascript",
        "application/json",
        "application/wasm",
        "application/xml",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
    ];
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || others.contains(&essence)
}
