//! A pass column by column, with errors fed forward: what minimises the error of the layer's *output*.
//!
//! The trellis runs down the columns; between two columns, the errors made so far move the aims of the columns to come
//! (see [`hessian`](crate::hessian)). Two things keep this sound at low rates, where most weights become zero:
//!
//! - *A price for later columns.* What a column leaves to its successors is not free there, as the plain sweep believes: a weight of
//!   size `q` costs about `lambda q^2 / (2 ln 2 sigma^2)` bits. So the sweep minimises `e^T H e + mu |q|^2` over the later columns, with
//!   `mu = lambda / (2 ln 2 sigma^2)`, and leaves the price of the current one to the entropy code. The result is a Wiener filter
//!   `H (H + mu)^-1` before the quantiser: the pre-filter of R. Zamir, Y. Kochman, U. Erez, "Achieving the Gaussian rate-distortion
//!   function by prediction", IEEE Trans. Inf. Theory 54 (7), 2008. Directions that inputs hardly excite get no bits.
//! - *Refinement.* Afterwards every column is chosen again with all others fixed, under the true objective.

use rayon::prelude::*;
use std::sync::Arc;

use crate::classes::Classes;
use crate::code::Code;
use crate::hessian::{BLOCK, Factor, add_scaled, transpose};
use crate::pass::{Choice, Outcome, Pass, Tally};
use crate::stream::CHUNK;
use crate::viterbi::{Ends, Scratch, Tables, search};
use crate::weights::Weights;

/// Some rows of a matrix, column-major.
struct Part {
    height: usize,
    original: Vec<f32>,
    /// What the sweep aims at: the Wiener-filtered weights.
    filtered: Vec<f32>,
    classes: Classes,
}

/// A matrix ready to be swept.
pub struct Sweep {
    code: Code,
    columns: usize,
    factor: Factor,
    hessian: Arc<Vec<f32>>,
    /// The column steps' exponents, as written.
    pub weights: Weights,
    /// Column `i` is multiplied by this.
    scales: Vec<f64>,
    /// What a squared error of column `i` counts in the sweep, relative to the square of its scale.
    forward: Vec<f32>,
    /// The same with all other columns fixed.
    fixed: Vec<f32>,
    /// From the conditional optimum with the price of column `i` to the one without.
    raise: Vec<f32>,
    /// Squared steps times this are units of the quadratic form.
    pub unit: f64,
    whole: Part,
    sample: Option<Part>,
    refinements: usize,
}

/// What a sweep is prepared from.
pub struct Problem {
    /// Row-major weights.
    pub values: Vec<f32>,
    /// Their matrix's rows.
    pub rows: usize,
    /// Their matrix's columns.
    pub columns: usize,
    /// Row-major, damped.
    pub hessian: Vec<f64>,
    /// The same.
    pub single: Arc<Vec<f32>>,
}

impl Problem {
    /// The mean square of the weights.
    pub fn power(&self) -> f64 {
        self.values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / self.values.len() as f64
    }

