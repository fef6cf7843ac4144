//! A pass column by column, with errors fed forward: what minimises the error of the layer's *output*.
//!
//! The trellis runs down the columns; between two columns, the errors made so far move the aims of the columns to come
//! (see [`Factor`] and [`visit_columns`]); a step proportional to `1 / sqrt(d_i)` makes it water-filling ("WaterSIC", arXiv 2603.04956).
//!
//! One thing keeps this sound at low rates, where most weights become zero: *a price for later columns*. What a column leaves to its
//! successors is not free there, as the plain sweep believes: a weight of size `q` adds about `lambda q^2 / (2 ln 2 sigma^2)` to the cost
//! of its bits. So the sweep minimises `e^T H e + mu |q|^2` over the later columns, with `mu = lambda / (2 ln 2 sigma^2)`, and leaves the
//! price of the current one to the entropy code. The result is a Wiener filter `H (H + mu)^-1` before the quantiser: the pre-filter of
//! R. Zamir, Y. Kochman, U. Erez, "Achieving the Gaussian rate-distortion function by prediction", IEEE Trans. Inf. Theory 54 (7), 2008.
//! Directions that inputs hardly excite get no bits. Measured at 1 bit on the classifiers of the zoo it lowers the output error by a
//! sixth and up to half; choosing every column again afterwards with all others fixed gained nothing, so that is not done.

use std::ops::Range;

use rayon::prelude::*;
use seedpress_calibration::{Factor, Quantizer, visit_columns};
use seedpress_matrix::{View, product, transpose};

use crate::classes::Classes;
use crate::code::Code;
use crate::effort::SearchParameters;
use crate::pass::{Choice, Outcome, Pass, Tally};
use crate::stream::CHUNK;
use crate::viterbi::{Scratch, Start, Tables, search};
use crate::weights::Weights;

/// Aims are cut to this many steps, far beyond every index, so that squares stay finite: matrices that no inputs have may drive them
/// anywhere.
const LARGEST_AIM: f32 = 1e9;

/// Columns treated together: their errors stay in the cache.
const BLOCK: usize = 32;
/// Rows whose quadratic form is computed together.
const STRIP: usize = 64;

/// Some rows of a matrix, column-major.
struct Part {
    height: usize,
    /// What the sweep aims at: the Wiener-filtered weights.
    filtered: Vec<f32>,
    classes: Classes,
}

/// A matrix ready to be swept.
pub(crate) struct Sweep {
    code: Code,
    factor: Factor,
    /// The column steps' exponents, as written.
    pub weights: Weights,
    /// Column `i` is multiplied by this.
    scales: Vec<f64>,
    /// What a squared error of column `i` counts in the sweep, relative to the square of its scale.
    forward: Vec<f32>,
    /// From the conditional optimum with the price of column `i` to the one without.
    raise: Vec<f32>,
    /// Squared steps times this are units of the quadratic form.
    pub unit: f64,
    whole: Part,
    sample: Option<Part>,
}

/// What a sweep is prepared from.
pub(crate) struct Problem<'a> {
    /// Row-major weights.
    pub values: &'a [f32],
    /// Their matrix's rows.
    pub rows: usize,
    /// Their matrix's columns.
    pub columns: usize,
    /// Row-major, damped.
    pub hessian: Vec<f64>,
    /// Mean squares of the columns over that of all weights; empty where they are taken to be alike.
    pub spread: Vec<f64>,
}

/// Columns whose mean square is less than this share of all are priced as if it were this.
const LEAST_SPREAD: f64 = 1e-4;

impl Problem<'_> {
    /// Takes the columns' own mean squares into account.
    pub(crate) fn spread(&mut self) {
        let (mut sums, power) = (vec![0f64; self.columns], self.power());
        for row in self.values.chunks_exact(self.columns) {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v) * f64::from(v));
        }
        let mean = self.rows as f64 * power;
        self.spread = sums.iter().map(|sum| (sum / mean).max(LEAST_SPREAD)).collect();
    }

    /// The price of each column, where that of a column of mean square is `mu`.
    fn prices(&self, mu: f64) -> Vec<f64> {
        match self.spread.is_empty() {
            true => vec![mu; self.columns],
            false => self.spread.iter().map(|spread| mu / spread).collect(),
        }
    }

    /// The quadratic form of the weights themselves.
    pub(crate) fn output_power(&self) -> f64 {
        let form = |strip: &[f32]| {
            let strip: Vec<f64> = strip.iter().map(|&weight| f64::from(weight)).collect();
            let columns = self.columns;
            let products = product(View::new(&strip, columns), View::new(&self.hessian, columns));
            products.iter().zip(&strip).map(|(p, w)| p * w).sum::<f64>()
        };
        // Collected first: the sum has one order on any number of threads.
        let forms: Vec<f64> = self.values.par_chunks(STRIP * self.columns).map(form).collect();
        forms.iter().sum()
    }

    /// The mean square of the weights.
    pub(crate) fn power(&self) -> f64 {
        self.values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / self.values.len() as f64
    }

    /// A price to start from: that of reverse water-filling over independent columns at a rate.
    pub(crate) fn first_price(&self, rate: f64) -> f64 {
        let power = self.power();
        let diagonal: Vec<f64> = self.hessian.iter().step_by(self.columns + 1).copied().collect();
        let (mut low, mut high) = (-100f64, 100f64);
        let top = diagonal.iter().copied().fold(f64::MIN_POSITIVE, f64::max) * power;
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            let level = top * crate::math::exp2(middle);
            let sum: f64 = diagonal
                .iter()
                .map(|&d| (0.5 * seedpress_entropy::binary::log2((d * power / level).max(1.0))).max(0.0))
                .sum();
            if sum / self.columns as f64 > rate { low = middle } else { high = middle }
        }
        top * crate::math::exp2(low) / power
    }
}

