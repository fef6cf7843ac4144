//! The inner loop of decoding: one multiply and one add a weight and stage, on contiguous values.
//!
//! The same code is compiled for the baseline and for AVX2, without fused multiply-add, so that both give the same bits.
#![allow(unsafe_code)]

use std::sync::Arc;

use seedpress_codec::packing::BitReader;
#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use crate::codebook::Codebook;
use crate::gain;

/// Values in a vector.
const LANES: usize = 8;

/// One stage of all blocks.
pub(super) struct Stage<'a> {
    pub seeds: BitReader<'a>,
    pub signs: BitReader<'a>,
    /// Where the stage begins in both.
    pub first: usize,
    pub codebook: Arc<Codebook>,
    pub multiplier: f32,
}

/// A run of blocks.
pub(super) struct Work<'a> {
    pub stages: &'a [Stage<'a>],
    /// Index of the first block.
    pub first: usize,
    /// Gain of each block.
    pub levels: &'a [i8],
    /// What every sum begins with.
    pub mean: f32,
    /// Multiplies every gain.
    pub unit: f32,
    /// Weights in a block; the last may have fewer.
    pub block: usize,
}

/// Writes the mean and the codewords of all stages to `out`.
pub(super) fn sum(work: &Work<'_>, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if Level::fastest() >= Level::Avx2 {
        // SAFETY: AVX2 was detected.
        unsafe { sum_avx2(work, out) };
        return;
    }
    dispatch(work, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn sum_avx2(work: &Work<'_>, out: &mut [f32]) {
    dispatch(work, out);
}

#[inline(always)]
fn dispatch(work: &Work<'_>, out: &mut [f32]) {
    match work.block.div_ceil(LANES) {
        1 => vectors::<1>(work, out),
        2 => vectors::<2>(work, out),
        3 => vectors::<3>(work, out),
        4 => vectors::<4>(work, out),
        5 => vectors::<5>(work, out),
        6 => vectors::<6>(work, out),
        7 => vectors::<7>(work, out),
        _ => vectors::<8>(work, out),
    }
}

impl Stage<'_> {
    /// Factor and first value of a block's codeword; the zero codeword is the first with the factor zero.
    #[inline(always)]
    fn term(&self, block: usize, gain: f32) -> (f32, usize) {
        let position = self.seeds.get(self.first + block) as usize;
        if position >= self.codebook.len() {
            return (0.0, 0);
        }
        let sign = self.signs.get(self.first + block) << 31;
        (f32::from_bits((self.multiplier * gain).to_bits() ^ sign), position)
    }
}

/// Blocks in whole vectors: sums stay in registers over all stages. The last vector reaches into the next block, which is written
/// after it; where that lies beyond the run, values come one by one.
#[inline(always)]
fn vectors<const VECTORS: usize>(work: &Work<'_>, out: &mut [f32]) {
    let reach = VECTORS * LANES;
    let whole = if out.len() < reach { 0 } else { (out.len() - reach) / work.block + 1 };
    for index in 0..whole {
        let gain = gain::gain(i32::from(work.levels[index])) * work.unit;
        let mut sums = [[work.mean; LANES]; VECTORS];
        for stage in work.stages {
            let (factor, position) = stage.term(work.first + index, gain);
            let codeword = stage.codebook.values()[position..position + reach].as_chunks::<LANES>().0;
            for (sum, values) in sums.iter_mut().zip(codeword) {
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += factor * value;
                }
            }
        }
        out[index * work.block..][..reach].copy_from_slice(sums.as_flattened());
    }
    let rest = &mut out[whole * work.block..];
    rest.fill(work.mean);
    for (index, block) in (whole..).zip(rest.chunks_mut(work.block)) {
        let gain = gain::gain(i32::from(work.levels[index])) * work.unit;
        for stage in work.stages {
            let (factor, position) = stage.term(work.first + index, gain);
            let codeword = stage.codebook.codeword(position, block.len());
            for (sum, value) in block.iter_mut().zip(codeword) {
                *sum += factor * value;
            }
        }
    }
}
