//! The encoder: statistics, the rate search and the final passes.
//!
//! A *pass* runs the trellis with given tables and counts what it chose; the counts and the centroids make the tables of the next pass.
//! The step is searched on a sample of the tensor, by the secant rule on rate against log step, and corrected on the whole
//! tensor from bytes really written.

use rayon::prelude::*;
use seedpress_codec::{EncodeContext, EncodeError, Encoded, InputStatistics, Role, Segment, Symbols, TensorView};
use seedpress_entropy::binary::log2;

use crate::classes::Classes;
use crate::code::Code;
use crate::math::exp2;
use crate::pass::{Outcome, Pass, Rows};
use crate::stream::{CHUNK, Params, fresh_models, write_chunk, write_models};
use crate::sweep::{Problem, Sweep};
use crate::symbols::{Counts, MOST_SHIFT};
use crate::viterbi::Tables;
use crate::weights::Weights;

/// How hard to search.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Memory of the trellis code.
    pub memory: u8,
    /// Passes over the whole tensor at most.
    pub passes: usize,
    /// Weights in the sample.
    pub sample: usize,
    /// Deviation from the target rate that ends the search, bits per weight.
    pub tolerance: f64,
    /// Whether scales of rows and columns may become contexts.
    pub contexts: bool,
    /// The seed of the rotation that the rows have been through: written down, so that a decoder turns them back. They must then not all
    /// have one value, for which there is a stream without rotation.
    pub rotation: Option<u32>,
    /// Whether columns are coefficients of a transform, whose scales differ by far.
    pub spread: bool,
}

impl Search {
    fn code(self) -> Result<Code, EncodeError> {
        Code::new(self.memory).ok_or_else(|| EncodeError::Internal("unknown trellis code".into()))
    }
}

/// What a search aims at.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// Bits per weight, all that is written included.
    Bits(f64),
    /// The rate at which one more bit for the tensor would lower its relative error by `2^-slope`: equal slopes share a number of
    /// bits among tensors so that the sum of their relative errors is least.
    Slope(f64),
}

/// What errors count.
pub enum Weighing<'a> {
    /// All the same.
    Plain,
    /// By column.
    Columns(&'a Weights),
    /// By the quadratic form of the output error: this one, row-major.
    Form(Vec<f64>),
}

impl Weighing<'_> {
    /// The quadratic form of calibrated inputs, its diagonal raised by `damping` of its mean; `None` where the statistics belong to another shape or say nothing, and for weights of
    /// absurd magnitude.
    pub fn form(calibration: &InputStatistics, values: &[f32], columns: usize, damping: f64) -> Option<Self> {
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
        Some(Self::Form(form))
    }
}

/// Lambda in squared steps per bit at a rate: the slope of the operational curve, measured on Gaussian and Laplacian sources.
fn lambda(bits: f64) -> f32 {
    const CURVE: [(f64, f64); 6] = [(0.5, 0.5), (1.07, 0.6), (1.6, 0.65), (2.0, 0.6), (3.0, 0.45), (4.0, 0.38)];
    let Some(above) = CURVE.iter().position(|&(rate, _)| rate >= bits) else { return 0.38 };
    if above == 0 {
        return 0.5;
    }
    let ((r0, l0), (r1, l1)) = (CURVE[above - 1], CURVE[above]);
    (l0 + (l1 - l0) * (bits - r0) / (r1 - r0)) as f32
}

/// Entries of the cost tables.
const REACH: usize = 160;

fn tables(params: &Params, counts: &[Counts], lambda: f32) -> Tables {
    let reach = (REACH << params.shift.saturating_sub(2)).min(1 << 11);
    let points =
        [0, 1].map(|quantizer| std::iter::once(0.0).chain((0..reach).map(|k| params.point(quantizer, k))).collect());
    let mut rates = Vec::with_capacity(counts.len() * (reach + 1));
    let mut costs = vec![0f32; reach];
    for counts in counts {
        counts.costs(params.shift, &mut costs);
        rates.push(1e30);
        rates.extend(costs.iter().map(|bits| bits * lambda));
    }
    Tables { reach, points, rates, lambda }
}

