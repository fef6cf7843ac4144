//! The bytes: a header, one scale a block where they pay, and `k` bits a weight, any block of which decodes alone.
//!
//! | params | size | |
//! | --- | --- | --- |
//! | kind | u8 | bits 0-1: `k - 1`; bits 2-4: `L - 9`, or 0; bit 5: rotated; bit 6: block scales; bit 7: power |
//! | columns | u8 | where bits 2-4 of kind are 0: blocks run down the columns, see [`columns`] |
//! | step | f32 | 0 where every weight is 0 (nothing follows); else positive |
//! | power | i16 | with bit 7: weights are multiplied by this power of two at the end, in binary64, and what would overflow becomes the largest finite number |
//! | seed | u32 | with bit 5 |
//!
//! | segment | role | |
//! | --- | --- | --- |
//! | scales | scales | with bit 6: a byte a block. 0: the factor is 0, every weight a zero with the sign of its value; else it is `2^((byte - 128) / 8)` in binary32, as the product of `2^floor` and the table [`EIGHTHS`] (each the binary32 nearest to `2^(i / 8)`) |
//! | indices | indices | the blocks |
//!
//! Blocks are [`SIDE`] (256) weights in row-major order. A last one of fewer, `r` weights, is coded as if it had `r' = max(r, ceil(L /
//! k))`, rounded up to a multiple of 8, and is not rotated. A block of `n` weights takes `n k / 8` bytes: a circular stream of bits, least
//! significant first; without a scale its factor is 1. The state of weight `i` is the `L` bits from bit `i k` on. With `x = 0xC6B4F629
//! state + 0x5D2C6A93 mod 2^32` and `c` the sum of the four bytes of `x`, less 510, its value is `floor(c (26283 + floor(c^2 / 64)) /
//! 16)`. Without rotation the weight is the value, in binary32, times the product of step and factor. With rotation the values go
//! through the Hadamard transform (in integers), are multiplied by that product over 16, all in binary32, and change sign where the
//! generator says so ([`signs`] of the block's number: bit `i mod 64` of word `i / 64`; [`seedpress_rotation`] describes both). Numbers
//! are little-endian.

use rayon::prelude::*;
use seedpress_codec::power::PowerOfTwo;
use seedpress_codec::{
    DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Role, Segment, Symbols, TensorView,
};

use seedpress_entropy::binary::log2;
use seedpress_rotation::{SIDE, hadamard, sign, signs};
#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use crate::code::{DEVIATION, value};
use crate::columns;
use crate::header::{Header, Layout, Settings};
use crate::search::Search;

/// `2^(i / 8)`.
pub const EIGHTHS: [f32; 8] =
    [1.0, 1.090_507_7, 1.189_207_1, 1.296_839_6, std::f32::consts::SQRT_2, 1.542_210_8, 1.681_792_9, 1.834_008_1];

/// Weights the last block is coded as, from those it has.
pub(crate) fn padded(count: usize, settings: Settings) -> usize {
    count.max(settings.state_bits.div_ceil(settings.bits) as usize).next_multiple_of(8)
}

