//! Helpers shared by the scalar formats: rounding, extremes, packing codes of up to eight bits, 16-bit scales.

use half::f16;
use rayon::prelude::*;
use seedpress_codec::{DecodeError, PowerOfTwo};

/// Weights a parallel task works on. Eight codes fill whole bytes whatever their width, so tasks share none.
pub(crate) const TASK: usize = 1 << 14;

const SHIFT: f32 = 12_582_912.0;

/// Rounds to the nearest integer, ties to even, for magnitudes below 2^22. Adding 1.5 * 2^23 pushes the fraction out of the
/// mantissa; unlike `round_ties_even` it vectorises on every target.
#[inline]
pub(crate) fn round(value: f32) -> f32 {
    (value + SHIFT) - SHIFT
}

/// [`round`] of a value in `0 ..= 255`: the shifted mantissa ends in the integer itself.
#[inline]
pub(crate) fn round_to_u8(value: f32) -> u8 {
    (value + SHIFT).to_bits() as u8
}

/// `value` limited to `low ..= high`. Unlike `clamp`, which keeps a NaN, it is two instructions on every vector unit.
#[inline]
pub(crate) fn within(value: f32, low: f32, high: f32) -> f32 {
    let value = if value > low { value } else { low };
    if value < high { value } else { high }
}

/// The least and the largest of the values and zero, in eight lanes.
pub(crate) fn extremes(values: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = ([0f32; 8], [0f32; 8]);
    for chunk in values.chunks(8) {
        for ((low, high), &value) in low.iter_mut().zip(&mut high).zip(chunk) {
            *low = if value < *low { value } else { *low };
            *high = if value > *high { value } else { *high };
        }
    }
    (low.into_iter().fold(0.0, f32::min), high.into_iter().fold(0.0, f32::max))
}

/// The largest magnitude.
pub(crate) fn largest(values: &[f32]) -> f32 {
    let (low, high) = extremes(values);
    high.max(-low)
}

/// The first weight of the largest magnitude, with its sign; 0 where all are zero.
pub(crate) fn extreme(values: &[f32]) -> f32 {
    let most = largest(values);
    values.iter().copied().find(|value| value.abs() == most && most > 0.0).unwrap_or(0.0)
}

/// [`largest`] over all threads.
pub(crate) fn largest_of_all(values: &[f32]) -> f32 {
    values.par_chunks(TASK).map(largest).reduce(|| 0.0, f32::max)
}

/// [`PowerOfTwo::down_all`] over all threads.
pub(crate) fn down_all(power: PowerOfTwo, values: &[f32]) -> Vec<f32> {
    let mut shifted = values.to_vec();
    if power != PowerOfTwo::ONE {
        shifted.par_chunks_mut(TASK).for_each(|part| part.iter_mut().for_each(|value| *value = power.down(*value)));
    }
    shifted
}

/// The low `width` bits of every lane of `lane` bits, of 64 in all.
const fn every(lane: usize, width: usize) -> u64 {
    let (mut mask, mut at) = (0, 0);
    while at < 64 {
        mask |= (u64::MAX >> (64 - width)) << at;
        at += lane;
    }
    mask
}

/// Draws the two halves of every lane, `half` bits that lie side by side, apart to lanes of half the size.
#[inline]
fn apart(word: u64, lane: usize, half: usize) -> u64 {
    let low = every(lane, half);
    (word & low) | ((word << (lane / 2 - half)) & (low << (lane / 2)))
}

/// Undoes [`apart`].
#[inline]
fn together(word: u64, lane: usize, half: usize) -> u64 {
    let low = every(lane, half);
    (word & low) | ((word & (low << (lane / 2))) >> (lane / 2 - half))
}

fn unpack_width<const W: usize>(bytes: &[u8], codes: &mut [u8]) {
    let eight = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        apart(apart(apart(word, 64, 4 * W), 32, 2 * W), 16, W).to_le_bytes()
    };
    let whole = codes.len() / 8;
    for (codes, bytes) in codes.chunks_exact_mut(8).zip(bytes.chunks_exact(W)) {
        codes.copy_from_slice(&eight(bytes));
    }
    let rest = &mut codes[8 * whole..];
    rest.copy_from_slice(&eight(&bytes[W * whole..][..(rest.len() * W).div_ceil(8)])[..rest.len()]);
}

