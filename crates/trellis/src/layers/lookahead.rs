//! Choosing a layer with the next one in view.
//!
//! The path nearest to the weights leaves a residual that is as hard to code as Gaussian noise, so that layers chosen one after another
//! add their gaps. Searched together, two layers are one code with the product of their states, whose gap is smaller than the sum: the
//! first gives up a little of its own error for a path from which the second gets further. H. Jafarkhani, V. Tarokh, "Design of
//! successively refinable trellis-coded quantizers", IEEE Trans. Inf. Theory 45 (5), 1999, search product trellises like this; here each
//! layer has an entropy code, and of the two layers in view only the first is kept, unless no more follow: the second is chosen anew with
//! the third in view.

use rayon::prelude::*;
use seedpress_codec::{EncodeError, Encoded};

use super::product::{Branches, Product};
use super::state::KNOWN;
use crate::classes::Classes;
use crate::code::Code;
use crate::encoder::{Budget, OperatingPoint, RARE_ZERO, RateSearch, SAMPLE_PASSES};
use crate::pass::{Choice, Outcome, Pass, Rows, Tally};
use crate::stream::{Params, cell};
use crate::viterbi::{FURTHEST, Tables};

/// What the errors of both layers count, each in its own squared steps. With these, the prefixes lose about alike in decibels.
const NEAR: f32 = 0.28;
const FAR: f32 = 1.0 - NEAR;

/// Cost of a squared step in the search.
const SCALE: f32 = 256.0;
/// Costs of a branch at most, an eighth of what 16 bits hold.
const MOST: f32 = 8191.0;

/// A layer whose path is chosen with the next layer in view.
struct Ahead<'a> {
    rows: &'a Rows<'a>,
    /// Added to the cell of a weight: its class in the next layer.
    groups: &'a [u8],
    code: Code,
    far: OperatingPoint,
}

/// One way for the near layer to go.
#[derive(Clone, Copy, Default)]
struct Way {
    cost: f32,
    k: usize,
    /// Magnitude of the residual in steps of the far layer.
    u: f32,
    class: u8,
}

impl Ahead<'_> {
    /// The indices of a quantiser and parity that may be best: those that bracket the weight, and the cheapest.
    fn ways(&self, near: &Tables, ratio: f32, u: f32, class: u8, branch: usize, group: u8) -> ([Way; 3], usize) {
        let (quantizer, parity) = (branch >> 1, branch & 1);
        let floor = ((u + quantizer as f32) * 0.5) as usize;
        let mut ways = [Way::default(); 3];
        let mut count = 0;
        let mut add = |k: usize| {
            let residual = u - near.point(quantizer, k);
            let rate = near.cost(u, 0.0, 2 * usize::from(class) + quantizer, quantizer, k);
            let cost = NEAR * (residual * residual) + rate;
            ways[count] = Way { cost, k, u: (residual.abs() * ratio).min(FURTHEST), class: cell(quantizer, k) + group };
            count += 1;
        };
        let above = floor + 2 - ((floor ^ parity) & 1);
        add(above);
        if above >= 2 {
            add(above - 2);
        }
        if above > parity + 2 {
            add(parity);
        }
        (ways, count)
    }

    /// Chooses both layers. Steps of the near layer are `step`.
    fn both(&self, whole: bool, near: &Tables, step: f32, shift: u32) -> Option<[Outcome; 2]> {
        let pieces = self.rows.pieces(whole).par_iter();
        let search = || Product::new(self.code);
        let (near, far): (Vec<Outcome>, Vec<Outcome>) = pieces
            .map_init(search, |product, &(start, length)| self.piece(product, [start, length], near, step, shift))
            .unzip();
        Some([Outcome::merged(near)?, Outcome::merged(far)?])
    }

    /// Chooses both layers for `length` weights from `start` on.
    fn piece(
        &self,
        product: &mut Product,
        [start, length]: [usize; 2],
        near: &Tables,
        step: f32,
        shift: u32,
    ) -> (Outcome, Outcome) {
        let (far, far_shift) = (&self.far.tables, self.far.params.shift);
        let ratio = (f64::from(step) / f64::from(self.far.params.step)) as f32;
        let u = self.rows.magnitudes(start, length, step);
        let mut classes = vec![0u8; length];
        self.rows.fill(start, &mut classes);
        let groups = &self.groups[start..start + length];
        let ways = |at: usize, branch: usize| self.ways(near, ratio, u[at], classes[at], branch, groups[at]);
        let branches: Vec<Branches> = (0..length).map(|at| self.branches(|branch| ways(at, branch))).collect();
        let mut chosen = vec![0u8; length];
        product.search(&branches, &mut chosen);
        let contexts = [2 * usize::from(self.rows.classes().count), 2 * usize::from(KNOWN)];
        let mut tallies = [Tally::new(contexts[0], shift), Tally::new(contexts[1], far_shift)];
        let mut indices = vec![0u32; length];
        for (at, &pair) in chosen.iter().enumerate() {
            let (branch, next) = (usize::from(pair) / 4, usize::from(pair) % 4);
            let (ways, count) = ways(at, branch);
            let mut best = (f32::INFINITY, ways[0], 0);
            for &way in &ways[..count] {
                let (cost, k) = far.best(way.u, 1.0, usize::from(way.class), next >> 1, next & 1);
                let sum = way.cost + FAR * cost;
                if sum < best.0 {
                    best = (sum, way, k);
                }
            }
            let (_, way, k) = best;
            indices[at] = way.k as u32;
            note(&mut tallies[0], near, classes[at], branch >> 1, way.k, u[at]);
            note(&mut tallies[1], far, way.class, next >> 1, k, way.u);
        }
        let negative = self.rows.signs(start, length);
        let [one, two] = tallies;
        (one.finish(vec![Choice::new(&indices, &negative)]), two.finish(Vec::new()))
    }

    /// The costs of all pairs of branches of a weight whose near layer may go these ways.
    #[inline]
    fn branches(&self, ways: impl Fn(usize) -> ([Way; 3], usize)) -> Branches {
        let mut costs = [f32::INFINITY; 16];
        for (branch, costs) in costs.chunks_exact_mut(4).enumerate() {
            let (ways, count) = ways(branch);
            for way in &ways[..count] {
                let next = self.far.tables.branches(way.u, 1.0, usize::from(way.class));
                for (cost, next) in costs.iter_mut().zip(next) {
                    let sum = way.cost + FAR * next;
                    *cost = if sum < *cost { sum } else { *cost };
                }
            }
        }
        costs.map(|cost| (cost * SCALE + 0.5).min(MOST) as u16)
    }
}

