//! Statistics of a layer's inputs, checked when they are made.

use std::borrow::Cow;
use std::sync::Arc;

use crate::outputs::OutputWeights;

/// Why numbers are not statistics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// A slice has the wrong length.
    #[error("{what} has {found} entries where {wanted} are needed")]
    Length {
        /// Which one.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What it should be.
        wanted: usize,
    },
    /// No input was seen, or all weights were zero.
    #[error("statistics of no inputs")]
    NoSamples,
    /// A layer without inputs.
    #[error("statistics of no columns")]
    NoColumns,
    /// NaN or infinity.
    #[error("{what} of column {column} is not finite")]
    NotFinite {
        /// Which number.
        what: &'static str,
        /// The first column where.
        column: usize,
    },
    /// A mean square or a mean magnitude below zero.
    #[error("{what} of column {column} is negative")]
    Negative {
        /// Which number.
        what: &'static str,
        /// The first column where.
        column: usize,
    },
    /// The two halves of a second moment differ.
    #[error("the second moment is not symmetric at row {row}, column {column}")]
    NotSymmetric {
        /// The row below the diagonal.
        row: usize,
        /// The column.
        column: usize,
    },
    /// Two inputs have more in common than each has by itself (`h_ij^2 > h_ii h_jj`).
    #[error("the second moment at row {row}, column {column} is larger than both mean squares allow")]
    NotPositive {
        /// The row below the diagonal.
        row: usize,
        /// The column.
        column: usize,
    },
}

/// How far the halves of a second moment may differ, in parts of the larger of the two mean squares: what rounding in `f32` does.
const ASYMMETRY: f32 = 1e-3;

/// Statistics of a layer's inputs `x` over calibration data. Columns are those of the weight's matrix view, outputs by everything else.
///
/// Whoever holds one may rely on it: there are columns and samples, every number is finite, means of squares and magnitudes are not
/// negative, the second moment is symmetric and its diagonal holds the mean squares.
#[derive(Debug, Clone, PartialEq)]
pub struct InputStatistics {
    samples: u64,
    mean_square: Vec<f32>,
    mean_abs: Option<Vec<f32>>,
    second_moment: Option<Vec<f32>>,
    outputs: Option<Arc<OutputWeights>>,
}

impl InputStatistics {
    /// From the mean of `x^2` per column alone.
    ///
    /// # Errors
    /// No samples or columns, numbers that are negative or not finite.
    pub fn from_mean_square(samples: u64, mean_square: Vec<f32>) -> Result<Self, StatisticsError> {
        if samples == 0 {
            return Err(StatisticsError::NoSamples);
        }
        if mean_square.is_empty() {
            return Err(StatisticsError::NoColumns);
        }
        check(&mean_square, "the mean square")?;
        Ok(Self { samples, mean_square, mean_abs: None, second_moment: None, outputs: None })
    }

    /// From the mean of `x x^T`, row-major `columns x columns`. Where rounding left its halves different the lower one counts.
    ///
    /// # Errors
    /// As [`from_mean_square`](Self::from_mean_square), another length, halves that differ by more than rounding, or entries that exceed
    /// what their mean squares allow.
    pub fn from_second_moment(
        samples: u64,
        columns: usize,
        mut second_moment: Vec<f32>,
    ) -> Result<Self, StatisticsError> {
        let what = "the second moment";
        let wanted = columns.saturating_mul(columns);
        if second_moment.len() != wanted {
            return Err(StatisticsError::Length { what, found: second_moment.len(), wanted });
        }
        let diagonal: Vec<f32> = second_moment.iter().step_by(columns + 1).copied().collect();
        if let Some(at) = second_moment.iter().position(|value| !value.is_finite()) {
            return Err(StatisticsError::NotFinite { what, column: at % columns });
        }
        for row in 0..columns {
            for column in 0..row {
                let (below, above) = (second_moment[row * columns + column], second_moment[column * columns + row]);
                if (below - above).abs() > ASYMMETRY * diagonal[row].max(diagonal[column]) {
                    return Err(StatisticsError::NotSymmetric { row, column });
                }
                let most = (f64::from(diagonal[row]) * f64::from(diagonal[column])).max(0.0).sqrt();
                let rounding = f64::from(ASYMMETRY * diagonal[row].max(diagonal[column]));
                if f64::from(below.abs()) > most + rounding {
                    return Err(StatisticsError::NotPositive { row, column });
                }
                second_moment[column * columns + row] = below;
            }
        }
        let plain = Self::from_mean_square(samples, diagonal)?;
        Ok(Self { second_moment: Some(second_moment), ..plain })
    }

