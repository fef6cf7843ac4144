//! Error feedback inside block formats: the output error of the layer minimised, the bytes stock blocks.
//!
//! Rows are independent, sub-blocks of 16, 32 or 256 columns are settled one after another, and each is a small lattice problem: choose a
//! grid of those the format has, and codes on it, so that `(t - v) M (t - v)^T` is least, `t` being what the sub-block would best become
//! and `M = A^T D A` what an error in it costs. For a grid, codes come column by column with errors fed forward (Babai's nearest plane);
//! grids near the one that a search under the weights `D` finds are tried in turn.
//!
//! 1. A sweep over the columns ([`seedpress_calibration::sweep`]): `t` makes up for the errors of all sub-blocks before, and `M` is what is
//!    left of the second moment when all later ones make up for this one's.
//! 2. Passes over all sub-blocks again ([`Blocks`]): `t` is best with all others as they are, before and after, and `M` is the second
//!    moment's own part. A change is made where it lowers the error, so no pass raises it; they end when they stop paying.
//!
//! Units of a superblock stay what the importance-weighted search made them. Rows near a block with a shift of its own, and tensors whose
//! rows are no whole sub-blocks, have other limits: the former stay as they were, the latter keep their grids and have a plain sweep.

use rayon::prelude::*;
use seedpress_calibration::{Blocks, DAMPING, Factor, Order, sweep};
use seedpress_codec::{EncodeContext, EncodeError, InputStatistics, TensorView};

use super::format::{BlockFormat, LONGEST, restore};
use super::grid::{Grid, Head, Levels};
use super::shifts::Shifts;
use crate::feedback::choose;

/// Rows that are swept together: whole blocks, whatever the columns.
const ROWS: usize = 64;
/// Passes after the sweep, and by how much of the error one has to lower it for another to follow.
const PASSES: usize = 6;
const PAYS: f64 = 0.005;

/// Replaces the blocks in `bytes` by better ones. Does nothing where only mean squares were collected.
///
/// # Errors
/// Cancellation.
pub(super) fn apply<F: BlockFormat>(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    shifts: &Shifts,
    bytes: &mut [u8],
) -> Result<(), EncodeError> {
    let columns = tensor.columns();
    let Some(statistics) = context.calibration.filter(|statistics| statistics.second_moment().is_some()) else {
        return Ok(());
    };
    if !columns.is_multiple_of(F::SUB) {
        return on_fixed_grids::<F>(tensor, statistics, shifts, bytes);
    }
    let Some(metric) = Metric::new(statistics, F::SUB) else { return Ok(()) };
    let strip_blocks = (ROWS * columns).div_ceil(F::WEIGHTS);
    let strips = bytes.par_chunks_mut(strip_blocks * F::BYTES).zip(tensor.values().par_chunks(ROWS * columns));
    strips.enumerate().try_for_each(|(number, (bytes, values))| {
        context.check_cancelled()?;
        let first = number * strip_blocks;
        if !shifts.any_own(first..first + bytes.len() / F::BYTES) {
            let weights: Vec<f32> = values.iter().map(|&value| shifts.common().down(value)).collect();
            Strip::<F>::settle(&metric, &weights, bytes);
        }
        Ok(())
    })
}

/// Codes by a sweep, all else as it is.
fn on_fixed_grids<F: BlockFormat>(
    tensor: &TensorView<'_>,
    statistics: &InputStatistics,
    shifts: &Shifts,
    bytes: &mut [u8],
) -> Result<(), EncodeError> {
    let Some(factor) = Factor::new(statistics, DAMPING, Order::Activation) else { return Ok(()) };
    let heads: Vec<Head> = bytes.chunks_exact(F::BYTES).map(F::head).collect();
    let mut codes = vec![F::LEVELS.zero(); heads.len() * F::WEIGHTS];
    choose(&factor, tensor.values(), &mut codes[..tensor.len()], |index, aim| {
        let power = shifts.of(index / F::WEIGHTS);
        let grid = heads[index / F::WEIGHTS].grid(index % F::WEIGHTS / F::SUB);
        let (code, value) = F::LEVELS.nearest(power.down(aim), grid, inverse(grid));
        (code, power.up(value))
    });
    let mut found = vec![0u8; bytes.len()];
    let parts = found.chunks_exact_mut(F::BYTES).zip(heads.iter().zip(codes.chunks_exact(F::WEIGHTS)));
    parts.for_each(|(block, (head, codes))| F::write(head, codes, block));
    let restored = |bytes: &[u8]| {
        let mut values = vec![0f32; tensor.len()];
        restore::<F>(bytes, shifts, &mut values);
        values
    };
    if is_sound(tensor.values(), &restored(bytes), &restored(&found)) {
        bytes.copy_from_slice(&found);
    }
    Ok(())
}

