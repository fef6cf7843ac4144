//! How much the outputs of a layer count, beside its inputs.
//!
//! To second order an error `E` of a weight costs `sum_r g_r (E H E^T)_rr` where `g_r` is the mean square of the gradient by output `r` and
//! `H` the second moment of inputs, both taken as independent: the diagonal of the output side of a Kronecker-factored Fisher information
//! (J. Martens, R. Grosse 2015; for quantisation: YAQA, arXiv 2505.22988, GuidedQuant, arXiv 2505.07004). Rows do not interact, so the
//! weights leave a sweep within a row as it is. What they change is how fine each row should be: a coder that gives every weight the bits it
//! needs gains the ratio of their arithmetic to their geometric mean where the error of row `r` goes with `1 / g_r`.

use libm::{log2, round};

use crate::statistics::{StatisticsError, check};

/// Outputs count at least this part of the mean: a text does not show all that a model is asked for. A head's row for a word that the text
/// lacks would get no bits at all.
pub const FLOOR: f64 = 1.0 / 64.0;

/// Bits a weight that exponents must save beyond what noting them takes: half a decibel.
const LEAST_GAIN: f64 = 1.0 / 12.0;

/// By how much errors of each output of a layer count, one number a row of its weight.
///
/// Whoever holds one may rely on it: there are rows, every number is finite and positive, and their mean is 1.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputWeights {
    values: Vec<f32>,
    ridge: f32,
}

impl OutputWeights {
    /// From the mean squares of gradients by each output, in any unit. Those below [`FLOOR`] of the mean are raised to it.
    ///
    /// # Errors
    /// No rows, numbers that are negative or not finite, nothing but zeros.
    pub fn new(mean_squares: &[f32]) -> Result<Self, StatisticsError> {
        if mean_squares.is_empty() {
            return Err(StatisticsError::NoColumns);
        }
        check(mean_squares, "the gradient")?;
        let count = mean_squares.len() as f64;
        let mean = mean_squares.iter().map(|&square| f64::from(square)).sum::<f64>() / count;
        if mean <= 0.0 {
            return Err(StatisticsError::NoSamples);
        }
        let raised = |&square: &f32| f64::from(square).max(FLOOR * mean);
        let raised_mean = mean_squares.iter().map(raised).sum::<f64>() / count;
        let values = mean_squares.iter().map(|square| (raised(square) / raised_mean) as f32).collect();
        Ok(Self { values, ridge: 0.0 })
    }

    /// From [`values`](Self::values) of an earlier one.
    ///
    /// # Errors
    /// No rows, numbers that are not finite and positive.
    pub fn kept(values: Vec<f32>) -> Result<Self, StatisticsError> {
        if values.is_empty() {
            return Err(StatisticsError::NoColumns);
        }
        check(&values, "the weight")?;
        if values.contains(&0.0) {
            return Err(StatisticsError::NoSamples);
        }
        Ok(Self { values, ridge: 0.0 })
    }

    /// Where an error costs something by itself too, beside what it does to outputs: as much as if the mean square of every input were larger
    /// by `ridge`, which is finite and not negative.
    pub(crate) fn with_ridge(self, ridge: f32) -> Self {
        Self { ridge, ..self }
    }

    /// One number a row, of mean 1.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// By how much the mean square of every input is too low for what errors cost; 0 but for a weight that is also [looked up](crate::Lookups).
    #[must_use]
    pub fn ridge(&self) -> f32 {
        self.ridge
    }

    /// How often each row of so many columns is to be halved before one step serves all: the row that counts most 0 times. `None` where
    /// that saves no more than it takes to note, `note` bytes a row.
    #[must_use]
    pub fn halvings(&self, columns: usize, note: usize) -> Option<Vec<u8>> {
        let most = f64::from(self.values.iter().copied().fold(0.0, f32::max));
        let halvings = |&value: &f32| round(0.5 * log2(most / f64::from(value))) as u8;
        let found: Vec<u8> = self.values.iter().map(halvings).collect();
        // What one step for all makes of the rows as they are, and halved: `g_r` and `g_r 4^halvings` have these means.
        let count = self.values.len() as f64;
        let after =
            self.values.iter().zip(&found).map(|(&value, &halved)| f64::from(value) * (1u64 << (2 * halved)) as f64);
        let freed = found.iter().map(|&halved| f64::from(halved)).sum::<f64>() / count;
        let saved = freed - 0.5 * log2(after.sum::<f64>() / count);
        (saved > LEAST_GAIN + 8.0 * note as f64 / columns.max(1) as f64).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_weights_are_refused() {
        assert_eq!(OutputWeights::new(&[]), Err(StatisticsError::NoColumns));
        assert_eq!(OutputWeights::new(&[0.0, 0.0]), Err(StatisticsError::NoSamples));
        assert!(matches!(OutputWeights::new(&[1.0, f32::NAN]), Err(StatisticsError::NotFinite { column: 1, .. })));
        assert!(matches!(OutputWeights::new(&[1.0, -1.0]), Err(StatisticsError::Negative { column: 1, .. })));
    }

    #[test]
    fn weights_have_a_floor_and_mean_one() {
        let weights = OutputWeights::new(&[0.0, 8.0, 4.0, 0.0]).unwrap();
        let mean = weights.values().iter().sum::<f32>() / 4.0;
        assert!((mean - 1.0).abs() < 1e-6);
        assert!((weights.values()[1] / weights.values()[0] - 8.0 / 3.0 * 64.0).abs() < 1e-2);
        // The largest an `f32` holds does not overflow.
        assert!(OutputWeights::new(&[f32::MAX; 3]).unwrap().values().iter().all(|&value| value == 1.0));
    }

    #[test]
    fn rows_are_halved_where_it_pays() {
        let weights = OutputWeights::new(&[1.0, 16.0, 4.0, 256.0, 250.0]).unwrap();
        // The least is below the floor of 105.4 / 64.
        assert_eq!(weights.halvings(512, 2), Some(vec![4, 2, 3, 0, 0]));
        assert_eq!(weights.halvings(4, 2), None, "noting them takes more");
        assert_eq!(OutputWeights::new(&[1.0, 1.2, 0.9]).unwrap().halvings(512, 2), None);
        assert_eq!(OutputWeights::new(&[3.0]).unwrap().halvings(512, 2), None);
    }
}