/// The factor of the form with prices on its diagonal, and what weights (column-major) are worth aiming at under them:
/// `w - w M (H + M)^-1`.
fn filter(problem: &Problem<'_>, prices: &[f64], original: &[f32]) -> (Factor, Vec<f32>) {
    let (rows, columns) = (problem.rows, problem.columns);
    let least = prices.iter().copied().fold(f64::INFINITY, f64::min);
    let order = (0..columns).collect();
    let mut filtered = original.to_vec();
    if problem.spread.is_empty() {
        let factor = Factor::from_matrix(&problem.hessian, order, least);
        factor.solve(&mut filtered, rows);
        let price = least as f32;
        filtered.iter_mut().zip(original).for_each(|(f, &w)| *f = w - price * *f);
        return (factor, filtered);
    }
    let mut form = problem.hessian.clone();
    form.iter_mut().step_by(columns + 1).zip(prices).for_each(|(entry, price)| *entry += price - least);
    let factor = Factor::from_matrix(&form, order, least);
    for (column, &price) in filtered.chunks_exact_mut(rows).zip(prices) {
        column.iter_mut().for_each(|w| *w *= price as f32);
    }
    factor.solve(&mut filtered, rows);
    filtered.iter_mut().zip(original).for_each(|(f, &w)| *f = w - *f);
    (factor, filtered)
}

impl Sweep {
    /// Prepares a sweep with price `mu`.
    pub(crate) fn new(problem: &Problem<'_>, mu: f64, code: Code, search: SearchParameters) -> Self {
        let (rows, columns) = (problem.rows, problem.columns);
        let prices = problem.prices(mu);
        let (factor, filtered) = filter(problem, &prices, &transpose(problem.values, rows, columns));
        // The price of the column itself is the entropy code's business.
        let curvature: Vec<f64> =
            factor.diagonal().iter().zip(&prices).map(|(&d, price)| (d - price).max(1e-3 * d)).collect();
        let raise: Vec<f32> = factor.diagonal().iter().zip(&curvature).map(|(d, c)| (d / c) as f32).collect();
        let (weights, unit) = Weights::from_sensitivities(&curvature);
        let scales = weights.factors_of_columns();
        let relative = |sensitivity: f64, scale: f64| (sensitivity / (unit * scale * scale)) as f32;
        let forward: Vec<f32> = curvature.iter().zip(&scales).map(|(&c, &s)| relative(c, s)).collect();
        let scaled: Vec<f32> = (0..columns)
            .flat_map(|i| {
                let factor = scales[i] * f64::from(raise[i]);
                filtered[i * rows..][..rows].iter().map(move |&w| (f64::from(w) * factor) as f32)
            })
            .collect();
        let classes = match search.contexts {
            true => Classes::choose(&scaled, 0.0, columns, rows, search.spread),
            false => Classes::none(),
        };
        let height = (search.sample / columns).max(24);
        let sample = (rows > 2 * height).then(|| {
            let chosen: Vec<usize> = (0..height).map(|at| at * rows / height).collect();
            let gather = |from: &[f32]| -> Vec<f32> {
                (0..columns).flat_map(|i| chosen.iter().map(move |&row| from[i * rows + row])).collect()
            };
            let side = match classes.columns.is_empty() {
                true => Vec::new(),
                false => chosen.iter().map(|&row| classes.columns[row]).collect(),
            };
            Part { height, filtered: gather(&filtered), classes: Classes { columns: side, ..classes.clone() } }
        });
        Self {
            code,
            factor,
            weights,
            scales,
            forward,
            raise,
            unit,
            whole: Part { height: rows, filtered, classes },
            sample,
        }
    }

    /// Mean magnitude and largest magnitude of what the trellis sees.
    pub(crate) fn magnitudes(&self) -> [f64; 2] {
        let (mut sum, mut largest) = (0.0, 0f64);
        for (i, column) in self.whole.filtered.chunks_exact(self.whole.height).enumerate() {
            let factor = self.scales[i] * f64::from(self.raise[i]);
            for &w in column {
                let magnitude = f64::from(w.abs()) * factor;
                sum += magnitude;
                largest = largest.max(magnitude);
            }
        }
        [sum / self.whole.filtered.len() as f64, largest]
    }
}