/// Where the search starts: counts as a Laplacian of mean magnitude `mean` (in steps) would leave them, with Q1's zero as frequent as
/// `zero` of its share. The alternation of path and tables has two good optima: one in which Q1 does without its zero (Gaussian sources,
/// high rates) and one in which both quantisers favour it (peaked sources, low rates).
fn guess(mean: f64, shift: u32, contexts: usize, zero: f64) -> Vec<Counts> {
    let reach = (16u32 << shift).min(512);
    let rate = 2.0 / mean.max(0.05);
    let quantizer = |zero: f64| {
        let mut counts = Counts::default();
        for k in 0..reach {
            let weight = exp2(-f64::from(k) * rate * std::f64::consts::LOG2_E) * if k == 0 { zero } else { 1.0 };
            counts.add(k, (weight * 20_000.0) as u32 + 1, shift);
        }
        counts
    };
    let both = [quantizer(1.0), quantizer(zero)];
    (0..contexts).map(|context| both[context % 2].clone()).collect()
}

/// Compresses a tensor at `bits` per weight.
///
/// # Errors
/// Cancellation.
pub fn encode(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    weighing: Weighing<'_>,
    aim: Aim,
    effort: Search,
) -> Result<Encoded, EncodeError> {
    let (rows, columns) = (tensor.rows(), tensor.columns());
    let code = effort.code()?;
    let blank = Params { memory: effort.memory, rotation: effort.rotation, ..Params::default() };
    if tensor.values().iter().all(|&v| v == 0.0) {
        return Ok(Encoded::single(blank.to_bytes(&Classes::none(), []), Vec::new()));
    }
    let count = tensor.len();
    let hunt = Hunt { context, effort, code, count };
    let weights = match weighing {
        Weighing::Form(hessian) => return hunt.form(tensor, hessian, aim, blank),
        Weighing::Columns(weights) => Some(weights),
        Weighing::Plain => None,
    };
    let mut scaled = Vec::new();
    let values = match weights {
        Some(weights) => {
            scaled.extend_from_slice(tensor.values());
            weights.apply(&mut scaled);
            &scaled[..]
        }
        None => tensor.values(),
    };
    let Some(source) = Source::of_tensor(values, rows, columns, weights.is_some(), effort)? else {
        return Ok(constant(values, effort));
    };
    let Source { rows: source, params, mean, largest } = source;
    let power = values.iter().map(|&v| (f64::from(v) - f64::from(params.offset)).powi(2)).sum::<f64>();
    let mut level = Level::new(aim);
    let mut before = None;
    let (goal, found) = loop {
        let goal = hunt.goal(weights.map(Weights::to_bytes), source.classes(), level.bits, mean, largest);
        let found = hunt.search(&source, &goal, &params, before)?;
        if level.settles(goal.slope(&found) / power) {
            break (goal, found);
        }
        before = Some(found);
    };
    let encoded = hunt.finish(&source, &goal, found, columns)?;
    context.advance(count);
    Ok(encoded)
}

/// A stream of equal weights.
pub(crate) fn constant(values: &[f32], effort: Search) -> Encoded {
    let offset = values.first().copied().unwrap_or(0.0);
    let params = Params { offset, memory: effort.memory, ..Params::default() };
    Encoded::single(params.to_bytes(&Classes::none(), []), Vec::new())
}

/// Weights about to be searched, in row-major order.
pub(crate) struct Source<'a> {
    pub rows: Rows<'a>,
    pub params: Params,
    /// Mean magnitude.
    pub mean: f64,
    pub largest: f64,
}

impl<'a> Source<'a> {
    /// Values of a tensor, `weighted` or as they are, with an offset and classes of their own; `None` where all are the same.
    pub fn of_tensor(
        values: &'a [f32],
        rows: usize,
        columns: usize,
        weighted: bool,
        effort: Search,
    ) -> Result<Option<Self>, EncodeError> {
        // An offset would have to be weighted too.
        let offset = if weighted { 0.0 } else { offset(values) };
        let params = Params { offset, weighted, memory: effort.memory, rotation: effort.rotation, ..Params::default() };
        let classes = || match effort.contexts {
            true => Classes::choose(values, offset, rows, columns, effort.spread),
            false => Classes::none(),
        };
        Self::new(values, columns, params, classes, effort)
    }

