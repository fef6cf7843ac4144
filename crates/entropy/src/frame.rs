//! zstd with the uncompressed size known from outside, so that no frame header decides an allocation.

use seedpress_codec::{DecodeError, EncodeError, Limits};

/// The level of whatever is small or coded once: the highest of the regular levels.
pub(crate) const LEVEL: i32 = 19;

/// The level that finds matches everywhere and settles for the first it finds.
pub(crate) const PROBE: i32 = 3;

/// A zstd frame of `bytes`.
///
/// # Errors
/// Internal, where the library fails.
pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>, EncodeError> {
    compress_at(bytes, LEVEL)
}

/// A zstd frame of `bytes` at another level.
///
/// # Errors
/// Internal, where the library fails.
pub(crate) fn compress_at(bytes: &[u8], level: i32) -> Result<Vec<u8>, EncodeError> {
    ::zstd::bulk::compress(bytes, level).map_err(|error| EncodeError::Internal(format!("zstd: {error}")))
}

/// The size of a frame at a fast level.
///
/// # Errors
/// Internal, where the library fails.
pub(crate) fn probe(bytes: &[u8]) -> Result<usize, EncodeError> {
    Ok(compress_at(bytes, PROBE)?.len())
}

/// Whether the fastest of searches, which leaves everything else as it is, finds matches for a fiftieth of the bytes.
///
/// # Errors
/// Internal, where the library fails.
pub(crate) fn matches(bytes: &[u8]) -> Result<bool, EncodeError> {
    Ok(compress_at(bytes, -1)?.len() < bytes.len() - bytes.len() / 50)
}

/// Exactly `len` bytes from a zstd frame.
///
/// # Errors
/// The limit; corrupt where the frame is damaged or holds another number of bytes.
pub(crate) fn decompress(frame: &[u8], len: usize, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let mut bytes: Vec<u8> = limits.filled(len, 0)?;
    let written = ::zstd::bulk::decompress_to_buffer(frame, &mut bytes[..])
        .map_err(|_| DecodeError::corrupt("a zstd frame is damaged or holds more bytes than declared"))?;
    if written == len { Ok(bytes) } else { Err(DecodeError::corrupt("a zstd frame holds fewer bytes than declared")) }
}