/// Bytes of all blocks.
fn stream_length(count: usize, settings: Settings) -> usize {
    let (full, rest) = (count / SIDE, count % SIDE);
    let last = if rest > 0 { padded(rest, settings) } else { 0 };
    (full * SIDE + last) / 8 * settings.bits as usize
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

/// Compresses a tensor.
///
/// # Errors
/// Cancellation.
pub fn encode(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    settings: Settings,
) -> Result<Encoded, EncodeError> {
    let values = tensor.values();
    let largest = values.iter().fold(0f32, |largest, v| largest.max(v.abs()));
    let mut header = Header::of_zeros(settings);
    if largest == 0.0 {
        return Ok(Encoded::single(header.to_bytes(), Vec::new()));
    }
    if !(1e-12..1e12).contains(&largest) {
        header.power = PowerOfTwo::normalising(values, 0);
    }
    let values = header.power.down_all(values);
    let energies: Vec<f64> =
        values.chunks(SIDE).map(|block| block.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>()).collect();
    let deviation = (energies.iter().sum::<f64>() / values.len() as f64).sqrt();
    let scales = scales(&values, &energies, deviation);
    header.scaled = scales.is_some();
    let unit = (SPREAD[settings.bits as usize - 1] / f64::from(DEVIATION)) as f32;
    let blocks: Vec<Coded> = values
        .par_chunks(SIDE)
        .enumerate()
        .map_init(
            || Search::new(settings.state_bits, settings.bits, unit),
            |search, (index, weights)| {
                context.check_cancelled()?;
                let own = scales.as_ref().map_or(1.0, |scales| f64::from(factor(scales[index])));
                let coded = Coded::new(search, weights, index, settings, [own, deviation]);
                context.advance(weights.len());
                Ok(coded)
            },
        )
        .collect::<Result<_, EncodeError>>()?;
    // The step that fits best what was chosen.
    let (dot, square) = blocks.iter().fold((0.0, 0.0), |(dot, square), block| (dot + block.dot, square + block.square));
    let fitted = if dot > 0.0 { deviation * dot / square } else { deviation * f64::from(unit) };
    header.step = (fitted as f32).max(f32::MIN_POSITIVE);
    let stream: Vec<u8> = blocks.into_iter().flat_map(|block| block.bytes).collect();
    debug_assert_eq!(stream.len(), stream_length(values.len(), settings));
    let mut segments = Vec::new();
    if let Some(scales) = scales {
        segments.push(Segment::new(Role::Scales, Symbols::bits(8, scales.len(), 0), scales));
    }
    let symbols = Symbols { count: values.len() as u64, ..Symbols::OPAQUE };
    segments.push(Segment::new(Role::Indices, symbols, stream));
    Ok(Encoded::single(header.to_bytes(), segments))
}

/// What scales of their own must save, in octaves of error: a byte on 256 weights is worth 1/32 bit, 1/16 in the binary logarithm.
const LEAST_SAVING: f64 = 0.07;

/// Half a step of the scales, which round up.
pub(crate) const HALF_STEP: f64 = 1.0443;

/// A scale for every block, where blocks at deviations of their own save more than their bytes. The error falls with the energy-weighted
/// mean of log energy.
fn scales(values: &[f32], energies: &[f64], deviation: f64) -> Option<Vec<u8>> {
    let (mut saved, mut worth) = (0.0, 0.0);
    for (energy, block) in energies.iter().zip(values.chunks(SIDE)) {
        let count = block.len() as f64;
        let ratio = energy / count / (deviation * deviation);
        saved += count * ratio * log2(ratio.max(1e-30));
        worth += count * ratio;
    }
    let pays = values.len() > SIDE && saved / worth.max(1e-300) > LEAST_SAVING;
    let byte =
        |(energy, block): (&f64, &[f32])| scale_byte((energy / block.len() as f64).sqrt() / deviation / HALF_STEP);
    pays.then(|| energies.iter().zip(values.chunks(SIDE)).map(byte).collect())
}

/// A block as it goes into the stream.
struct Coded {
    bytes: Vec<u8>,
    /// Products of the values chosen with the weights, and their squares, in units of the deviation.
    dot: f64,
    square: f64,
}

impl Coded {
    /// Codes a block whose weights are `own` times as large as the deviation of all.
    fn new(search: &mut Search, weights: &[f32], index: usize, settings: Settings, [own, deviation]: [f64; 2]) -> Self {
        let length = if weights.len() < SIDE { padded(weights.len(), settings) } else { SIDE };
        if own == 0.0 {
            return Self { bytes: vec![0; length / 8 * settings.bits as usize], dot: 0.0, square: 0.0 };
        }
        let mut samples = rotated(weights, index, settings.seed);
        // What a last block is padded with decodes to no weight: any value will do.
        samples.resize(length, f32::NAN);
        let inverse = (1.0 / (own * deviation)) as f32;
        samples.iter_mut().for_each(|sample| *sample *= inverse);
        let states = search.tail_biting(&samples);
        let (mut dot, mut square) = (0.0, 0.0);
        for (&state, &sample) in states.iter().zip(&samples).take(weights.len()) {
            let value = f64::from(value(u32::from(state)));
            dot += own * own * value * f64::from(sample);
            square += own * own * value * value;
        }
        Self { bytes: pack(&states, settings.bits), dot, square }
    }
}

/// A block's weights, rotated where it is full and they are to be.
fn rotated(weights: &[f32], index: usize, seed: Option<u32>) -> Vec<f32> {
    let (Some(seed), Ok(block)) = (seed, <&[f32; SIDE]>::try_from(weights)) else { return weights.to_vec() };
    let (mut block, signs) = (*block, signs(seed, index));
    block.iter_mut().enumerate().for_each(|(at, weight)| *weight *= sign(&signs, at) / 16.0);
    hadamard(&mut block);
    block.to_vec()
}

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

/// Reconstructs a tensor.
///
/// # Errors
/// Truncated or corrupt.
pub fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    let header = Header::parse(encoded.params)?;
    if header.step == 0.0 {
        // A tensor of zeros.
        let [] = encoded.single([])?;
        out.fill(0.0);
        return Ok(());
    }
    if let Layout::Columns { scaled } = header.layout {
        return columns::decode(&header, scaled, encoded, out, limits);
    }
    let mut segments = encoded.segments(0)?;
    let scales = if header.scaled { segments.exact(Role::Scales, out.len().div_ceil(SIDE))? } else { &[] };
    let stream = segments.exact(Role::Indices, stream_length(out.len(), header.settings))?;
    segments.finish()?;
    let Settings { bits, state_bits, seed } = header.settings;
    let block_bytes = SIDE / 8 * bits as usize;
    // Enough blocks a task to be worth one.
    out.par_chunks_mut(SIDE).with_min_len(64).enumerate().for_each(|(index, out)| {
        let bytes = &stream[index * block_bytes..];
        let factor = scales.get(index).map_or(1.0, |&byte| factor(byte));
        let length = if out.len() == SIDE { block_bytes } else { bytes.len() };
        let block = Block { bytes: &bytes[..length], state_bits, scale: header.step * factor, seed, index };
        block.decode(bits, out);
    });
    header.power.up_all(out);
    Ok(())
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
    pub fn decode(self, bits: u32, out: &mut [f32]) {
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

    pub fn decode(block: Block<'_>, bits: u32, out: &mut [f32]) {
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