    /// Adds the mean of `|x|` per column, by which AWQ searches its scales.
    ///
    /// # Errors
    /// Another length, numbers that are negative or not finite.
    pub fn with_mean_abs(self, mean_abs: Vec<f32>) -> Result<Self, StatisticsError> {
        let what = "the mean magnitude";
        if mean_abs.len() != self.columns() {
            return Err(StatisticsError::Length { what, found: mean_abs.len(), wanted: self.columns() });
        }
        check(&mean_abs, what)?;
        Ok(Self { mean_abs: Some(mean_abs), ..self })
    }

    /// Adds how much each output counts, where it is known, for coders that give some rows more bits than others.
    #[must_use]
    pub fn with_outputs(self, outputs: Option<Arc<OutputWeights>>) -> Self {
        Self { outputs, ..self }
    }

    /// The [ridge](OutputWeights::ridge) of its outputs, 0 where none are known.
    #[must_use]
    pub fn ridge(&self) -> f32 {
        self.outputs.as_deref().map_or(0.0, OutputWeights::ridge)
    }

    /// The statistics that go with its outputs: raised by their [`ridge`](Self::ridge).
    #[must_use]
    pub fn with_ridge(&self) -> Cow<'_, Self> {
        if self.ridge() > 0.0 { Cow::Owned(self.raised(self.ridge())) } else { Cow::Borrowed(self) }
    }

    /// With the mean square of every input larger by `by`, as if noise of that power were added to them.
    pub(crate) fn raised(&self, by: f32) -> Self {
        let mut raised = self.clone();
        raised.mean_square.iter_mut().for_each(|square| *square += by);
        let columns = self.columns();
        let moment = raised.second_moment.iter_mut().flatten();
        moment.step_by(columns + 1).for_each(|square| *square += by);
        raised
    }

    /// Columns of the weight, which are inputs of the layer.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.mean_square.len()
    }

    /// Input vectors seen.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Mean of `x^2` per column.
    #[must_use]
    pub fn mean_square(&self) -> &[f32] {
        &self.mean_square
    }

    /// Mean of `|x|` per column, where it was collected.
    #[must_use]
    pub fn mean_abs(&self) -> Option<&[f32]> {
        self.mean_abs.as_deref()
    }

    /// Mean of `x x^T`, row-major `columns x columns`, where it was collected: GPTQ's Hessian up to a factor.
    #[must_use]
    pub fn second_moment(&self) -> Option<&[f32]> {
        self.second_moment.as_deref()
    }

    /// How much each output counts, where it is known.
    #[must_use]
    pub fn outputs(&self) -> Option<&OutputWeights> {
        self.outputs.as_deref()
    }

    /// The same inputs in another order: column `i` of the result is column `order[i]` of this, for layers whose weights are laid out
    /// otherwise than their inputs.
    ///
    /// # Panics
    /// If `order` is no permutation of the columns.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        let columns = self.columns();
        assert!(is_permutation(order, columns), "the order holds every column once");
        let pick = |from: &[f32]| order.iter().map(|&at| from[at]).collect::<Vec<f32>>();
        Self {
            samples: self.samples,
            mean_square: pick(&self.mean_square),
            mean_abs: self.mean_abs.as_deref().map(pick),
            second_moment: self
                .second_moment
                .as_deref()
                .map(|full| order.iter().flat_map(|&row| pick(&full[row * columns..][..columns])).collect()),
            outputs: self.outputs.clone(),
        }
    }
}

