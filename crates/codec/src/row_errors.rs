//! Errors row by row: what a single figure for a tensor hides.
//!
//! The relative error of a tensor is that of its largest weights. One weight of 1e6 deviations makes it tiny whatever becomes of all
//! other rows; the median row and the share of rows that zeros would have served better show it.

use crate::tensor::TensorView;

/// How the rows of one tensor came back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowErrors {
    /// Rows compared.
    pub rows: usize,
    /// Rows whose squared error is above their energy: zeros would have been nearer. A row of zeros that does not come back as zeros is one.
    pub worse_than_zeros: usize,
    /// The median of the rows' relative errors `sqrt(sum (w - w')^2 / sum w^2)`, the mean of the two middle ones where their number is
    /// even. 0 for a tensor without rows.
    pub median: f64,
    /// The largest of them.
    pub largest: f64,
}

impl RowErrors {
    /// The share of rows that zeros would have served better, 0 for a tensor without rows.
    pub fn share_worse_than_zeros(&self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.worse_than_zeros as f64 / self.rows as f64 }
    }
}

/// Slack for rounding when a row is compared with its zeros: a row of zeros is not worse than zeros.
const ROUNDING: f64 = 1e-9;

/// Compares the rows of the tensor's matrix view with those of `decoded`, as long as the tensor.
///
/// The relative error of a row of zeros is 0 where it comes back as zeros and infinite otherwise. Non-finite values count where they
/// differ from what they were, and make the row's error infinite then; equal ones count nothing.
///
/// # Panics
/// Where `decoded` has another length than the tensor: two different tensors have no error.
pub fn row_errors(original: &TensorView<'_>, decoded: &[f32]) -> RowErrors {
    assert_eq!(original.len(), decoded.len(), "tensors of different lengths");
    let columns = original.columns();
    if original.is_empty() {
        return RowErrors { rows: 0, worse_than_zeros: 0, median: 0.0, largest: 0.0 };
    }
    let mut worse_than_zeros = 0;
    let rows = original.values().chunks(columns).zip(decoded.chunks(columns));
    let mut errors: Vec<f64> = rows
        .map(|(row, decoded)| {
            let (error, energy) = error_and_energy(row, decoded);
            if error > energy * (1.0 + ROUNDING) {
                worse_than_zeros += 1;
            }
            if error == 0.0 { 0.0 } else { (error / energy).sqrt() }
        })
        .collect();
    errors.sort_unstable_by(f64::total_cmp);
    let middle = errors.len() / 2;
    let median =
        if errors.len().is_multiple_of(2) { (errors[middle - 1] + errors[middle]) / 2.0 } else { errors[middle] };
    RowErrors { rows: errors.len(), worse_than_zeros, median, largest: errors[errors.len() - 1] }
}

/// Sums of squared errors and of squares.
fn error_and_energy(row: &[f32], decoded: &[f32]) -> (f64, f64) {
    let (mut error, mut energy) = (0f64, 0f64);
    for (&before, &after) in row.iter().zip(decoded) {
        if before.is_finite() && after.is_finite() {
            let difference = f64::from(before) - f64::from(after);
            error += difference * difference;
            energy += f64::from(before) * f64::from(before);
        } else if before.to_bits() != after.to_bits() {
            error = f64::INFINITY;
        }
    }
    (error, energy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    fn of(shape: &[usize], before: &[f32], after: &[f32]) -> RowErrors {
        row_errors(&TensorView::new("w", shape, before, DType::F32).unwrap(), after)
    }

    #[test]
    fn an_outlier_does_not_hide_the_other_rows() {
        let mut before = vec![1f32; 4 * 100];
        before[7] = 1e6;
        let mut after = vec![0f32; 4 * 100];
        after[..100].copy_from_slice(&before[..100]);
        after[350] = -1.0;
        let errors = of(&[4, 100], &before, &after);
        assert_eq!((errors.rows, errors.worse_than_zeros, errors.median), (4, 1, 1.0));
        assert_eq!(errors.share_worse_than_zeros(), 0.25);
        assert!((errors.largest - 1.03f64.sqrt()).abs() < 1e-12, "{errors:?}");
    }

    #[test]
    fn figures_follow_their_definitions() {
        // Relative errors 0, 1/2, 1, 2.
        let errors = of(&[4, 1], &[2.0, 2.0, 2.0, 2.0], &[2.0, 3.0, 0.0, -2.0]);
        assert_eq!((errors.median, errors.largest, errors.worse_than_zeros), (0.75, 2.0, 1));
        assert_eq!(of(&[3, 1], &[2.0, 2.0, 2.0], &[2.0, 3.0, 0.0]).median, 0.5);
        // A vector is one row, stacked matrices have as many as all their outputs, a convolution one an output.
        assert_eq!(of(&[6], &[1.0; 6], &[1.0; 6]).rows, 1);
        assert_eq!(of(&[2, 3, 32], &[1.0; 192], &[1.0; 192]).rows, 6);
        assert_eq!(of(&[2, 3, 3], &[1.0; 18], &[1.0; 18]).rows, 2);
        assert_eq!(of(&[0, 3], &[], &[]).rows, 0);
    }

    #[test]
    fn zeros_and_non_finite_values_have_a_defined_error() {
        let errors = of(&[2, 2], &[0.0, -0.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 1e-30]);
        assert_eq!((errors.worse_than_zeros, errors.largest), (1, f64::INFINITY));
        let kept = of(&[1, 2], &[f32::NAN, 1.0], &[f32::NAN, 1.0]);
        assert_eq!((kept.worse_than_zeros, kept.largest), (0, 0.0));
        for after in [[1.0, 1.0], [f32::INFINITY, 1.0]] {
            assert_eq!(of(&[1, 2], &[f32::NAN, 1.0], &after).largest, f64::INFINITY);
        }
        assert_eq!(of(&[1, 2], &[1.0, 1.0], &[f32::NAN, 1.0]).worse_than_zeros, 1);
        let huge = of(&[1, 2], &[f32::MAX, 1e-40], &[f32::MAX, 0.0]);
        assert!(huge.largest < 1e-30 && huge.worse_than_zeros == 0);
    }
}