fn note(tally: &mut Tally, tables: &Tables, class: u8, quantizer: usize, k: usize, u: f32) {
    tally.index(2 * usize::from(class) + quantizer, k as u32);
    tally.centroid(quantizer, k as u32, u);
    let miss = f64::from(u - tables.point(quantizer, k));
    tally.error(miss * miss);
}

impl Pass for Ahead<'_> {
    fn pass(&self, whole: bool, tables: &Tables, step: f32, shift: u32) -> Outcome {
        match self.both(whole, tables, step, shift) {
            Some([near, _]) => near,
            None => self.rows.pass(whole, tables, step, shift),
        }
    }

    fn sampled(&self) -> usize {
        self.rows.sampled()
    }

    fn classes(&self) -> &Classes {
        self.rows.classes()
    }

    fn fill(&self, start: usize, out: &mut [u8]) {
        self.rows.fill(start, out);
    }
}

/// Compresses a layer, from where a search without the next layer ended, with a layer of `next` bits per weight in view; `groups` are
/// added to the cells of its weights to give the classes of the next layer.
pub(super) fn finish(
    rate_search: RateSearch<'_>,
    rows: &Rows<'_>,
    groups: &[u8],
    columns: usize,
    budget: Budget,
    mut near: OperatingPoint,
    next: f64,
) -> Result<Encoded, EncodeError> {
    let RateSearch { context, search, code, count } = rate_search;
    let sampled = rows.sampled() as f64;
    let left = rows.pass(false, &near.tables, near.params.step, near.params.shift).error / sampled;
    // Residuals are nearly Gaussian, and end within a few steps.
    let spread = left.sqrt() * f64::from(near.params.step);
    let classes = Classes { count: KNOWN, ..Classes::none() };
    let far_budget = Budget::new(count, None, &classes, next, [0.8 * spread, 16.0 * spread]);
    let blank = Params { memory: search.memory, ..Params::default() };
    let far = OperatingPoint::start(&far_budget, &blank, 2 * usize::from(KNOWN), RARE_ZERO);
    let mut ahead = Ahead { rows, groups, code, far };
    for _ in 0..SAMPLE_PASSES {
        context.check_cancelled()?;
        let Some([one, two]) = ahead.both(false, &near.tables, near.params.step, near.params.shift) else { break };
        let misses = [near.learn(&budget, &one, sampled), ahead.far.learn(&far_budget, &two, sampled)];
        if misses.iter().all(|miss| miss.abs() < search.tolerance) {
            break;
        }
        near.move_step(&budget, misses[0], RARE_ZERO);
        ahead.far.move_step(&far_budget, misses[1], RARE_ZERO);
    }
    rate_search.finish(&ahead, &budget, near, columns)
}