pub(crate) fn is_permutation(order: &[usize], length: usize) -> bool {
    let mut seen = vec![false; length];
    order.len() == length && order.iter().all(|&at| at < length && !std::mem::replace(&mut seen[at], true))
}

pub(crate) fn check(values: &[f32], what: &'static str) -> Result<(), StatisticsError> {
    if let Some(column) = values.iter().position(|value| !value.is_finite()) {
        return Err(StatisticsError::NotFinite { what, column });
    }
    match values.iter().position(|&value| value < 0.0) {
        Some(column) => Err(StatisticsError::Negative { what, column }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_statistics_are_refused() {
        use StatisticsError as E;
        let squares = InputStatistics::from_mean_square;
        assert_eq!(squares(0, vec![1.0]), Err(E::NoSamples));
        assert_eq!(squares(1, vec![]), Err(E::NoColumns));
        assert!(matches!(squares(1, vec![1.0, f32::NAN]), Err(E::NotFinite { column: 1, .. })));
        assert!(matches!(squares(1, vec![-1.0]), Err(E::Negative { column: 0, .. })));
        let full = InputStatistics::from_second_moment;
        assert_eq!(full(1, 0, vec![]), Err(E::NoColumns));
        assert!(matches!(full(1, 2, vec![1.0; 3]), Err(E::Length { found: 3, wanted: 4, .. })));
        assert!(matches!(full(1, usize::MAX, vec![1.0; 3]), Err(E::Length { .. })));
        assert!(matches!(full(1, 2, vec![1.0, 0.5, f32::INFINITY, 1.0]), Err(E::NotFinite { column: 0, .. })));
        assert_eq!(full(1, 2, vec![1.0, 0.5, 0.6, 1.0]), Err(E::NotSymmetric { row: 1, column: 0 }));
        assert_eq!(full(1, 2, vec![1.0, 3.0, 3.0, 4.0]), Err(E::NotPositive { row: 1, column: 0 }));
        assert!(matches!(full(1, 2, vec![1.0, 0.0, 0.0, -1.0]), Err(E::Negative { column: 1, .. })));
        let good = squares(1, vec![1.0, 2.0]).unwrap();
        assert!(matches!(good.clone().with_mean_abs(vec![1.0]), Err(E::Length { .. })));
        assert!(matches!(good.with_mean_abs(vec![1.0, -0.1]), Err(E::Negative { column: 1, .. })));
    }

    #[test]
    fn rounding_between_halves_is_forgiven() {
        let full = InputStatistics::from_second_moment(3, 2, vec![1.0, 0.5, 0.50001, 2.0]).unwrap();
        assert_eq!(full.second_moment(), Some([1.0, 0.50001, 0.50001, 2.0].as_slice()));
        assert_eq!((full.mean_square(), full.columns(), full.samples()), ([1.0, 2.0].as_slice(), 2, 3));
    }

    #[test]
    fn reordering_moves_rows_and_columns() {
        let full =
            InputStatistics::from_second_moment(1, 3, vec![9.0, 2.0, 3.0, 2.0, 4.0, 4.5, 3.0, 4.5, 6.0]).unwrap();
        let full = full.with_mean_abs(vec![7.0, 8.0, 9.0]).unwrap().reordered(&[2, 0, 1]);
        assert_eq!(full.second_moment(), Some([6.0, 3.0, 4.5, 3.0, 9.0, 2.0, 4.5, 2.0, 4.0].as_slice()));
        assert_eq!(
            (full.mean_square(), full.mean_abs()),
            ([6.0, 9.0, 4.0].as_slice(), Some([9.0, 7.0, 8.0].as_slice()))
        );
    }

    #[test]
    #[should_panic(expected = "every column once")]
    fn an_order_that_repeats_is_refused() {
        let _ = InputStatistics::from_mean_square(1, vec![1.0, 2.0]).unwrap().reordered(&[0, 0]);
    }
}