/// A sweep at work. What a column leaves behind is its indices and signs, counts, and what its errors call for in the columns to come: all
/// else is as long as a column.
struct Walk<'a> {
    sweep: &'a Sweep,
    part: &'a Part,
    tables: &'a Tables,
    step: f32,
    scratch: Scratch,
    /// What was chosen, in the pieces of the stream.
    choices: Vec<Choice>,
    tally: Tally,
    /// Magnitudes that the column at work aims at, in steps.
    u: Vec<f32>,
    /// Indices of the piece at work.
    indices: Vec<u32>,
    /// The state the next column starts in.
    state: usize,
    classes: Vec<u8>,
}

impl Quantizer for Walk<'_> {
    fn block(&self) -> usize {
        BLOCK
    }

    fn quantize(&mut self, columns: &[usize], aims: &[f32], out: &mut [f32]) {
        let column = columns[0];
        let raise = self.sweep.raise[column];
        let aims: Vec<f32> = aims.iter().map(|aim| aim * raise).collect();
        self.column(column, &aims, out);
    }
}

impl Walk<'_> {
    /// Chooses column `i` for these aims.
    fn column(&mut self, i: usize, aims: &[f32], chosen: &mut [f32]) {
        let height = self.part.height;
        let base = i * height;
        let scale = self.sweep.scales[i] / f64::from(self.step);
        for (u, &aim) in self.u.iter_mut().zip(aims) {
            *u = ((f64::from(aim.abs()) * scale) as f32).min(LARGEST_AIM);
        }
        self.part.classes.fill(base, height, &mut self.classes);
        let mut at = 0;
        while at < height {
            let (piece, offset) = ((base + at) / CHUNK, (base + at) % CHUNK);
            let stop = height.min(at + CHUNK - offset);
            self.piece(i, at..stop, (piece, offset), aims, &mut chosen[at..stop]);
            // A chunk knows nothing of the one before.
            if (base + stop).is_multiple_of(CHUNK) {
                self.state = 0;
            }
            at = stop;
        }
    }

    /// Chooses those rows of column `i` that lie in one piece of the stream.
    fn piece(
        &mut self,
        i: usize,
        rows: Range<usize>,
        (piece, offset): (usize, usize),
        aims: &[f32],
        chosen: &mut [f32],
    ) {
        let (code, tables) = (self.sweep.code, self.tables);
        let inverse = 1.0 / (self.sweep.scales[i] / f64::from(self.step));
        let choice = &mut self.choices[piece];
        let indices = &mut self.indices[..rows.len()];
        let (u, classes, aims) = (&self.u[rows.clone()], &self.classes[rows.clone()], &aims[rows.clone()]);
        let start = Start { state: self.state, weight: self.sweep.forward[i] };
        self.state = search(code, tables, u, classes, start, &mut self.scratch, indices);
        let mut state = start.state;
        let found = (offset..).zip(indices.iter()).zip(chosen);
        for ((((at, &k), chosen), &aim), (&u, &class)) in found.zip(aims).zip(u.iter().zip(classes)) {
            let quantizer = state & 1;
            let point = tables.point(quantizer, k as usize);
            let magnitude = (f64::from(point) * inverse) as f32;
            let negative = aim < 0.0;
            choice.set(at, k, negative);
            *chosen = if negative { -magnitude } else { magnitude };
            self.tally.index(2 * usize::from(class) + quantizer, k);
            self.tally.centroid(quantizer, k, u);
            let miss = f64::from(u - point);
            self.tally.error(f64::from(self.sweep.forward[i]) * miss * miss);
            state = code.next(state, k as usize & 1);
        }
    }
}

/// Room for the choices of so many weights, in the pieces of the stream.
fn room(count: usize) -> Vec<Choice> {
    (0..count).step_by(CHUNK).map(|start| Choice::zeros(CHUNK.min(count - start))).collect()
}

impl Pass for Sweep {
    fn pass(&self, whole: bool, tables: &Tables, step: f32, shift: u32) -> Outcome {
        let part = if whole { &self.whole } else { self.sample.as_ref().unwrap_or(&self.whole) };
        let mut walk = Walk {
            sweep: self,
            part,
            tables,
            step,
            scratch: Scratch::default(),
            choices: room(part.filtered.len()),
            tally: Tally::new(2 * usize::from(part.classes.count), shift),
            u: vec![0.0; part.height],
            indices: vec![0; part.height.min(CHUNK)],
            state: 0,
            classes: vec![0; part.height],
        };
        visit_columns(&self.factor, &part.filtered, 1, &mut walk);
        walk.tally.finish(walk.choices)
    }

    fn sampled(&self) -> usize {
        self.sample.as_ref().unwrap_or(&self.whole).filtered.len()
    }

    fn classes(&self) -> &Classes {
        &self.whole.classes
    }

    fn fill(&self, start: usize, out: &mut [u8]) {
        self.whole.classes.fill(start, self.whole.height, out);
    }
}