/// Whether values in place of others are no further from the weights than zeros, or those others, are: under a form that is no second moment
/// of any inputs they may be, and it says little.
fn is_sound(weights: &[f32], before: &[f32], after: &[f32]) -> bool {
    let missed = |values: &[f32]| energy(weights.iter().zip(values).map(|(w, v)| w - v));
    missed(after) < energy(weights.iter().copied()).max(missed(before))
}

fn energy(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value) * f64::from(value)).sum()
}

fn inverse(grid: Grid) -> f32 {
    let inverse = 1.0 / grid.step;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// What errors cost: in a sweep, where later sub-blocks make up for them, and with all others as they are.
struct Metric {
    columns: usize,
    factor: Factor,
    swept: Vec<Local>,
    blocks: Blocks,
    alone: Vec<Local>,
}

impl Metric {
    fn new(statistics: &InputStatistics, width: usize) -> Option<Self> {
        let columns = statistics.columns();
        let factor = Factor::new(statistics, DAMPING, Order::Natural)?;
        let blocks = Blocks::new(statistics, DAMPING, width)?;
        let swept = (0..columns).step_by(width).map(|start| Local::new(&factor, start, width.min(columns - start)));
        let swept = swept.collect();
        let alone = blocks.factors().iter().map(|factor| Local::new(factor, 0, factor.columns())).collect();
        Some(Self { columns, factor, swept, blocks, alone })
    }
}

/// `M = A^T D A` of one sub-block.
struct Local {
    /// `D`, in parts of its largest entry.
    costs: Vec<f32>,
    /// Columns of `A`, each from its diagonal on.
    columns: Vec<Vec<f32>>,
}

impl Local {
    fn new(factor: &Factor, start: usize, width: usize) -> Self {
        let diagonal = &factor.diagonal()[start..start + width];
        let most = diagonal.iter().fold(0f64, |most, &d| most.max(d));
        let column = |j: usize| (j + 1..width).map(|i| factor.entry(start + i, start + j)).collect();
        let costs = diagonal.iter().map(|&d| (d / most) as f32).collect();
        Self { costs, columns: (0..width).map(column).collect() }
    }

    /// The error of what is chosen for `targets`, column by column: `choose` is told the column and what it should be now. Stops beyond
    /// `limit`.
    #[inline]
    fn walk(&self, targets: &[f32], limit: f32, mut choose: impl FnMut(usize, f32) -> f32) -> f32 {
        let mut aims = [0f32; LONGEST];
        let aims = &mut aims[..targets.len()];
        aims.copy_from_slice(targets);
        let mut error = 0f32;
        for (at, column) in self.columns.iter().enumerate() {
            let value = choose(at, aims[at]);
            let miss = aims[at] - value;
            error += self.costs[at] * miss * miss;
            if error > limit {
                return error;
            }
            let own = targets[at] - value;
            aims[at + 1..].iter_mut().zip(column).for_each(|(aim, &entry)| *aim += entry * own);
        }
        error
    }
}

/// A sub-block as chosen so far.
struct Choice {
    error: f32,
    head: Head,
    codes: [u8; LONGEST],
    values: [f32; LONGEST],
}

impl Choice {
    fn new(head: &Head) -> Self {
        Self { error: f32::INFINITY, head: *head, codes: [0; LONGEST], values: [0.0; LONGEST] }
    }

    /// Tries the grid of sub-block `sub` of a head.
    fn try_head(&mut self, local: &Local, levels: Levels, targets: &[f32], head: &Head, sub: usize) {
        let grid = head.grid(sub);
        let inverse = inverse(grid);
        let (mut codes, mut values) = ([0u8; LONGEST], [0f32; LONGEST]);
        let error = local.walk(targets, self.error, |at, aim| {
            (codes[at], values[at]) = levels.nearest(aim, grid, inverse);
            values[at]
        });
        if error < self.error {
            (self.error, self.head) = (error, *head);
            let length = targets.len();
            self.codes[..length].copy_from_slice(&codes[..length]);
            self.values[..length].copy_from_slice(&values[..length]);
        }
    }
}

/// Some rows, and what their blocks are so far.
struct Strip<'a, F> {
    metric: &'a Metric,
    weights: &'a [f32],
    heads: Vec<Head>,
    codes: Vec<u8>,
    /// What they decode to.
    values: Vec<f32>,
    format: std::marker::PhantomData<F>,
}

