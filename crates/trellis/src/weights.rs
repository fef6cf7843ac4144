//! Column weights: inputs that matter more get a finer step.
//!
//! The error of a layer's output is `sum_j h_j (w_j - w'_j)^2` where `h_j` is the mean square of input `j`. Columns are multiplied by
//! `sqrt(h_j)`, quantised to a quarter octave, before the trellis and divided after it, so that its plain squared error is that sum.

use rayon::prelude::*;
use seedpress_codec::{DecodeError, InputStatistics, Limits};
use seedpress_entropy::binary::{Bit, Decoder, Encoder, log2};

use crate::math::exp2;

const WIDTH: u32 = 5;
const MIDDLE: i32 = 1 << (WIDTH - 1);

/// One exponent a column, 0 to 31, of `2^((e - 16) / 4)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights(Vec<u8>);

impl Weights {
    /// Weights of calibrated columns; none where the statistics belong to another shape or say nothing.
    pub(crate) fn from_calibration(calibration: &InputStatistics, columns: usize) -> Option<Self> {
        let squares = calibration.mean_square();
        if squares.len() != columns || columns < 2 {
            return None;
        }
        let valid = |square: f32| if square.is_finite() && square > 0.0 { f64::from(square) } else { 0.0 };
        let mean = squares.iter().map(|&s| valid(s)).sum::<f64>() / columns as f64;
        if mean <= 0.0 {
            return None;
        }
        let exponents: Vec<u8> = squares
            .iter()
            // Damped: an input that calibration never saw may still come.
            .map(|&s| (2.0 * log2((valid(s) + 0.01 * mean) / (1.01 * mean))).round())
            .map(|quarters| (quarters as i32).clamp(-MIDDLE, MIDDLE - 1) + MIDDLE)
            .map(|exponent| exponent as u8)
            .collect();
        exponents.iter().any(|&e| e != exponents[0]).then_some(Self(exponents))
    }

    /// Weights of columns of these sensitivities (what a squared error counts), and the sensitivity of a column of factor 1.
    pub(crate) fn from_sensitivities(sensitivities: &[f64]) -> (Self, f64) {
        let mut sorted = sensitivities.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (median, most) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
        // The largest exponent for the most sensitive column, unless half of the columns would then share the smallest.
        let top = most.min(median * 8192.0).max(f64::MIN_POSITIVE);
        let quarters = |s: f64| (2.0 * log2((s / top).max(1e-30))).round() as i32;
        let exponents = sensitivities.iter().map(|&s| (quarters(s) + 2 * MIDDLE - 1).clamp(0, 2 * MIDDLE - 1) as u8);
        let factor = Self::factors(false)[(1 << WIDTH) - 1];
        (Self(exponents.collect()), top / (factor * factor))
    }

    /// The factor of every column.
    pub(crate) fn factors_of_columns(&self) -> Vec<f64> {
        let factors = Self::factors(false);
        self.0.iter().map(|&exponent| factors[usize::from(exponent)]).collect()
    }

    /// Divides column-major weights of `rows` rows.
    pub(crate) fn undo_columns(&self, values: &mut [f32], rows: usize) {
        let factors = Self::factors(true);
        values.par_chunks_mut(rows).zip(&self.0).for_each(|(column, &exponent)| {
            for value in column {
                let scaled = f64::from(*value) * factors[usize::from(exponent)];
                *value = (scaled as f32).clamp(-f32::MAX, f32::MAX);
            }
        });
    }

    fn factors(inverse: bool) -> [f64; 1 << WIDTH] {
        let sign = if inverse { -1.0 } else { 1.0 };
        std::array::from_fn(|e| exp2(sign * (e as f64 - f64::from(MIDDLE)) / 4.0))
    }

    fn scale(&self, values: &mut [f32], start: usize, inverse: bool) {
        let factors = Self::factors(inverse);
        let columns = self.0.iter().cycle().skip(start % self.0.len());
        for (value, &exponent) in values.iter_mut().zip(columns) {
            let scaled = f64::from(*value) * factors[usize::from(exponent)];
            *value = (scaled as f32).clamp(-f32::MAX, f32::MAX);
        }
    }

    /// Multiplies a whole matrix.
    pub(crate) fn apply(&self, values: &mut [f32]) {
        self.scale(values, 0, false);
    }

    /// Divides weights from row-major index `start`.
    pub(crate) fn undo(&self, values: &mut [f32], start: usize) {
        self.scale(values, start, true);
    }

    /// Codes the exponents.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (mut encoder, mut tree) = (Encoder::new(), [Bit::default(); 1 << WIDTH]);
        for &exponent in &self.0 {
            let mut node = 1;
            for shift in (0..WIDTH).rev() {
                let bit = exponent >> shift & 1;
                encoder.adaptive(&mut tree[node], bit == 1);
                node = 2 * node + usize::from(bit);
            }
        }
        encoder.finish()
    }

    /// Reads the exponents of `columns` columns.
    ///
    /// # Errors
    /// Corrupt, or the limit.
    pub(crate) fn from_bytes(bytes: &[u8], columns: usize, limits: &mut Limits) -> Result<Self, DecodeError> {
        let (mut decoder, mut tree) = (Decoder::new(bytes), [Bit::default(); 1 << WIDTH]);
        let mut exponents = limits.vec(columns)?;
        for _ in 0..columns {
            let mut node = 1;
            for _ in 0..WIDTH {
                node = 2 * node + usize::from(decoder.adaptive(&mut tree[node]));
            }
            exponents.push((node - (1 << WIDTH)) as u8);
        }
        decoder.finish()?;
        Ok(Self(exponents))
    }
}