fn pack_width<const W: usize>(codes: &[u8], bytes: &mut [u8]) {
    let eight = |codes: &[u8]| {
        let mut word = [0; 8];
        word[..codes.len()].copy_from_slice(codes);
        let word = u64::from_le_bytes(word);
        together(together(together(word, 16, W), 32, 2 * W), 64, 4 * W).to_le_bytes()
    };
    let whole = codes.len() / 8;
    for (codes, bytes) in codes.chunks_exact(8).zip(bytes.chunks_exact_mut(W)) {
        bytes.copy_from_slice(&eight(codes)[..W]);
    }
    let rest = &mut bytes[W * whole..];
    rest.copy_from_slice(&eight(&codes[8 * whole..])[..rest.len()]);
}

/// Unpacks codes of `width` bits (2 to 8) from their bytes, of which there are exactly enough.
pub(crate) fn unpack(bytes: &[u8], width: u8, codes: &mut [u8]) {
    match width {
        2 => unpack_width::<2>(bytes, codes),
        3 => unpack_width::<3>(bytes, codes),
        4 => unpack_width::<4>(bytes, codes),
        5 => unpack_width::<5>(bytes, codes),
        6 => unpack_width::<6>(bytes, codes),
        7 => unpack_width::<7>(bytes, codes),
        _ => codes.copy_from_slice(bytes),
    }
}

/// [`pack_bits`](seedpress_codec::packing::pack_bits) of codes of `width` bits (2 to 8), over all threads.
pub(crate) fn pack(codes: &[u8], width: u8) -> Vec<u8> {
    let mut bytes = vec![0; (codes.len() * usize::from(width)).div_ceil(8)];
    bytes.par_chunks_mut(TASK / 8 * usize::from(width)).zip(codes.par_chunks(TASK)).for_each(|(bytes, codes)| {
        match width {
            2 => pack_width::<2>(codes, bytes),
            3 => pack_width::<3>(codes, bytes),
            4 => pack_width::<4>(codes, bytes),
            5 => pack_width::<5>(codes, bytes),
            6 => pack_width::<6>(codes, bytes),
            7 => pack_width::<7>(codes, bytes),
            _ => bytes.copy_from_slice(codes),
        }
    });
    bytes
}

/// The nearest binary16, saturating.
pub(crate) fn to_f16(value: f32) -> f16 {
    f16::from_f32(value.clamp(-65504.0, 65504.0))
}

/// A little-endian binary16 at `at`.
#[inline]
pub(crate) fn half_at(bytes: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// [`half_at`] as binary32.
#[inline]
pub(crate) fn f16_at(bytes: &[u8], at: usize) -> f32 {
    half_at(bytes, at).to_f32()
}

/// All scales of a segment, whose length the caller has checked.
///
/// # Errors
/// Corrupt where one is infinite or NaN.
pub(crate) fn check_f16(bytes: &[u8]) -> Result<(), DecodeError> {
    match bytes.chunks_exact(2).position(|pair| pair[1] & 0x7C == 0x7C) {
        Some(index) => Err(DecodeError::corrupt("a scale is not finite").at_offset(2 * index)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use seedpress_codec::packing::pack_bits;

    use super::*;

    #[test]
    fn packing_is_the_plain_bit_stream_at_every_width_and_length() {
        for width in 2..=8u8 {
            for count in (0..40).chain([TASK - 1, TASK, TASK + 13]) {
                let code = |index: usize| ((index as u32).wrapping_mul(0x9E37_79B9) >> (32 - width)) as u8;
                let codes: Vec<u8> = (0..count).map(code).collect();
                let bytes = pack(&codes, width);
                assert_eq!(bytes, pack_bits(codes.iter().map(|&code| u32::from(code)), width), "{width} {count}");
                let mut back = vec![0; count];
                unpack(&bytes, width, &mut back);
                assert_eq!(back, codes, "{width} {count}");
            }
        }
    }

    #[test]
    fn roundings_agree_and_break_ties_to_even() {
        for quarter in 0..=1020u16 {
            let value = f32::from(quarter) / 4.0;
            assert_eq!(round(value), value.round_ties_even());
            assert_eq!(f32::from(round_to_u8(value)), value.round_ties_even());
        }
    }

    #[test]
    fn extremes_see_every_value() {
        for at in 0..19 {
            let mut values = [0f32; 19];
            (values[at], values[(at + 5) % 19]) = (-2.5, 1.5);
            assert_eq!((extremes(&values), largest(&values)), ((-2.5, 1.5), 2.5));
        }
    }
}
