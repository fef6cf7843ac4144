//! What a change of weights does to a layer's output.

use rayon::prelude::*;

use crate::statistics::{InputStatistics, StatisticsError};
use seedpress_matrix::{View, add_product, transpose};

/// Rows of weights taken together, and rows of the second moment in a task.
const ROWS: usize = 256;
const TASK: usize = 64;

/// Mean squares at a layer's output over the calibration inputs, summed over outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutputError {
    /// Of the error: `tr(E H E^T)` with `E = W - W'`.
    pub error: f64,
    /// Of the output itself: `tr(W H W^T)`.
    pub power: f64,
}

impl OutputError {
    /// The error in parts of the output; 0 where both are zero.
    #[must_use]
    pub fn relative(self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.power }
    }
}

/// The output error of row-major weights that became `decoded`. Where only mean squares were collected, inputs are taken to be
/// uncorrelated. Weights that are not finite count as zero in both: codecs keep them apart bit for bit.
///
/// # Errors
/// Lengths that differ or are no rows of the statistics' columns.
pub fn output_error(
    original: &[f32],
    decoded: &[f32],
    statistics: &InputStatistics,
) -> Result<OutputError, StatisticsError> {
    let columns = statistics.columns();
    let length = |what, found, wanted| Err(StatisticsError::Length { what, found, wanted });
    if original.len() != decoded.len() {
        return length("the decoded matrix", decoded.len(), original.len());
    }
    if !original.len().is_multiple_of(columns) {
        return length("the matrix", original.len(), original.len().next_multiple_of(columns));
    }
    let finite = |value: f32| if value.is_finite() { f64::from(value) } else { 0.0 };
    let mut sum = OutputError { error: 0.0, power: 0.0 };
    for (own, given) in original.chunks(ROWS * columns).zip(decoded.chunks(ROWS * columns)) {
        let weights: Vec<f64> = own.iter().map(|&w| finite(w)).collect();
        let errors: Vec<f64> = own.iter().zip(given).map(|(&w, &v)| finite(w) - finite(v)).collect();
        sum.error += form(&errors, statistics);
        sum.power += form(&weights, statistics);
    }
    Ok(OutputError { error: sum.error.max(0.0), power: sum.power.max(0.0) })
}

/// The sum over rows `e` of `e^T H e`.
fn form(rows: &[f64], statistics: &InputStatistics) -> f64 {
    let columns = statistics.columns();
    let Some(moment) = statistics.second_moment() else {
        let squares = statistics.mean_square();
        return rows.iter().enumerate().map(|(at, &e)| e * e * f64::from(squares[at % columns])).sum();
    };
    let height = rows.len() / columns;
    let across = transpose(rows, height, columns);
    // Collected first: sums have one order on any number of threads.
    let parts: Vec<f64> = moment
        .par_chunks(TASK * columns)
        .zip(across.par_chunks(TASK * height))
        .map(|(moment, own)| {
            let moment: Vec<f64> = moment.iter().map(|&entry| f64::from(entry)).collect();
            let mut products = vec![0f64; own.len()];
            add_product(&mut products, height, View::new(&moment, columns), View::new(&across, height));
            products.iter().zip(own).map(|(p, e)| p * e).sum::<f64>()
        })
        .collect();
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_quadratic_form() {
        let (columns, rows) = (130, 300);
        let entry = |i: usize, j: usize| 0.8f32.powi(i.abs_diff(j) as i32);
        let moment: Vec<f32> = (0..columns).flat_map(|i| (0..columns).map(move |j| entry(i, j))).collect();
        let weights: Vec<f32> = (0..rows * columns).map(|i| (i * 37 % 41) as f32 / 41.0 - 0.5).collect();
        let decoded: Vec<f32> = weights.iter().map(|w| (w * 4.0).round() / 4.0).collect();
        let brute = |rows: &dyn Fn(usize) -> f64| -> f64 {
            (0..300)
                .map(|r| {
                    let at = |i: usize| rows(r * columns + i);
                    let along =
                        |i: usize| (0..columns).map(|j| f64::from(moment[i * columns + j]) * at(j)).sum::<f64>();
                    (0..columns).map(|i| at(i) * along(i)).sum::<f64>()
                })
                .sum()
        };
        let (error, power) =
            (brute(&|at| f64::from(weights[at]) - f64::from(decoded[at])), brute(&|at| f64::from(weights[at])));
        let full = InputStatistics::from_second_moment(1, columns, moment.clone()).unwrap();
        let found = output_error(&weights, &decoded, &full).unwrap();
        assert!((found.error / error - 1.0).abs() < 1e-9 && (found.power / power - 1.0).abs() < 1e-9);
        assert_eq!(output_error(&weights, &weights, &full).unwrap().relative(), 0.0);

        let squares = InputStatistics::from_mean_square(1, (0..columns).map(|i| i as f32).collect()).unwrap();
        let found = output_error(&weights, &decoded, &squares).unwrap().error;
        let wanted: f64 = (weights.iter().zip(&decoded).enumerate())
            .map(|(at, (w, v))| (f64::from(*w) - f64::from(*v)).powi(2) * (at % columns) as f64)
            .sum();
        assert!((found / wanted - 1.0).abs() < 1e-9);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let squares = InputStatistics::from_mean_square(1, vec![1.0, 1.0]).unwrap();
        assert!(output_error(&[1.0, 2.0], &[1.0], &squares).is_err());
        assert!(output_error(&[1.0], &[1.0], &squares).is_err());
        assert_eq!(output_error(&[], &[], &squares).unwrap().relative(), 0.0);
        let odd = output_error(&[f32::NAN, 2.0], &[0.0, 1.0], &squares).unwrap();
        assert_eq!((odd.error, odd.power), (1.0, 4.0));
    }
}