    /// `None` where every weight equals the offset.
    pub fn new(
        values: &'a [f32],
        columns: usize,
        params: Params,
        classes: impl FnOnce() -> Classes,
        effort: Search,
    ) -> Result<Option<Self>, EncodeError> {
        let code = effort.code()?;
        let magnitude = |v: f32| (f64::from(v) - f64::from(params.offset)).abs();
        let largest = values.iter().map(|&v| magnitude(v)).fold(0.0, f64::max);
        if largest == 0.0 {
            return Ok(None);
        }
        let mean = values.iter().map(|&v| magnitude(v)).sum::<f64>() / values.len() as f64;
        let rows = Rows::new(values, params.offset, columns, classes(), code, effort.sample);
        Ok(Some(Self { rows, params, mean, largest }))
    }
}

/// The rate on trial, where it follows from a slope.
struct Level {
    bits: f64,
    aim: Aim,
    round: usize,
    /// The rate before and by how many octaves its slope missed.
    last: Option<(f64, f64)>,
}

impl Level {
    fn new(aim: Aim) -> Self {
        let bits = match aim {
            Aim::Bits(bits) => bits,
            Aim::Slope(_) => 1.5,
        };
        Self { bits, aim, round: 0, last: None }
    }

    /// Whether the relative error a bit saves at this rate is the one aimed at; otherwise moves the rate.
    fn settles(&mut self, saved: f64) -> bool {
        let Aim::Slope(slope) = self.aim else { return true };
        let miss = log2(saved.max(1e-300)) + slope;
        self.round += 1;
        if miss.abs() < 0.03 || self.round == 8 {
            return true;
        }
        let per_bit = match self.last {
            // Two octaves a bit by theory.
            Some((bits, before)) if (bits - self.bits).abs() > 1e-6 => {
                ((before - miss) / (self.bits - bits)).clamp(1.5, 6.0)
            }
            _ => 2.0,
        };
        self.last = Some((self.bits, miss));
        let moved = (self.bits + miss / per_bit).clamp(0.05, 12.0);
        let stuck = moved == self.bits;
        self.bits = moved;
        stuck
    }
}

/// What stays the same while a rate is searched for.
#[derive(Clone, Copy)]
pub(crate) struct Hunt<'a> {
    pub context: &'a EncodeContext<'a>,
    pub effort: Search,
    pub code: Code,
    pub count: usize,
}

/// What is aimed at.
pub(crate) struct Goal {
    /// Bits per weight in all.
    bits: f64,
    /// Bits per weight of the indices.
    pub rate: f64,
    lambda: f32,
    most_points: usize,
    weight_bytes: Option<Vec<u8>>,
    class_bytes: Option<Vec<u8>>,
    /// Mean magnitude.
    mean: f64,
    /// Logarithms of the least and the greatest step.
    floor: f64,
    ceiling: f64,
    /// Smallest step, for a start.
    least: f64,
}

impl Goal {
    /// How much squared error one more bit saves, in units of the squared values.
    fn slope(&self, found: &Found) -> f64 {
        let step = f64::from(found.params.step);
        f64::from(self.lambda) * step * step
    }

    fn step(&self, log_step: f64) -> f32 {
        exp2(log_step.clamp(self.floor.min(self.ceiling), self.ceiling)) as f32
    }
}

/// Where a search stands.
#[derive(Clone)]
pub(crate) struct Found {
    log_step: f64,
    pub params: Params,
    pub tables: Tables,
}

impl Found {
    /// Whether the step is as small as it may be and still takes fewer bits than there are.
    fn exhausted(&self, goal: &Goal, miss: f64) -> bool {
        self.log_step <= goal.floor && miss < 0.0
    }
}

