//! What a block type is, and what blocks of it decode to.

use rayon::prelude::*;

use super::grid::{Grid, Head, Levels, Steps};
use super::search::Emphasis;
use super::shifts::{Shifts, TASK};

/// Most weights in a block of any type.
pub(super) const LONGEST: usize = 256;

/// One block type.
pub(crate) trait BlockFormat: Send + Sync + 'static {
    /// The codec's id: ggml's name in lower case.
    const ID: &'static str;
    /// One line for listings.
    const SUMMARY: &'static str;
    /// Weights in a block.
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Where in a block the binary16 scales lie.
    const HALVES: &'static [usize];
    /// A block whose magnitudes are at most 65504 times this gets finite scales.
    const REACH: f32;
    /// Whether a zero comes back as zero whatever else is in the block.
    const ZERO: bool;

    /// Weights that share a step and a shift.
    const SUB: usize;
    /// What codes stand for.
    const LEVELS: Levels;
    /// What steps and shifts may be.
    const STEPS: Steps;

    /// Fills `block` (zeroed, [`BYTES`](Self::BYTES) long) from [`WEIGHTS`](Self::WEIGHTS) finite weights, whose errors count as `emphasis`
    /// says.
    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]);

    /// The best grid for one sub-block by itself.
    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid;

    /// Reads what a block holds beside its codes.
    fn head(block: &[u8]) -> Head;

    /// Fills `block` (zeroed) from its parts, a code a weight.
    fn write(head: &Head, codes: &[u8], block: &mut [u8]);

    /// Fills `weights` from a block whose scales are finite.
    fn dequantise(block: &[u8], weights: &mut [f32]);
}

/// What blocks with finite scales decode to.
pub(super) fn restore<F: BlockFormat>(bytes: &[u8], shifts: &Shifts, out: &mut [f32]) {
    let tasks = out.par_chunks_mut(TASK * F::WEIGHTS).zip(bytes.par_chunks(TASK * F::BYTES)).enumerate();
    tasks.for_each(|(task, (out, bytes))| {
        let parts = out.chunks_mut(F::WEIGHTS).zip(bytes.chunks_exact(F::BYTES));
        for (number, (weights, block)) in (task * TASK..).zip(parts) {
            if weights.len() == F::WEIGHTS {
                F::dequantise(block, weights);
            } else {
                let mut padded = [0f32; LONGEST];
                F::dequantise(block, &mut padded[..F::WEIGHTS]);
                weights.copy_from_slice(&padded[..weights.len()]);
            }
            shifts.of(number).up_all(weights);
        }
    });
}
