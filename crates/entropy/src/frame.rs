//! zstd with the uncompressed size known from outside, so that no frame header decides an allocation.

use seedpress_codec::{DecodeError, EncodeError, Limits};

/// The level of everything this crate writes: the highest of the regular levels.
pub const LEVEL: i32 = 19;

/// A zstd frame of `bytes`.
///
/// # Errors
/// Internal, where the library fails.
pub fn compress(bytes: &[u8]) -> Result<Vec<u8>, EncodeError> {
    ::zstd::bulk::compress(bytes, LEVEL).map_err(|error| EncodeError::Internal(format!("zstd: {error}")))
}

/// The size of a frame at a fast level.
///
/// # Errors
/// Internal, where the library fails.
pub fn probe(bytes: &[u8]) -> Result<usize, EncodeError> {
    let frame = ::zstd::bulk::compress(bytes, 3).map_err(|error| EncodeError::Internal(format!("zstd: {error}")))?;
    Ok(frame.len())
}

/// Whether the fastest of searches, which leaves everything else as it is, finds matches for a fiftieth of the bytes.
///
/// # Errors
/// Internal, where the library fails.
pub fn matches(bytes: &[u8]) -> Result<bool, EncodeError> {
    let frame = ::zstd::bulk::compress(bytes, -1).map_err(|error| EncodeError::Internal(format!("zstd: {error}")))?;
    Ok(frame.len() < bytes.len() - bytes.len() / 50)
}

/// Exactly `len` bytes from a zstd frame.
///
/// # Errors
/// The limit; corrupt where the frame is damaged or holds another number of bytes.
pub fn decompress(frame: &[u8], len: usize, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let mut bytes: Vec<u8> = limits.filled(len, 0)?;
    let written = ::zstd::bulk::decompress_to_buffer(frame, &mut bytes[..])
        .map_err(|_| DecodeError::corrupt("a zstd frame is damaged or holds more bytes than declared"))?;
    if written == len { Ok(bytes) } else { Err(DecodeError::corrupt("a zstd frame holds fewer bytes than declared")) }
}