impl Hunt<'_> {
    pub fn goal(&self, weight_bytes: Option<Vec<u8>>, classes: &Classes, bits: f64, mean: f64, largest: f64) -> Goal {
        let count = self.count as f64;
        // The least step a finite binary32 can hold and whose indices stay within 22 bits.
        let least = (largest / f64::from(1 << 22)).max(f64::from(f32::MIN_POSITIVE) / f64::from(1 << 22));
        // Fixed bytes are known ahead and leave the search with what the indices may take.
        let none = classes.rows.is_empty() && classes.columns.is_empty();
        let class_bytes = (!none).then(|| classes.to_bytes());
        let most_points = match self.count {
            0..1024 => 0,
            1024..16_384 => 2,
            16_384..131_072 => 4,
            _ => 12,
        };
        let heads = class_bytes.as_ref().map_or(0, Vec::len) + weight_bytes.as_ref().map_or(0, Vec::len);
        let fixed = (heads + 10 + 2 * most_points) as f64 * 8.0 / count;
        // A tensor too small for its own header gets most of the rate for its weights all the same.
        let bits = bits.max(0.9 * bits + fixed);
        let rate = bits - fixed;
        let floor = log2(least);
        // Nothing is left above the largest weight; and the step itself must be finite.
        let ceiling = (log2(largest) + 1.0).min(127.0);
        let lambda = lambda(rate);
        Goal { bits, rate, lambda, most_points, weight_bytes, class_bytes, mean, floor, ceiling, least }
    }

    /// Finds step and tables on the sample, from where a search for nearly the same ended if there was one.
    pub fn search(
        &self,
        source: &impl Pass,
        goal: &Goal,
        blank: &Params,
        before: Option<Found>,
    ) -> Result<Found, EncodeError> {
        let contexts = 2 * usize::from(source.classes().count);
        let sampled = source.sampled() as f64;
        let rate = goal.rate;
        let starts: &[f64] = if rate < 2.2 && self.count >= 1024 { &[0.01, 1.0] } else { &[0.01] };
        // Low rates converge slowly: the points move far from the lattice.
        let settled = if rate < 2.2 && before.is_none() { 8 } else { 4 };
        let before = before.filter(|found| found.tables.contexts() == contexts);
        let starts = if before.is_some() { &starts[..1] } else { starts };
        let mut found: Option<(f64, Found)> = None;
        for &zero in starts {
            let mut trial = self.start(goal, blank, contexts, zero);
            if let Some(before) = &before {
                trial = before.clone();
            }
            let mut merit = f64::INFINITY;
            for pass in 0..14 {
                self.context.check_cancelled()?;
                let outcome = source.pass(false, &trial.tables, trial.params.step, trial.params.shift);
                let step = f64::from(trial.params.step);
                let error = (outcome.error / sampled).max(1e-30);
                merit = log2(error * step * step) + 2.0 * outcome.bits() / sampled;
                let miss = self.learn(goal, &mut trial, &outcome, sampled);
                if pass >= settled && miss.abs() < self.effort.tolerance || trial.exhausted(goal, miss) {
                    break;
                }
                self.move_step(goal, &mut trial, miss, zero);
            }
            if found.as_ref().is_none_or(|(least, ..)| merit < *least) {
                found = Some((merit, trial));
            }
        }
        found.map(|(_, found)| found).ok_or_else(|| EncodeError::Internal("no start was tried".into()))
    }

    /// Where a search starts: about where a Laplacian ends up, with Q1's zero as frequent as `zero` of its share.
    pub fn start(&self, goal: &Goal, blank: &Params, contexts: usize, zero: f64) -> Found {
        let log_step = log2((goal.mean * 1.3 * exp2(-(goal.rate - 1.2))).max(goal.least)).min(goal.ceiling);
        let step = goal.step(log_step);
        let params = Params { step, shift: shift(goal.mean, step), ..blank.clone() };
        let guess = guess(goal.mean / f64::from(step), params.shift, contexts, zero);
        let tables = tables(&params, &guess, goal.lambda);
        Found { log_step, params, tables }
    }

    /// Takes over what a pass counted; returns by how many bits per weight it missed the rate.
    pub fn learn(&self, goal: &Goal, trial: &mut Found, outcome: &Outcome, sampled: f64) -> f64 {
        trial.params.points = outcome.points(goal.most_points);
        trial.tables = tables(&trial.params, &outcome.counts, goal.lambda);
        outcome.bits() / sampled - goal.rate
    }

    /// Step and tables move together: the rate falls by less than one bit an octave, so the iteration contracts, and no bracket goes
    /// stale while the tables still change.
    pub fn move_step(&self, goal: &Goal, trial: &mut Found, miss: f64, zero: f64) {
        trial.log_step = (trial.log_step + miss.clamp(-2.0, 2.0)).max(goal.floor).min(goal.ceiling);
        trial.params.step = goal.step(trial.log_step);
        let moved = shift(goal.mean, trial.params.step);
        if moved != trial.params.shift {
            trial.params.shift = moved;
            let guess = guess(goal.mean / f64::from(trial.params.step), moved, trial.tables.contexts(), zero);
            trial.tables = tables(&trial.params, &guess, goal.lambda);
        }
    }

    /// Corrects the step on the whole tensor, from bytes really written. `row` is the length of a row of the stream.
    pub fn finish(&self, source: &impl Pass, goal: &Goal, found: Found, row: usize) -> Result<Encoded, EncodeError> {
        let Found { mut log_step, mut params, tables: mut state } = found;
        let (count, bits) = (self.count, goal.bits);
        let classes = source.classes();
        let contexts = 2 * usize::from(classes.count);
        let mut secant = Secant::default();
        let mut best: Option<(f64, Encoded)> = None;
        for pass in 0..self.effort.passes {
            self.context.check_cancelled()?;
            let outcome = source.pass(true, &state, params.step, params.shift);
            params.points = outcome.points(goal.most_points);
            let (models, table_bytes) = if outcome.choices.len() > 1 {
                write_models(&outcome.counts, params.shift)
            } else {
                (fresh_models(contexts), Vec::new())
            };
            let coded: Vec<Vec<u8>> = outcome
                .choices
                .par_iter()
                .enumerate()
                .map(|(chunk, choice)| {
                    let mut element_classes = vec![0u8; choice.indices.len()];
                    source.fill(chunk * CHUNK, &mut element_classes);
                    let negative = |at: usize| choice.negative[at];
                    write_chunk(self.code, params.shift, &models, &element_classes, &choice.indices, negative)
                })
                .collect();
            let scales = [goal.weight_bytes.as_deref(), goal.class_bytes.as_deref()];
            let encoded = assemble(&params, classes, scales, table_bytes, &coded, count, row);
            let size = encoded.params.len() + encoded.layers[0].segments.iter().map(|s| s.bytes.len()).sum::<usize>();
            let miss = size as f64 * 8.0 / count as f64 - bits;
            if best.as_ref().is_none_or(|(least, _)| miss.abs() < *least) {
                best = Some((miss.abs(), encoded));
            }
            // A byte more or less may be all there is to gain on a small tensor.
            if miss.abs() <= self.effort.tolerance.max(4.0 / count as f64)
                || log_step <= goal.floor && miss < 0.0
                || pass + 1 == self.effort.passes
            {
                break;
            }
            // The first passes still move the tables, so their rates make no bracket; afterwards the tables rest.
            if pass < 2 {
                state = tables(&params, &outcome.counts, goal.lambda);
                log_step += miss.clamp(-2.0, 2.0);
            } else {
                log_step = secant.next(log_step, miss);
            }
            log_step = log_step.max(goal.floor).min(goal.ceiling);
            params.step = goal.step(log_step);
        }
        best.map(|(_, encoded)| encoded).ok_or_else(|| EncodeError::Internal("no pass was made".into()))
    }

    /// Compresses under a quadratic form.
    fn form(
        &self,
        tensor: &TensorView<'_>,
        hessian: Vec<f64>,
        aim: Aim,
        blank: Params,
    ) -> Result<Encoded, EncodeError> {
        let (rows, columns) = (tensor.rows(), tensor.columns());
        let mut problem = Problem { values: tensor.values(), rows, columns, hessian, spread: Vec::new() };
        if self.effort.spread {
            problem.spread();
        }
        let blank = Params { weighted: true, by_column: true, ..blank };
        let total = problem.output_power().max(f64::MIN_POSITIVE);
        let mut level = Level::new(aim);
        let mut price = problem.first_price(level.bits);
        let mut before = None;
        for round in 1.. {
            self.context.check_cancelled()?;
            let sweep = Sweep::new(&problem, price, self.code, self.effort);
            let (mean, largest) = sweep.magnitudes();
            let goal = self.goal(Some(sweep.weights.to_bytes()), sweep.classes(), level.bits, mean, largest);
            let found = self.search(&sweep, &goal, &blank, before)?;
            let slope = goal.slope(&found) * sweep.unit;
            let fitting = slope / (2.0 * std::f64::consts::LN_2 * problem.power());
            let settled = level.settles(slope / total);
            if settled && (round >= 4 || (0.8..1.25).contains(&(fitting / price))) {
                let encoded = self.finish(&sweep, &goal, found, rows)?;
                self.context.advance(self.count);
                return Ok(encoded);
            }
            price = fitting.max(f64::MIN_POSITIVE);
            before = Some(found);
        }
        Err(EncodeError::Internal("no round was made".into()))
    }
}

