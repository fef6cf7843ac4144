//! The search for a step on a sample of the tensor.

use seedpress_codec::{EncodeContext, EncodeError};
use seedpress_entropy::binary::log2;

use super::budget::Budget;
use super::tables::{guess, shift, tables};
use crate::code::Code;
use crate::effort::SearchParameters;
use crate::pass::{Outcome, Pass};
use crate::stream::Params;
use crate::viterbi::Tables;

/// Where a search stands: a step and the tables that belong to it.
#[derive(Clone)]
pub(crate) struct OperatingPoint {
    pub(super) log_step: f64,
    pub params: Params,
    pub tables: Tables,
}

impl OperatingPoint {
    /// Whether the step is as small as it may be and still takes fewer bits than there are.
    fn exhausted(&self, budget: &Budget, miss: f64) -> bool {
        self.log_step <= budget.floor && miss < 0.0
    }

    /// Where a search starts: about where a Laplacian ends up, with Q1's zero as frequent as `zero` of its share.
    pub(crate) fn start(budget: &Budget, blank: &Params, contexts: usize, zero: f64) -> Self {
        let log_step = budget.first_log_step();
        let step = budget.step(log_step);
        let params = Params { step, shift: shift(budget.mean, step), ..blank.clone() };
        let guess = guess(budget.mean / f64::from(step), params.shift, contexts, zero);
        let tables = tables(&params, &guess, budget.lambda);
        Self { log_step, params, tables }
    }

    /// Takes over what a pass counted; returns by how many bits per weight it missed the rate.
    pub(crate) fn learn(&mut self, budget: &Budget, outcome: &Outcome, sampled: f64) -> f64 {
        self.params.points = outcome.points(budget.most_points);
        self.tables = tables(&self.params, &outcome.counts, budget.lambda);
        outcome.bits() / sampled - budget.rate
    }

    /// Step and tables move together: the rate falls by less than one bit an octave, so the iteration contracts, and no bracket goes
    /// stale while the tables still change.
    pub(crate) fn move_step(&mut self, budget: &Budget, miss: f64, zero: f64) {
        self.log_step = budget.clamp(self.log_step + miss.clamp(-2.0, 2.0));
        self.params.step = budget.step(self.log_step);
        let moved = shift(budget.mean, self.params.step);
        if moved != self.params.shift {
            self.params.shift = moved;
            let guess = guess(budget.mean / f64::from(self.params.step), moved, self.tables.contexts(), zero);
            self.tables = tables(&self.params, &guess, budget.lambda);
        }
    }
}

/// Passes over the sample at most.
pub(crate) const SAMPLE_PASSES: usize = 14;

/// How frequent the second quantiser's zero is taken to be at first, as a share of the first one's: hardly at all, or alike.
pub(crate) const RARE_ZERO: f64 = 0.01;
const FREQUENT_ZERO: f64 = 1.0;

/// Bits per weight below which both starts are tried, and points move far from the lattice.
const LOW_RATE: f64 = 2.2;

/// What stays the same while a rate is searched for.
#[derive(Clone, Copy)]
pub(crate) struct RateSearch<'a> {
    pub context: &'a EncodeContext<'a>,
    pub search: SearchParameters,
    pub code: Code,
    /// Weights of the whole tensor.
    pub count: usize,
}

impl RateSearch<'_> {
    /// Finds step and tables on the sample, from where a search for nearly the same ended if there was one.
    pub(crate) fn run(
        &self,
        source: &impl Pass,
        budget: &Budget,
        blank: &Params,
        before: Option<OperatingPoint>,
    ) -> Result<OperatingPoint, EncodeError> {
        let contexts = 2 * usize::from(source.classes().count);
        let low = budget.rate < LOW_RATE;
        let fewest = if low && before.is_none() { 8 } else { 4 };
        let before = before.filter(|point| point.tables.contexts() == contexts);
        let starts: &[f64] = match low && self.count >= 1024 && before.is_none() {
            true => &[RARE_ZERO, FREQUENT_ZERO],
            false => &[RARE_ZERO],
        };
        let mut best: Option<(f64, OperatingPoint)> = None;
        for &zero in starts {
            let start = before.clone().unwrap_or_else(|| OperatingPoint::start(budget, blank, contexts, zero));
            let (merit, point) = self.descend(source, budget, start, zero, fewest)?;
            if best.as_ref().is_none_or(|(least, ..)| merit < *least) {
                best = Some((merit, point));
            }
        }
        best.map(|(_, point)| point).ok_or_else(|| EncodeError::Internal("no start was tried".into()))
    }

    /// Passes over the sample until the rate is met; returns the logarithm of the error at equal bits, and where that was.
    fn descend(
        &self,
        source: &impl Pass,
        budget: &Budget,
        mut point: OperatingPoint,
        zero: f64,
        fewest: usize,
    ) -> Result<(f64, OperatingPoint), EncodeError> {
        let sampled = source.sampled() as f64;
        let mut merit = f64::INFINITY;
        for pass in 0..SAMPLE_PASSES {
            self.context.check_cancelled()?;
            let outcome = source.pass(false, &point.tables, point.params.step, point.params.shift);
            let step = f64::from(point.params.step);
            let error = (outcome.error / sampled).max(1e-30);
            // A bit is two octaves.
            merit = log2(error * step * step) + 2.0 * outcome.bits() / sampled;
            let miss = point.learn(budget, &outcome, sampled);
            if pass >= fewest && miss.abs() < self.search.tolerance || point.exhausted(budget, miss) {
                break;
            }
            point.move_step(budget, miss, zero);
        }
        Ok((merit, point))
    }
}
