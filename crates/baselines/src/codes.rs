//! Helpers shared by the scalar formats: rounding, parallel bit packing, 16-bit scales.

use half::f16;
use rayon::prelude::*;
use seedpress_codec::DecodeError;
use seedpress_codec::packing::pack_bits;

/// Rounds to the nearest integer, ties to even, for magnitudes below 2^22. Adding 1.5 * 2^23 pushes the fraction out of the
/// mantissa; unlike `round_ties_even` it vectorises on every target.
#[inline]
pub fn round(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

/// [`pack_bits`] over all threads: eight symbols fill whole bytes whatever the width, so chunks of them concatenate.
pub fn pack(codes: &[u8], width: u8) -> Vec<u8> {
    let parts: Vec<Vec<u8>> =
        codes.par_chunks(1 << 16).map(|part| pack_bits(part.iter().map(|&code| u32::from(code)), width)).collect();
    parts.concat()
}

/// The nearest binary16, saturating.
pub fn to_f16(value: f32) -> f16 {
    f16::from_f32(value.clamp(-65504.0, 65504.0))
}

/// A little-endian binary16 at `at`.
#[inline]
pub fn f16_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// All scales of a segment, whose length the caller has checked.
///
/// # Errors
/// Corrupt where one is infinite or NaN.
pub fn check_f16(bytes: &[u8]) -> Result<(), DecodeError> {
    match bytes.chunks_exact(2).position(|pair| pair[1] & 0x7C == 0x7C) {
        Some(index) => Err(DecodeError::corrupt("a scale is not finite").at_offset(2 * index)),
        None => Ok(()),
    }
}