fn assemble(
    params: &Params,
    classes: &Classes,
    scales: [Option<&[u8]>; 2],
    table_bytes: Vec<u8>,
    coded: &[Vec<u8>],
    count: usize,
    columns: usize,
) -> Encoded {
    use seedpress_codec::wire::Put;
    let mut segments = Vec::new();
    for bytes in scales.into_iter().flatten() {
        segments.push(Segment::new(Role::Scales, Symbols::OPAQUE, bytes.to_vec()));
    }
    if let [heads @ .., _] = coded
        && !heads.is_empty()
    {
        let mut bytes = Vec::new();
        heads.iter().for_each(|chunk| bytes.put_varint(chunk.len() as u64));
        bytes.extend(table_bytes);
        segments.push(Segment::new(Role::Tables, Symbols::OPAQUE, bytes));
    }
    // Coded already: the count is kept for reports, the packing says that there is nothing left to model.
    let symbols = Symbols { count: count as u64, row: u32::try_from(columns).unwrap_or(0), ..Symbols::OPAQUE };
    segments.push(Segment::new(Role::Indices, symbols, coded.concat()));
    let lengths: Vec<usize> = segments.iter().map(|segment| segment.bytes.len()).collect();
    Encoded::single(params.to_bytes(classes, lengths), segments)
}

