//! Sources of weights, and a reference search that shares nothing with the real one but the evaluation of a choice.

#![allow(dead_code, clippy::unwrap_used)] // Each user needs a part; helpers of tests, outside the lint's own exemption.

use seedpress_codec::Int;
use seedpress_lfsr_basis::{Subspaces, dot};
use seedpress_seedlm_paper::Config;
use seedpress_seedlm_paper::search::{Choice, Grid, MAX_COLUMNS, error};

pub(crate) fn preset(block: i64, coefficients: i64) -> Config {
    Config { block: Int::of(block), coefficients: Int::of(coefficients), ..Config::default() }
}

/// Uniform numbers in (0, 1) from SplitMix64.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + f64::EPSILON
    }

    pub(crate) fn gaussian(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    pub(crate) fn laplace(&mut self) -> f64 {
        let sign = if self.uniform() < 0.5 { -1.0 } else { 1.0 };
        sign * self.uniform().ln()
    }
}

/// All `f32` tensors of the committed voice-activity model, one after the other.
pub(crate) fn trained_weights() -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/silero-vad/model.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Every window in turn, every exponent, and every coefficient but the last, whose best value is the rounded solution of a convex
/// problem in one unknown. Windows are left out only by their least-squares residual in `f64`, and only where `best` allows it.
pub(crate) fn reference(table: &Subspaces, grid: &Grid, blocks: &[&[f64]], best: &mut [Choice]) {
    for window in 0..table.windows() {
        let Some(factors) = table.factors(window) else { continue };
        for (block, best) in blocks.iter().zip(&mut *best) {
            let energy = dot(block, block);
            let captured: f64 = factors.q.chunks_exact(table.rows()).map(|q| dot(q, block).powi(2)).sum();
            if energy - captured <= best.error + 1e-10 * energy {
                enumerate(window as u32, &factors.centred, table.columns(), grid, block, best);
            }
        }
    }
}

fn enumerate(window: u32, centred: &[f64], columns: usize, grid: &Grid, block: &[f64], best: &mut Choice) {
    let (low, high) = (i64::from(grid.low), i64::from(grid.high));
    let levels = (high - low + 1) as usize;
    let last: Vec<f64> = centred.iter().skip(columns - 1).step_by(columns).copied().collect();
    let square = dot(&last, &last);
    for (code, &factor) in grid.factors.iter().enumerate().filter(|entry| *entry.1 > 0.0) {
        for point in 0..levels.pow(columns as u32 - 1) {
            let mut q = [0i16; MAX_COLUMNS];
            let mut rest = point;
            for column in (0..columns - 1).rev() {
                q[column] = (low + (rest % levels) as i64) as i16;
                rest /= levels;
            }
            let (mut inner, mut left) = (0.0, 0.0);
            for ((weight, row), u) in block.iter().zip(centred.chunks_exact(columns)).zip(&last) {
                let r = weight - factor * row.iter().zip(&q).map(|(u, &q)| u * f64::from(q)).sum::<f64>();
                inner += r * u;
                left += r * r;
            }
            if left - inner * inner / square > best.error * (1.0 + 1e-9) + 1e-300 {
                continue;
            }
            let solution = inner / (factor * square);
            for value in [solution.floor(), solution.ceil()] {
                q[columns - 1] = value.clamp(low as f64, high as f64) as i16;
                let error = error(block, None, centred, columns, factor, &q);
                best.improve(Choice { error, window, exponent: code as u8, coefficients: q });
            }
        }
    }
}