    /// A price to start from: that of reverse water-filling over independent columns at a rate.
    pub fn first_price(&self, rate: f64) -> f64 {
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

impl Sweep {
    /// Prepares a sweep with price `mu` and a sample of about `sample` weights.
    pub fn new(problem: &Problem, mu: f64, code: Code, sample: usize, refinements: usize) -> Self {
        let (rows, columns) = (problem.rows, problem.columns);
        let factor = Factor::new(&problem.hessian, columns, mu);
        let original = transpose(&problem.values, rows, columns);
        let mut filtered = original.clone();
        factor.solve(&mut filtered, rows);
        let mu32 = mu as f32;
        filtered.iter_mut().zip(&original).for_each(|(f, &w)| *f = w - mu32 * *f);
        // The price of the column itself is the entropy code's business.
        let curvature: Vec<f64> = factor.diagonal.iter().map(|&d| (d - mu).max(1e-3 * d)).collect();
        let raise: Vec<f32> = factor.diagonal.iter().zip(&curvature).map(|(d, c)| (d / c) as f32).collect();
        let (weights, unit) = Weights::from_sensitivities(&curvature);
        let scales = weights.factors_of_columns();
        let relative = |sensitivity: f64, scale: f64| (sensitivity / (unit * scale * scale)) as f32;
        let forward: Vec<f32> = curvature.iter().zip(&scales).map(|(&c, &s)| relative(c, s)).collect();
        let diagonal = problem.hessian.iter().step_by(columns + 1);
        let fixed = diagonal.zip(&scales).map(|(&h, &s)| relative(h, s)).collect();
        let scaled: Vec<f32> = (0..columns)
            .flat_map(|i| {
                let factor = scales[i] * f64::from(raise[i]);
                filtered[i * rows..][..rows].iter().map(move |&w| (f64::from(w) * factor) as f32)
            })
            .collect();
        let classes = Classes::choose(&scaled, 0.0, columns, rows);
        let height = (sample / columns).max(24);
        let sample = (rows > 2 * height).then(|| {
            let chosen: Vec<usize> = (0..height).map(|at| at * rows / height).collect();
            let gather = |from: &[f32]| -> Vec<f32> {
                (0..columns).flat_map(|i| chosen.iter().map(move |&row| from[i * rows + row])).collect()
            };
            let side = match classes.columns.is_empty() {
                true => Vec::new(),
                false => chosen.iter().map(|&row| classes.columns[row]).collect(),
            };
            Part {
                height,
                original: gather(&original),
                filtered: gather(&filtered),
                classes: Classes { columns: side, ..classes.clone() },
            }
        });
        Self {
            code,
            columns,
            factor,
            hessian: problem.single.clone(),
            weights,
            scales,
            forward,
            fixed,
            raise,
            unit,
            whole: Part { height: rows, original, filtered, classes },
            sample,
            refinements,
        }
    }

    /// Mean magnitude and largest magnitude of what the trellis sees.
    pub fn magnitudes(&self) -> (f64, f64) {
        let (mut sum, mut largest) = (0.0, 0f64);
        for (i, column) in self.whole.filtered.chunks_exact(self.whole.height).enumerate() {
            let factor = self.scales[i] * f64::from(self.raise[i]);
            for &w in column {
                let magnitude = f64::from(w.abs()) * factor;
                sum += magnitude;
                largest = largest.max(magnitude);
            }
        }
        (sum / self.whole.filtered.len() as f64, largest)
    }
}

/// A path through one part.
struct Walk<'a> {
    sweep: &'a Sweep,
    part: &'a Part,
    tables: &'a Tables,
    step: f32,
    scratch: Scratch,
    indices: Vec<u32>,
    negative: Vec<bool>,
    /// Magnitudes aimed at, in steps.
    u: Vec<f32>,
    /// What was chosen, as weights.
    chosen: Vec<f32>,
    /// The state each column starts in.
    starts: Vec<usize>,
    classes: Vec<u8>,
}

impl Walk<'_> {
    /// Chooses column `i` for these aims; the path has to end in `end`.
    fn column(&mut self, i: usize, aims: &[f32], weight: f32, end: Option<usize>) -> usize {
        let height = self.part.height;
        let base = i * height;
        let scale = self.sweep.scales[i] / f64::from(self.step);
        for (u, &aim) in self.u[base..].iter_mut().zip(aims) {
            *u = (f64::from(aim.abs()) * scale) as f32;
        }
        for (negative, &aim) in self.negative[base..].iter_mut().zip(aims) {
            *negative = aim < 0.0;
        }
        self.part.classes.fill(base, height, &mut self.classes);
        let (mut at, mut state) = (0, self.starts[i]);
        while at < height {
            let stop = height.min(at + CHUNK - (base + at) % CHUNK);
            // A chunk knows nothing of the one before.
            let open = (base + stop).is_multiple_of(CHUNK) || base + stop == self.indices.len();
            let ends = Ends { start: state, end: end.filter(|_| stop == height && !open), weight };
            let (u, classes) = (&self.u[base + at..base + stop], &self.classes[at..stop]);
            let indices = &mut self.indices[base + at..base + stop];
            state = search(self.sweep.code, self.tables, u, classes, ends, &mut self.scratch, indices);
            if (base + stop).is_multiple_of(CHUNK) {
                state = 0;
            }
            at = stop;
        }
        let inverse = 1.0 / scale;
        let mut walking = self.starts[i];
        for r in 0..height {
            let k = self.indices[base + r] as usize;
            let magnitude = (f64::from(self.tables.point(walking & 1, k)) * inverse) as f32;
            self.chosen[base + r] = if self.negative[base + r] { -magnitude } else { magnitude };
            walking = self.sweep.code.next(walking, k & 1);
            if (base + r + 1).is_multiple_of(CHUNK) {
                walking = 0;
            }
        }
        state
    }

    fn forward(&mut self) {
        let (sweep, height) = (self.sweep, self.part.height);
        // Row sums of what earlier errors call for.
        let mut feedback = vec![0f32; self.indices.len()];
        let mut aims = vec![0f32; height];
        for start in (0..sweep.columns).step_by(BLOCK) {
            let end = (start + BLOCK).min(sweep.columns);
            let mut errors = vec![0f32; (end - start) * height];
            for i in start..end {
                let column = i * height..(i + 1) * height;
                let wanted = self.part.filtered[column.clone()].iter().zip(&feedback[column.clone()]);
                aims.iter_mut().zip(wanted).for_each(|(aim, (&w, &f))| *aim = (w + f) * sweep.raise[i]);
                let state = self.column(i, &aims, sweep.forward[i], None);
                if let Some(next) = self.starts.get_mut(i + 1) {
                    *next = state;
                }
                let error = &mut errors[(i - start) * height..][..height];
                let pairs = self.part.filtered[column.clone()].iter().zip(&self.chosen[column]);
                error.iter_mut().zip(pairs).for_each(|(error, (&w, &q))| *error = w - q);
                for j in i + 1..end {
                    add_scaled(&mut feedback[j * height..][..height], sweep.factor.entry(j, i), error);
                }
            }
            feedback[end * height..].par_chunks_exact_mut(height).enumerate().for_each(|(offset, target)| {
                for i in start..end {
                    add_scaled(target, sweep.factor.entry(end + offset, i), &errors[(i - start) * height..][..height]);
                }
            });
        }
    }

