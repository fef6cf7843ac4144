//! Weights whose rows are also read one by one: an embedding that is tied to the head.
//!
//! An error `e_r` of row `r` costs `w_r e_r H e_r^T` as the head (`w_r` how much the output counts, `H` the second moment of inputs), and
//! `l_r |e_r|^2` where tokens read the row, `l_r` the sum of the mean squares of their gradients. With `rho` the mean of `l_r` in units of `H`,
//! both together are near `w'_r e_r (H + rho I) e_r^T`: errors shaped by `H + rho I` have `|e|^2 = kappa e (H + rho I) e^T` with `kappa` the
//! mean diagonal of `(H + rho I)^-1`, so that `w'_r` is the mean of `w_r` and `l_r / rho` in shares of `1 - rho kappa` and `rho kappa`. That
//! share is not small even where `rho` is: errors lie where `H` is least.

use seedpress_matrix::transpose;

use crate::factor::{DAMPING, Factor, damping};
use crate::outputs::OutputWeights;
use crate::statistics::{InputStatistics, StatisticsError, check};

/// Rows of the inverse that are found together.
const ROWS: usize = 64;

/// How much errors of each row cost where rows are read one by one.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookups {
    ridge: f32,
    rows: Vec<f32>,
}

impl Lookups {
    /// From the sum of what each row's readings count, and how often each was read. Rows that a text does not read another may: together they
    /// count as much as those that were read once (I. Good, "The population frequencies of species", Biometrika 40, 1953; after A. Turing).
    /// `ridge` is what they cost on average, as an addition to the mean squares of inputs.
    ///
    /// # Errors
    /// No rows, other lengths, numbers that are negative or not finite, nothing but zeros.
    pub fn new(sums: &[f32], times: &[u32], ridge: f32) -> Result<Self, StatisticsError> {
        if sums.len() != times.len() {
            return Err(StatisticsError::Length { what: "readings", found: times.len(), wanted: sums.len() });
        }
        let total: f64 = sums.iter().map(|&sum| f64::from(sum)).sum();
        let once = sums.iter().zip(times).filter(|&(_, &times)| times == 1);
        let unseen = once.map(|(&sum, _)| f64::from(sum)).sum::<f64>() / total;
        let mean = total / sums.len() as f64;
        let row = |&sum: &f32| ((1.0 - unseen) * f64::from(sum) / mean + unseen) as f32;
        Self::kept(sums.iter().map(row).collect(), ridge)
    }

    /// From [`rows`](Self::rows) and [`ridge`](Self::ridge) of an earlier one.
    ///
    /// # Errors
    /// No rows, numbers that are negative or not finite.
    pub fn kept(rows: Vec<f32>, ridge: f32) -> Result<Self, StatisticsError> {
        if rows.is_empty() {
            return Err(StatisticsError::NoColumns);
        }
        check(&rows, "the reading")?;
        check(&[ridge], "the ridge")?;
        Ok(Self { ridge, rows })
    }

    /// One number a row, of mean 1.
    #[must_use]
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// What a squared error costs on average, as an addition to the mean squares of inputs.
    #[must_use]
    pub fn ridge(&self) -> f32 {
        self.ridge
    }

    /// What rows count in both uses, with the [`ridge`](OutputWeights::ridge) that belongs to it. Unchanged where the rows are not as many.
    #[must_use]
    pub fn joined(&self, outputs: &OutputWeights, inputs: &InputStatistics) -> OutputWeights {
        if outputs.values().len() != self.rows.len() {
            return outputs.clone();
        }
        let share = (f64::from(self.ridge) * mean_of_inverse(inputs, self.ridge)).clamp(0.0, 1.0);
        let mix = |(&output, &row): (&f32, &f32)| ((1.0 - share) * f64::from(output) + share * f64::from(row)) as f32;
        let both: Vec<f32> = outputs.values().iter().zip(&self.rows).map(mix).collect();
        OutputWeights::new(&both).map_or_else(|_| outputs.clone(), |joined| joined.with_ridge(self.ridge))
    }
}

/// The mean diagonal of `(H + ridge I)^-1`, damped.
fn mean_of_inverse(inputs: &InputStatistics, ridge: f32) -> f64 {
    let columns = inputs.columns();
    let raised = inputs.raised(ridge);
    let Some(factor) = Factor::new(&raised, DAMPING, crate::Order::Natural) else {
        let least = damping(raised.mean_square(), DAMPING);
        return raised.mean_square().iter().map(|&square| 1.0 / (f64::from(square) + least)).sum::<f64>()
            / columns as f64;
    };
    let mut trace = 0.0;
    for first in (0..columns).step_by(ROWS) {
        let height = ROWS.min(columns - first);
        let mut rows = vec![0f32; height * columns];
        rows.iter_mut().skip(first).step_by(columns + 1).for_each(|entry| *entry = 1.0);
        let mut rows = transpose(&rows, height, columns);
        factor.solve(&mut rows, height);
        trace += (0..height).map(|row| f64::from(rows[(first + row) * height + row])).sum::<f64>();
    }
    trace / columns as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_counts_as_what_was_read_once() {
        let lookups = Lookups::new(&[6.0, 1.0, 1.0, 0.0], &[3, 1, 1, 0], 0.5).unwrap();
        // Two of eight, shared by four rows of mean 2.
        assert_eq!(lookups.rows(), [0.75 * 3.0 + 0.25, 0.75 * 0.5 + 0.25, 0.75 * 0.5 + 0.25, 0.25]);
        assert!(Lookups::new(&[0.0; 2], &[0; 2], 0.5).is_err());
        assert!(Lookups::new(&[1.0; 2], &[1; 3], 0.5).is_err());
        assert!(Lookups::new(&[1.0, -1.0], &[1; 2], 0.5).is_err());
        assert!(Lookups::new(&[1.0; 2], &[1; 2], f32::NAN).is_err());
        assert!(Lookups::new(&[], &[], 0.5).is_err());
    }

    /// Of white errors shaped by `H + rho I` the share is how much of what they cost is `rho |e|^2`.
    #[test]
    fn the_share_of_readings_is_what_they_cost() {
        let columns = 100;
        let squares: Vec<f32> = (0..columns).map(|i| 0.9f32.powi(i)).collect();
        let moment = (0..columns * columns)
            .map(|at| if at % (columns + 1) == 0 { squares[(at / columns) as usize] } else { 0.0 });
        let inputs = InputStatistics::from_second_moment(9, columns as usize, moment.collect()).unwrap();
        let ridge = 0.01f32;
        let least = damping(inputs.raised(ridge).mean_square(), DAMPING);
        let wanted: f64 = squares.iter().map(|&square| 1.0 / (f64::from(square + ridge) + least)).sum::<f64>() / 100.0;
        let found = mean_of_inverse(&inputs, ridge);
        assert!((found / wanted - 1.0).abs() < 1e-4, "{found} {wanted}");
        let outputs = OutputWeights::new(&[1.5, 0.5]).unwrap();
        let lookups = Lookups::new(&[1.0, 3.0], &[2, 2], ridge).unwrap();
        let joined = lookups.joined(&outputs, &inputs);
        let share = f64::from(ridge) * wanted;
        assert!((0.2..0.8).contains(&share), "{share}");
        assert!((f64::from(joined.values()[0]) - (1.5 - share)).abs() < 1e-4);
        assert_eq!(joined.ridge(), ridge);
        let other = OutputWeights::new(&[1.0; 3]).unwrap();
        assert_eq!(lookups.joined(&other, &inputs), other);
    }
}
