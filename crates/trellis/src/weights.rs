//! Column weights: inputs that matter more get a finer step.
//!
//! The error of a layer's output is `sum_j h_j (w_j - w'_j)^2` where `h_j` is the mean square of input `j`. Columns are multiplied by
//! `sqrt(h_j)`, quantised to a quarter octave, before the trellis and divided after it, so that its plain squared error is that sum.

use seedpress_codec::{Calibration, DecodeError, Limits};
use seedpress_entropy::binary::{Bit, Decoder, Encoder, log2};

use crate::math::exp2;

const WIDTH: u32 = 5;
const MIDDLE: i32 = 1 << (WIDTH - 1);

/// One exponent a column, 0 to 31, of `2^((e - 16) / 4)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights(Vec<u8>);

impl Weights {
    /// Weights of calibrated columns; none where the statistics belong to another shape or say nothing.
    pub fn from_calibration(calibration: &Calibration, columns: usize) -> Option<Self> {
        let squares = &calibration.mean_square;
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
    pub fn apply(&self, values: &mut [f32]) {
        self.scale(values, 0, false);
    }

    /// Divides weights from row-major index `start`.
    pub fn undo(&self, values: &mut [f32], start: usize) {
        self.scale(values, start, true);
    }

    /// Codes the exponents.
    pub fn to_bytes(&self) -> Vec<u8> {
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
    pub fn from_bytes(bytes: &[u8], columns: usize, limits: &mut Limits) -> Result<Self, DecodeError> {
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
