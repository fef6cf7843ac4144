//! How far a tensor is from its original, as a whole and row by row.
//!
//! One number for a tensor hides what happens to most of it: a single outlier can carry all of its energy, and then every other row may
//! come back as zeros with a relative error of a millionth. Rows tell.

use rayon::prelude::*;
use seedpress_codec::{DType, TensorView};

/// Values that are worth handing to another thread.
const TASK: usize = 1 << 16;

/// Errors of a tensor and of its rows. An error is `||w - v|| / ||w||`: 0 for a faithful copy, 1 for zeros, 2 for the negative; infinite
/// where `w` is zero and `v` is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowErrors {
    /// Of the whole tensor.
    pub relative: f64,
    /// The middle row's: half of the rows are no worse.
    pub median_row: f64,
    /// The worst row's.
    pub worst_row: f64,
    /// Share of rows that zeros would represent as well or better.
    pub no_better_than_zeros: f64,
    /// Values that are NaN or infinite in one and not the same in the other.
    pub non_finite: usize,
}

impl RowErrors {
    /// The error that a bound is for: the whole tensor's or its middle row's, whichever is larger. NaN where either is.
    pub fn judged(&self) -> f64 {
        match self.relative.is_nan() || self.relative > self.median_row {
            true => self.relative,
            false => self.median_row,
        }
    }

    /// Compares values with what came back for them. Rows are those of the matrix that codecs see.
    ///
    /// # Panics
    /// Where the lengths differ, or are not those of the shape.
    pub fn between(shape: &[usize], original: &[f32], decoded: &[f32]) -> Self {
        assert_eq!(original.len(), decoded.len(), "tensors of one shape");
        let view = TensorView::new("", shape, original, DType::F32).map(|view| view.columns());
        let columns = view.unwrap_or_else(|error| panic!("{error}")).max(1);
        let (mut error, mut energy, mut non_finite) = (0.0, 0.0, 0);
        let task = (TASK / columns).max(1);
        let pairs = original.par_chunks(columns).zip(decoded.par_chunks(columns)).with_min_len(task);
        // Collected first: the sums over rows have one order on any number of threads.
        let of_rows: Vec<(f64, f64, usize)> = pairs.map(|(row, back)| sums(row, back)).collect();
        let mut rows = Vec::with_capacity(of_rows.len());
        for (row_error, row_energy, differing) in of_rows {
            non_finite += differing;
            error += row_error;
            energy += row_energy;
            rows.push(ratio(row_error, row_energy));
        }
        let worse = rows.iter().filter(|&&error| error >= 1.0).count();
        let no_better_than_zeros = worse as f64 / rows.len().max(1) as f64;
        let middle = rows.len() / 2;
        let worst_row = rows.iter().copied().fold(0.0, f64::max);
        let median_row = match rows.is_empty() {
            true => 0.0,
            false => *rows.select_nth_unstable_by(middle, f64::total_cmp).1,
        };
        Self { relative: ratio(error, energy), median_row, worst_row, no_better_than_zeros, non_finite }
    }
}

/// Values whose sums are kept apart, so that they are added as vectors: the order is fixed.
const LANES: usize = 8;

/// Squared error, energy, and values that are not finite in one and not the same in the other.
fn sums(row: &[f32], back: &[f32]) -> (f64, f64, usize) {
    let finite = row.iter().chain(back).fold(true, |all, value| all & value.is_finite());
    let (mut error, mut energy, mut differing) = ([0f64; LANES], [0f64; LANES], 0);
    for (row, back) in row.chunks(LANES).zip(back.chunks(LANES)) {
        let lanes = error.iter_mut().zip(&mut energy);
        for ((error, energy), (&w, &v)) in lanes.zip(row.iter().zip(back)) {
            if finite || (w.is_finite() && v.is_finite()) {
                let (w, v) = (f64::from(w), f64::from(v));
                *error += (w - v) * (w - v);
                *energy += w * w;
            } else if !(w == v || (w.is_nan() && v.is_nan())) {
                differing += 1;
            }
        }
    }
    (error.iter().sum(), energy.iter().sum(), differing)
}

fn ratio(error: f64, energy: f64) -> f64 {
    if error == 0.0 { 0.0 } else { (error / energy).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_does_not_hide_the_other_rows() {
        let mut weights = vec![0.02f32; 40];
        weights[0] = 1e6;
        let mut decoded = vec![0.0f32; 40];
        decoded[0] = 1e6;
        let errors = RowErrors::between(&[4, 10], &weights, &decoded);
        assert!(errors.relative < 1e-6, "{errors:?}");
        assert_eq!((errors.median_row, errors.worst_row, errors.no_better_than_zeros), (1.0, 1.0, 0.75));
    }

    #[test]
    fn negated_zeroed_and_invented_weights_have_the_errors_they_should() {
        let errors = |original: &[f32], decoded: &[f32]| RowErrors::between(&[original.len()], original, decoded);
        assert_eq!(errors(&[1.0, -2.0], &[-1.0, 2.0]).relative, 2.0);
        assert_eq!(errors(&[1.0, -2.0], &[0.0, 0.0]).relative, 1.0);
        assert_eq!(errors(&[0.0, 0.0], &[0.0, 0.0]).relative, 0.0);
        assert_eq!(errors(&[0.0, 0.0], &[0.0, 1e-9]).relative, f64::INFINITY);
        assert_eq!(errors(&[], &[]).relative, 0.0);
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert_eq!(errors(&[nan, inf, 1.0, inf], &[nan, inf, nan, -inf]).non_finite, 2);
    }
}
