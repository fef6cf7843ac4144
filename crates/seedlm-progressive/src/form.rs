//! What the errors of a block's weights count together.

use crate::search::{Index, LONGEST, Penalties, STEEPEST};

/// A quadratic form of a block's errors, and what it makes of the codewords of every stage.
#[derive(Debug)]
pub(crate) struct Form {
    /// Row-major, symmetric.
    matrix: Vec<f32>,
    size: usize,
    penalties: Vec<Penalties>,
}

impl Form {
    /// The form `|L e|^2` of a triangle, row-major, scaled: blocks take the same bits, so only differences within one matter. A weight
    /// counts 1 on average, or less where the form is so uneven that the search would lose its range.
    pub(crate) fn new(indices: &[Index], triangle: &[f64], size: usize) -> Self {
        let entry = |i: usize, j: usize| -> f64 {
            (i.max(j)..size).map(|row| triangle[row * size + i] * triangle[row * size + j]).sum()
        };
        let matrix: Vec<f64> = (0..size * size).map(|at| entry(at / size, at % size)).collect();
        let mean = matrix.iter().step_by(size + 1).sum::<f64>() / size as f64;
        let steepest = matrix.chunks_exact(size).map(|row| row.iter().map(|entry| entry.abs()).sum::<f64>());
        let scale = mean.max(steepest.fold(0.0, f64::max) / STEEPEST);
        // A form of nothing stays nothing.
        let scale = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let matrix: Vec<f32> = matrix.iter().map(|entry| (entry * scale) as f32).collect();
        let penalties = indices.iter().map(|index| index.under_form(&matrix)).collect();
        Self { matrix, size, penalties }
    }

    /// What a weight's error counts on average.
    pub(crate) fn mean(&self) -> f64 {
        self.matrix.iter().step_by(self.size + 1).map(|&entry| f64::from(entry)).sum::<f64>() / self.size as f64
    }

    /// The codewords' penalties of a stage.
    pub(crate) fn penalties(&self, stage: usize) -> &Penalties {
        &self.penalties[stage]
    }

    /// The form times a block.
    pub(crate) fn times(&self, block: &[f32], out: &mut [f32; LONGEST]) {
        let out = &mut out[..self.size];
        out.fill(0.0);
        for (&value, row) in block.iter().zip(self.matrix.chunks_exact(self.size)) {
            out.iter_mut().zip(row).for_each(|(out, &entry)| *out += entry * value);
        }
    }
}
