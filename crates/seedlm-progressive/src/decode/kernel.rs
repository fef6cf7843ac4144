//! The inner loop of decoding: one multiply and one add a weight and stage, on contiguous values.
//!
//! The same code is compiled for the baseline and for AVX2, without fused multiply-add, so that both give the same bits.
#![allow(unsafe_code)]

use std::sync::Arc;

use seedpress_codec::packing::BitReader;

use crate::codebook::Codebook;
use crate::gain;

/// One stage of all blocks.
pub struct Stage<'a> {
    pub seeds: BitReader<'a>,
    pub signs: BitReader<'a>,
    /// Where the stage begins in both.
    pub first: usize,
    pub codebook: Arc<Codebook>,
    pub multiplier: f32,
}

/// A run of blocks.
pub struct Work<'a> {
    pub stages: &'a [Stage<'a>],
    /// Index of the first block.
    pub first: usize,
    /// Gain of each block.
    pub levels: &'a [i8],
    /// Multiplies every gain.
    pub unit: f32,
    /// Weights in a block; the last may have fewer.
    pub block: usize,
}

/// Adds the codewords of all stages to `out`.
pub fn add(work: &Work<'_>, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 was detected.
        unsafe { add_avx2(work, out) };
        return;
    }
    dispatch(work, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn add_avx2(work: &Work<'_>, out: &mut [f32]) {
    dispatch(work, out);
}

#[inline(always)]
fn dispatch(work: &Work<'_>, out: &mut [f32]) {
    match work.block {
        16 => blocks_of::<16>(work, out),
        32 => blocks_of::<32>(work, out),
        _ => any_blocks(work, 0, out),
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

/// Blocks of a length known to the compiler, for which each codeword is a few vector operations.
#[inline(always)]
fn blocks_of<const N: usize>(work: &Work<'_>, out: &mut [f32]) {
    let (whole, rest) = out.as_chunks_mut::<N>();
    let done = whole.len();
    for (index, block) in whole.iter_mut().enumerate() {
        let gain = gain::gain(i32::from(work.levels[index])) * work.unit;
        let mut sums = *block;
        for stage in work.stages {
            let (factor, position) = stage.term(work.first + index, gain);
            let codeword = stage.codebook.codeword(position, N);
            for (sum, value) in sums.iter_mut().zip(codeword) {
                *sum += factor * value;
            }
        }
        *block = sums;
    }
    any_blocks(work, done, rest);
}

/// Blocks of any length, from the block `skipped` of the run on.
#[inline(always)]
fn any_blocks(work: &Work<'_>, skipped: usize, out: &mut [f32]) {
    for (index, block) in out.chunks_mut(work.block).enumerate() {
        let index = skipped + index;
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