    /// Chooses every column again with all others fixed. Returns the quadratic form.
    fn refine(&mut self, passes: usize) -> f64 {
        let (sweep, height, columns) = (self.sweep, self.part.height, self.sweep.columns);
        let hessian = &sweep.hessian[..];
        let errors: Vec<f32> = self.part.original.iter().zip(&self.chosen).map(|(&w, &q)| w - q).collect();
        let mut gradient = vec![0f32; errors.len()];
        gradient.par_chunks_exact_mut(height).enumerate().for_each(|(j, target)| {
            for (i, error) in errors.chunks_exact(height).enumerate() {
                add_scaled(target, hessian[i * columns + j], error);
            }
        });
        let mut aims = vec![0f32; height];
        for _ in 0..passes {
            for start in (0..columns).step_by(BLOCK) {
                let end = (start + BLOCK).min(columns);
                let mut moves = vec![0f32; (end - start) * height];
                for i in start..end {
                    let column = i * height..(i + 1) * height;
                    let inverse = 1.0 / hessian[i * columns + i];
                    let now = self.chosen[column.clone()].iter().zip(&gradient[column.clone()]);
                    aims.iter_mut().zip(now).for_each(|(aim, (&q, &g))| *aim = q + g * inverse);
                    let before = self.chosen[column.clone()].to_vec();
                    let state = self.starts.get(i + 1).copied();
                    self.column(i, &aims, sweep.fixed[i], state);
                    let moved = &mut moves[(i - start) * height..][..height];
                    let pairs = self.chosen[column].iter().zip(&before);
                    moved.iter_mut().zip(pairs).for_each(|(moved, (&now, &before))| *moved = before - now);
                    for j in i + 1..end {
                        add_scaled(&mut gradient[j * height..][..height], hessian[i * columns + j], moved);
                    }
                }
                let moves = &moves;
                gradient.par_chunks_exact_mut(height).enumerate().for_each(|(j, target)| {
                    // Within the block, what came before column `j` has reached it.
                    let first = if (start..end).contains(&j) { j } else { start };
                    for i in first..end {
                        add_scaled(target, hessian[i * columns + j], &moves[(i - start) * height..][..height]);
                    }
                });
            }
        }
        let errors = self.part.original.iter().zip(&self.chosen).map(|(&w, &q)| f64::from(w - q));
        errors.zip(&gradient).map(|(e, &g)| e * f64::from(g)).sum()
    }
}

impl Pass for Sweep {
    fn pass(&self, whole: bool, tables: &Tables, step: f32, shift: u32) -> Outcome {
        let part = if whole { &self.whole } else { self.sample.as_ref().unwrap_or(&self.whole) };
        let count = part.filtered.len();
        let mut walk = Walk {
            sweep: self,
            part,
            tables,
            step,
            scratch: Scratch::default(),
            indices: vec![0; count],
            negative: vec![false; count],
            u: vec![0.0; count],
            chosen: vec![0.0; count],
            starts: vec![0; self.columns],
            classes: vec![0; part.height],
        };
        walk.forward();
        let mut tally = Tally::new(2 * usize::from(part.classes.count), shift);
        let walked = |walk: &Walk<'_>, visit: &mut dyn FnMut(usize, usize)| {
            let mut state = 0;
            for (at, &k) in walk.indices.iter().enumerate() {
                if at.is_multiple_of(CHUNK) {
                    state = 0;
                }
                visit(at, state & 1);
                state = self.code.next(state, k as usize & 1);
            }
        };
        // Reproduction points are those of the sweep: what refinement aims at is conditional on all other columns.
        walked(&walk, &mut |at, quantizer| {
            let (k, u) = (walk.indices[at], walk.u[at]);
            tally.centroid(quantizer, k, u);
            if self.refinements == 0 {
                let miss = f64::from(u - tables.point(quantizer, k as usize));
                tally.error(f64::from(self.forward[at / part.height]) * miss * miss);
            }
        });
        if self.refinements > 0 {
            let form = walk.refine(self.refinements);
            tally.error(form / (self.unit * f64::from(step) * f64::from(step)));
        }
        let mut classes = vec![0u8; count];
        part.classes.fill(0, part.height, &mut classes);
        walked(&walk, &mut |at, quantizer| {
            tally.index(2 * usize::from(classes[at]) + quantizer, walk.indices[at]);
        });
        let choices = walk.indices.chunks(CHUNK).zip(walk.negative.chunks(CHUNK));
        let choices = choices.map(|(i, n)| Choice { indices: i.to_vec(), negative: n.to_vec() }).collect();
        tally.finish(choices)
    }

    fn sampled(&self) -> usize {
        self.sample.as_ref().unwrap_or(&self.whole).filtered.len()
    }

    fn classes(&self) -> &Classes {
        &self.whole.classes
    }
}