impl<F: BlockFormat> Strip<'_, F> {
    /// Replaces the blocks of some rows, unless what is found is no better.
    fn settle(metric: &Metric, weights: &[f32], bytes: &mut [u8]) {
        let heads: Vec<Head> = bytes.chunks_exact(F::BYTES).map(F::head).collect();
        let mut plain = vec![0f32; heads.len() * F::WEIGHTS];
        bytes.chunks_exact(F::BYTES).zip(plain.chunks_exact_mut(F::WEIGHTS)).for_each(|(b, w)| F::dequantise(b, w));
        plain.truncate(weights.len());
        let errors = |values: &[f32]| weights.iter().zip(values).map(|(w, v)| w - v).collect::<Vec<f32>>();
        let before = errors(&plain);
        let before = metric.blocks.gradient(&before).error(&before);

        let codes = vec![F::LEVELS.zero(); heads.len() * F::WEIGHTS];
        let values = vec![0f32; weights.len()];
        let mut strip = Strip::<F> { metric, weights, heads, codes, values, format: std::marker::PhantomData };
        strip.sweep();
        let after = strip.pass_while_it_pays();
        // A form that falls below zero is no second moment of any inputs.
        let sound = is_sound(weights, &plain, &strip.values);
        if sound && (0.0..before).contains(&after) {
            let parts =
                bytes.chunks_exact_mut(F::BYTES).zip(strip.heads.iter().zip(strip.codes.chunks_exact(F::WEIGHTS)));
            for (block, (head, codes)) in parts {
                block.fill(0);
                F::write(head, codes, block);
            }
        }
    }

    fn sweep(&mut self) {
        let (metric, weights) = (self.metric, self.weights);
        let rows = weights.len() / metric.columns;
        sweep(&metric.factor, weights, F::SUB, &mut |columns: &[usize], aims: &[f32], out: &mut [f32]| {
            let local = &metric.swept[columns[0] / F::SUB];
            for row in 0..rows {
                let targets: Vec<f32> = aims[row..].iter().step_by(rows).copied().collect();
                let (head, sub) = self.place(row, columns[0]);
                let mut choice = Choice::new(&head);
                let centre = F::seek(&targets, &local.costs);
                F::STEPS.near(&head, sub, centre, &mut |head| choice.try_head(local, F::LEVELS, &targets, head, sub));
                choice.try_head(local, F::LEVELS, &targets, &head, sub);
                self.put(row, columns[0], &choice);
                out[row..].iter_mut().step_by(rows).zip(&choice.values).for_each(|(out, &value)| *out = value);
            }
        });
    }

    /// Goes over all sub-blocks until that stops paying; returns the error.
    fn pass_while_it_pays(&mut self) -> f64 {
        let (metric, columns) = (self.metric, self.metric.columns);
        let rows = self.weights.len() / columns;
        let errors = |values: &[f32]| self.weights.iter().zip(values).map(|(w, v)| w - v).collect::<Vec<f32>>();
        let mut missed = errors(&self.values);
        let mut gradient = metric.blocks.gradient(&missed);
        let mut error = gradient.error(&missed);
        for _ in 0..PASSES {
            for (block, local) in metric.alone.iter().enumerate() {
                let (first, width) = (block * F::SUB, local.costs.len());
                let pull = gradient.pull(block);
                let mut change = vec![0f32; pull.len()];
                for row in 0..rows {
                    let own: Vec<f32> = self.values[row * columns + first..][..width].to_vec();
                    let targets: Vec<f32> =
                        own.iter().zip(pull[row..].iter().step_by(rows)).map(|(&value, &by)| value + by).collect();
                    let (head, sub) = self.place(row, first);
                    let mut choice = Choice::new(&head);
                    choice.error = local.walk(&targets, f32::INFINITY, |at, _| own[at]);
                    let now = choice.error;
                    F::STEPS.near(&head, sub, head.grid(sub), &mut |head| {
                        choice.try_head(local, F::LEVELS, &targets, head, sub);
                    });
                    if choice.error < now {
                        change[row..]
                            .iter_mut()
                            .step_by(rows)
                            .zip(choice.values.iter().zip(&own))
                            .for_each(|(change, (new, old))| *change = new - old);
                        self.put(row, first, &choice);
                    }
                }
                gradient.change(block, &change);
            }
            let last = error;
            missed = self.weights.iter().zip(&self.values).map(|(w, v)| w - v).collect();
            error = gradient.error(&missed);
            if error.is_nan() || error >= last * (1.0 - PAYS) {
                break;
            }
        }
        error
    }

    /// The head and the number of the sub-block where a row has this column.
    fn place(&self, row: usize, column: usize) -> (Head, usize) {
        let at = row * self.metric.columns + column;
        (self.heads[at / F::WEIGHTS], at % F::WEIGHTS / F::SUB)
    }

    fn put(&mut self, row: usize, column: usize, choice: &Choice) {
        let at = row * self.metric.columns + column;
        self.heads[at / F::WEIGHTS].take(at % F::WEIGHTS / F::SUB, &choice.head);
        self.codes[at..at + F::SUB].copy_from_slice(&choice.codes[..F::SUB]);
        self.values[at..at + F::SUB].copy_from_slice(&choice.values[..F::SUB]);
    }
}
