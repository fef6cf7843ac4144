//! Compressing under the quadratic form of the output error.

use seedpress_codec::{EncodeError, Encoded, InputStatistics, TensorView};

use super::budget::Budget;
use super::rate_search::RateSearch;
use super::target::{RateTrial, Target};
use crate::pass::Pass;
use crate::stream::Params;
use crate::sweep::{Problem, Sweep};

/// Rounds after which the price of later columns may be off by any factor.
const PRICE_ROUNDS: usize = 4;

/// The quadratic form of calibrated inputs, row-major, its diagonal raised by `damping` of its mean; `None` where the statistics belong
/// to another shape or say nothing, and for weights of absurd magnitude.
pub(super) fn quadratic(
    calibration: &InputStatistics,
    values: &[f32],
    columns: usize,
    damping: f64,
) -> Option<Vec<f64>> {
    // Products of weights must neither overflow nor vanish.
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if !(1e-18..1e18).contains(&largest) {
        return None;
    }
    let hessian = calibration.second_moment().filter(|_| calibration.columns() == columns && columns > 1)?;
    let mean = hessian.iter().step_by(columns + 1).map(|&d| f64::from(d)).sum::<f64>() / columns as f64;
    if !(mean > 0.0 && mean.is_finite()) || hessian.iter().any(|entry| !entry.is_finite()) {
        return None;
    }
    // Relative to the mean diagonal, so that no magnitude overflows.
    let mut form: Vec<f64> = hessian.iter().map(|&entry| f64::from(entry) / mean).collect();
    form.iter_mut().step_by(columns + 1).for_each(|diagonal| *diagonal = diagonal.max(0.0) + damping);
    Some(form)
}

impl RateSearch<'_> {
    /// Compresses under a quadratic form. The price of later columns follows from the slope that a search ends with, so that price and
    /// search take turns until they agree.
    pub(super) fn encode_form(
        &self,
        tensor: &TensorView<'_>,
        hessian: Vec<f64>,
        target: Target,
        blank: Params,
    ) -> Result<Encoded, EncodeError> {
        let (rows, columns) = (tensor.rows(), tensor.columns());
        let mut problem = Problem { values: tensor.values(), rows, columns, hessian, spread: Vec::new() };
        if self.search.spread {
            problem.spread();
        }
        let blank = Params { weighted: true, by_column: true, ..blank };
        let total = problem.output_power().max(f64::MIN_POSITIVE);
        let mut trial = RateTrial::new(target);
        let mut price = problem.first_price(trial.bits);
        let mut before = None;
        for round in 1.. {
            self.context.check_cancelled()?;
            let sweep = Sweep::new(&problem, price, self.code, self.search);
            let weights = Some(sweep.weights.to_bytes());
            let budget = Budget::new(self.count, weights, sweep.classes(), trial.bits, sweep.magnitudes());
            let point = self.run(&sweep, &budget, &blank, before)?;
            let slope = budget.slope(point.params.step) * sweep.unit;
            let fitting = slope / (2.0 * std::f64::consts::LN_2 * problem.power());
            let settled = trial.settles(slope / total);
            if settled && (round >= PRICE_ROUNDS || (0.8..1.25).contains(&(fitting / price))) {
                let encoded = self.finish(&sweep, &budget, point, rows)?;
                self.context.advance(self.count);
                return Ok(encoded);
            }
            price = fitting.max(f64::MIN_POSITIVE);
            before = Some(point);
        }
        Err(EncodeError::Internal("no round was made".into()))
    }
}