/// The mean, where the weights lie to one side of zero (gains of norms); else 0, which costs nothing.
fn offset(values: &[f32]) -> f32 {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let square = values.iter().map(|&v| (f64::from(v) - mean) * (f64::from(v) - mean)).sum::<f64>() / count;
    if values.iter().all(|&v| v == values[0]) {
        return values[0];
    }
    // Removing the mean saves log2(1 + mean^2 / variance) / 2 bits a weight; it costs 32.
    if mean * mean * count > 45.0 * square { mean as f32 } else { 0.0 }
}

/// Low bits that keep the unary part short.
fn shift(mean: f64, step: f32) -> u32 {
    let index = mean / f64::from(step) / 2.0;
    (0..MOST_SHIFT).find(|&shift| index < f64::from(5u32 << shift)).unwrap_or(MOST_SHIFT)
}

/// Finds the zero of a falling function of slope about -1.
#[derive(Default)]
struct Secant {
    above: Option<(f64, f64)>,
    below: Option<(f64, f64)>,
}

impl Secant {
    fn next(&mut self, x: f64, y: f64) -> f64 {
        if y > 0.0 {
            self.above = Some((x, y))
        } else {
            self.below = Some((x, y))
        }
        match (self.above, self.below) {
            (Some((x0, y0)), Some((x1, y1))) => {
                // Regula falsi kept away from the ends, so that both of them move.
                let part = (y0 / (y0 - y1)).clamp(0.08, 0.92);
                x0 + (x1 - x0) * part
            }
            _ => x + y.clamp(-3.0, 3.0) * 1.02,
        }
    }
}
