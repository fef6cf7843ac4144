//! One block: its bytes, its factor, and the way back to weights. Scales and layout are told in [`stream`](crate::stream).

use seedpress_rotation::{SIDE, hadamard, sign, signs};
#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use crate::code::value;
use crate::header::Settings;

/// `2^(i / 8)`.
pub(crate) const EIGHTHS: [f32; 8] =
    [1.0, 1.090_507_7, 1.189_207_1, 1.296_839_6, std::f32::consts::SQRT_2, 1.542_210_8, 1.681_792_9, 1.834_008_1];

/// Weights the last block is coded as, from those it has.
pub(crate) fn padded(count: usize, settings: Settings) -> usize {
    count.max(settings.state_bits.div_ceil(settings.bits) as usize).next_multiple_of(8)
}

/// The factor of a block.
#[inline]
pub(crate) fn factor(byte: u8) -> f32 {
    if byte == 0 {
        return 0.0;
    }
    let eighths = i32::from(byte) - 128;
    // 111 to 142 fit the exponent of a binary32.
    f32::from_bits(((eighths.div_euclid(8) + 127) as u32) << 23) * EIGHTHS[eighths.rem_euclid(8) as usize]
}

/// The smallest byte whose factor is not below `ratio`; 0 where even the smallest would make the block larger than it is by half.
pub(crate) fn scale_byte(ratio: f64) -> u8 {
    if 1.5 * ratio < f64::from(factor(1)) {
        return 0;
    }
    let fits = |byte: &u8| f64::from(factor(*byte)) >= ratio;
    (1..=255u8).find(fits).unwrap_or(255)
}

/// The deviation that values are best given for normal weights of deviation 1, by bits: measured with 12 bits of state.
pub(crate) const SPREAD: [f64; 4] = [0.9, 1.03, 1.06, 1.13];

/// Half a step of the scales, which round up.
pub(crate) const HALF_STEP: f64 = 1.0443;

/// The low bits of every state, one after another.
pub(crate) fn pack(states: &[u16], bits: u32) -> Vec<u8> {
    let mut bytes = vec![0u8; states.len() * bits as usize / 8];
    for (at, &state) in states.iter().enumerate() {
        let place = at * bits as usize;
        let low = u32::from(state) & ((1 << bits) - 1);
        let shifted = low << (place % 8);
        bytes[place / 8] |= shifted as u8;
        if let Some(next) = bytes.get_mut(place / 8 + 1) {
            *next |= (shifted >> 8) as u8;
        }
    }
    bytes
}

/// One block on its way out.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub bytes: &'a [u8],
    pub state_bits: u32,
    pub scale: f32,
    /// Of the rotation, and which block this is.
    pub seed: Option<u32>,
    pub index: usize,
}

impl Block<'_> {
    pub(crate) fn decode(self, bits: u32, out: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if Level::fastest() >= Level::Avx2 {
            wide::decode(self, bits, out);
            return;
        }
        self.plain(bits, out);
    }

    #[inline(always)]
    fn plain(self, bits: u32, out: &mut [f32]) {
        match bits {
            1 => self.of::<1>(out),
            2 => self.of::<2>(out),
            3 => self.of::<3>(out),
            _ => self.of::<4>(out),
        }
    }

    #[inline(always)]
    fn of<const BITS: usize>(self, out: &mut [f32]) {
        // The stream is circular: its first bytes follow the last.
        let mut ring = [0u8; SIDE / 8 * 4 + 8];
        let length = self.bytes.len();
        ring[..length].copy_from_slice(self.bytes);
        for at in 0..8 {
            ring[length + at] = ring[at % length];
        }
        let mask = (1u32 << self.state_bits) - 1;
        let mut values = [0i32; SIDE];
        for (at, eight) in values.chunks_exact_mut(8).enumerate().take(length / BITS) {
            let start = at * BITS;
            let word = u64::from_le_bytes(std::array::from_fn(|byte| ring[start + byte]));
            for (j, slot) in eight.iter_mut().enumerate() {
                *slot = value((word >> (j * BITS)) as u32 & mask);
            }
        }
        if let (Some(seed), SIDE) = (self.seed, out.len()) {
            hadamard(&mut values);
            let (signs, scale) = (signs(seed, self.index), self.scale / 16.0);
            for (at, (out, &value)) in out.iter_mut().zip(&values).enumerate() {
                *out = bounded(value as f32 * scale * sign(&signs, at));
            }
        } else {
            out.iter_mut().zip(&values).for_each(|(out, &value)| *out = bounded(value as f32 * self.scale));
        }
    }
}

#[inline(always)]
pub(crate) fn bounded(weight: f32) -> f32 {
    weight.clamp(-f32::MAX, f32::MAX)
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod wide {
    //! The same loops, compiled for wider registers.

    use super::Block;

    pub(super) fn decode(block: Block<'_>, bits: u32, out: &mut [f32]) {
        // SAFETY: the caller has checked for AVX2.
        unsafe { compiled(block, bits, out) }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn compiled(block: Block<'_>, bits: u32, out: &mut [f32]) {
        block.plain(bits, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_registers_change_nothing() {
        let bytes: Vec<u8> = (0..128u32).map(|i| (i * i * 37 + 11) as u8).collect();
        for bits in 1..=4 {
            for (length, seed) in [(SIDE, None), (SIDE, Some(3)), (56, None)] {
                let bytes = &bytes[..length / 8 * bits as usize];
                let block = Block { bytes, state_bits: 13, scale: 1e-5, seed, index: 5 };
                let (mut plain, mut fast) = (vec![0f32; length], vec![0f32; length]);
                block.plain(bits, &mut plain);
                block.decode(bits, &mut fast);
                assert_eq!(plain, fast, "{bits} {length}");
            }
        }
    }

    #[test]
    fn factors_are_eighths_of_octaves() {
        for byte in 1..=255u8 {
            let wanted = 2f64.powf((f64::from(byte) - 128.0) / 8.0);
            assert!((f64::from(factor(byte)) / wanted - 1.0).abs() < 1e-6);
            assert_eq!(scale_byte(f64::from(factor(byte))), byte);
        }
    }
}
