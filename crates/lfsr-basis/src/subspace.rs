//! How much of a vector every window captures: the screening step of an exhaustive search.
//!
//! The least-squares residual of `v` on the columns of `U` is `|v|^2 - |Q^T v|^2`, with `Q` an orthonormal basis of the columns, and
//! it bounds the error of *any* coefficients from below, quantised or not. Windows of one sequence share their work: column `p` of
//! the window at `i` meets `v` in `z[i + p]`, `z[j] = sum over c of v[c] x[j + c P]`, so `C` multiply-adds a window serve all `P`
//! columns, and `Q^T v = R^-T z` costs a triangle more. `R^-T` of every window is a table of `P (P + 1) / 2` floats, eight windows
//! side by side, which a batch of vectors passes together, tile by tile.
//!
//! With 8-bit dot products at hand windows are passed over by their rounded projections ([`projections`](crate::projections)), and only the
//! few left are asked what they capture.
//!
//! # The margin
//!
//! Screening may use any instruction set because it only ever *discards*, and only by more than its own error. Let `u = 2^-24`, `v` a
//! unit vector rounded to `f32`, `|x_i| <= 1`, and the emphasis such that it makes no such `x` longer than `sqrt(C)` ([`Emphasis`]). Then `|z| <= sqrt(C)`, and with roundings of
//! `x`, `v`, emphasis, `R^-T` and of sums in any order, fused or not, every product with the triangle is off by at most
//! `(C + P + 4) u sqrt(C)` times the sum of its row's absolute values: `|error of Q^T v| <= sqrt(P) F (C + P + 4) u sqrt(C)` with `F`
//! the Frobenius norm of the triangle, and the captured energy by twice that and `(P + 2) u`. Windows with `F` above
//! [`STEEP`] are screened with `Q` itself instead, which is off by at most `2 sqrt(P) (C + 4) u + (P + 2) u`. [`Subspaces::margin`]
//! exceeds both.

use std::sync::Arc;

use rayon::prelude::*;

use crate::emphasis::Emphasis;
use crate::factors::Factors;
use crate::kernel::{self, LANES, Pass, QUAD};
pub use crate::path::Path;
use crate::projections::Projections;
use crate::sequence::Sequence;

/// Vectors that pass over the table together at most: enough that the table's way from memory does not count.
pub const BATCH: usize = 256;

/// Frobenius norm of `R^-T` above which a window is too ill-conditioned to be whitened in `f32`.
pub const STEEP: f64 = 16.0;

/// The column spaces of many windows, for vectors of `rows` weights.
#[derive(Debug)]
pub struct Subspaces {
    sequence: Arc<Sequence>,
    rows: usize,
    columns: usize,
    emphasis: Option<Emphasis>,
    windows: usize,
    /// `R^-T`, `[group][entry][lane]`; zero where the window is among `steep`. Empty where the windows are not all of the sequence.
    whitening: Vec<[f32; LANES]>,
    /// Windows with a basis of their own.
    steep: Vec<u32>,
    /// Their bases, `[group][column][row][lane]`.
    bases: Vec<[f32; LANES]>,
    /// A lower bound, for each window, of the norm of any combination of its columns with integers that are not all 0.
    shortest: Vec<f32>,
    /// What passes over them, where rows count alike, all windows are searched, and the machine has the instructions.
    projections: Option<Projections>,
}

/// Windows of one task of making tables, whole groups of lanes.
const PART: usize = 1 << 11;

/// The tables of some windows.
struct Part {
    whitening: Vec<[f32; LANES]>,
    /// Windows with a basis of their own, column-major.
    steep: Vec<(u32, Vec<f32>)>,
    shortest: Vec<f32>,
    projections: Option<Projections>,
}

/// The windows that may still hold the best approximation of one vector.
#[derive(Debug, Clone)]
pub struct Survivors {
    /// Captured energy of the best window so far.
    best: f32,
    /// Windows below are discarded.
    threshold: f32,
    /// How many times the least residual a window may leave.
    slack: f32,
    margin: f32,
    found: Vec<(f32, u32)>,
}

impl Survivors {
    /// Keeps windows whose residual is at most `slack` times the least one of all.
    pub fn within_factor(slack: f32, margin: f32) -> Self {
        Self { best: 0.0, threshold: f32::NEG_INFINITY, slack, margin, found: Vec::new() }
    }

    /// Keeps windows whose residual is at most `limit` (of a unit vector).
    pub fn within(limit: f64, margin: f32) -> Self {
        // Two margins: one for the screening, one for the rounding of the limit itself.
        let threshold = (1.0 - limit) as f32 - 2.0 * margin;
        Self { best: f32::INFINITY, threshold, slack: 0.0, margin, found: Vec::new() }
    }

    #[inline]
    fn push(&mut self, captured: f32, window: u32) {
        self.found.push((captured, window));
        if captured > self.best {
            self.best = captured;
            self.threshold = 1.0 - self.slack * (1.0 - captured).max(0.0) - 2.0 * self.margin;
        }
    }

    /// What a window may leave and still be kept.
    #[cfg(target_arch = "x86_64")]
    fn open(&self) -> f64 {
        f64::from(1.0 - self.threshold) + f64::from(self.margin)
    }

    /// Every window with a residual below this is among the survivors.
    pub fn limit(&self) -> f64 {
        f64::from(1.0 - self.threshold - self.margin)
    }

    /// The surviving windows of which `keep` holds, the best first (equal ones by number).
    pub fn ranked(&mut self, keep: impl Fn(u32) -> bool) -> &[(f32, u32)] {
        let threshold = self.threshold;
        self.found.retain(|entry| entry.0 >= threshold && keep(entry.1));
        self.found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        &self.found
    }
}

impl Subspaces {
    /// The windows of `rows x columns` (1 to 6 columns) at `candidates` evenly spread positions (0, or more than there are: all).
    /// `emphasis` says what errors count.
    pub fn new(
        sequence: Arc<Sequence>,
        rows: usize,
        columns: usize,
        candidates: usize,
        emphasis: Option<Emphasis>,
    ) -> Self {
        assert!((1..=6).contains(&columns) && columns <= rows && rows <= 64, "no windows of {rows} x {columns}");
        let windows = if candidates == 0 { sequence.len() } else { candidates.min(sequence.len()) };
        let mut this = Self {
            sequence,
            rows,
            columns,
            emphasis,
            windows,
            whitening: vec![],
            steep: vec![],
            bases: vec![],
            shortest: vec![],
            projections: None,
        };
        this.projections = this.no_projections();
        // One after another: whoever builds a table may hold a lock, and a thread that waits for others takes up their work.
        let parts: Vec<Part> = this.firsts().map(|first| this.part(first)).collect();
        this.put_together(parts);
        this
    }

    /// A table of projections without windows, where one pays.
    fn no_projections(&self) -> Option<Projections> {
        let all = self.windows == self.sequence.len();
        let fit = all && self.emphasis.is_none() && Projections::fit(self.rows) && Path::Avx512.is_supported();
        fit.then(|| Projections::new(self.rows, self.columns))
    }

    /// First windows of parts.
    fn firsts(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.windows).step_by(PART)
    }

    fn put_together(&mut self, parts: Vec<Part>) {
        let (rows, columns) = (self.rows, self.columns);
        for part in parts {
            self.whitening.extend(part.whitening);
            self.shortest.extend(part.shortest);
            if let Some((own, others)) = self.projections.as_mut().zip(part.projections) {
                own.append(others);
            }
            for (window, basis) in part.steep {
                let lane = self.steep.len() % LANES;
                if lane == 0 {
                    self.bases.resize(self.bases.len() + rows * columns, [0.0; LANES]);
                }
                self.steep.push(window);
                let group = self.bases.len() - rows * columns;
                for (slot, &q) in self.bases[group..].iter_mut().zip(&basis) {
                    slot[lane] = q;
                }
            }
        }
    }

    /// The tables of the windows from `first` on.
    fn part(&self, first: usize) -> Part {
        let all = self.windows == self.sequence.len();
        let (count, columns) = (PART.min(self.windows - first), self.columns);
        let entries = columns * (columns + 1) / 2;
        let unit = f64::from((1u32 << (self.sequence.register().width() - 1)) - 1).max(1.0);
        let mut part = Part {
            whitening: vec![[0f32; LANES]; if all { count.div_ceil(LANES) * entries } else { 0 }],
            steep: Vec::new(),
            shortest: vec![f32::INFINITY; count],
            projections: self.no_projections(),
        };
        let mut factors = Factors::default();
        for at in 0..count {
            // A window without full rank stays zero: it captures nothing and is never chosen.
            let full = self.factors_into(first + at, &mut factors);
            if let Some(projections) = &mut part.projections {
                projections.push(if full { &factors.q } else { &[] });
            }
            if !full {
                continue;
            }
            // Rounded down, by more than a rounding to f32 brings.
            part.shortest[at] = (factors.shortest(columns) * (1.0 - 1e-6)) as f32;
            let triangle = if all { factors.whitening(columns) } else { Vec::new() };
            let norm = triangle.iter().map(|a| a * a).sum::<f64>().sqrt() * unit;
            if all && norm <= STEEP {
                let group = &mut part.whitening[at / LANES * entries..][..entries];
                for (slot, a) in group.iter_mut().zip(triangle) {
                    slot[at % LANES] = (a * unit) as f32;
                }
            } else {
                part.steep.push(((first + at) as u32, factors.q.iter().map(|&q| q as f32).collect()));
            }
        }
        part
    }

    /// The same windows with another emphasis; made on all threads.
    pub fn emphasised(&self, emphasis: Emphasis) -> Self {
        let mut this = Self {
            sequence: Arc::clone(&self.sequence),
            emphasis: Some(emphasis),
            whitening: vec![],
            steep: vec![],
            bases: vec![],
            shortest: vec![],
            projections: None,
            ..*self
        };
        let firsts: Vec<usize> = this.firsts().collect();
        let parts = firsts.into_par_iter().map(|first| this.part(first)).collect();
        this.put_together(parts);
        this
    }

    /// Bytes of the table, nearly.
    pub fn memory(windows: usize, rows: usize, columns: usize) -> usize {
        windows.div_ceil(LANES) * rows * columns * LANES * 4 + Projections::memory(windows, rows)
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Windows that are screened with a basis of their own.
    pub fn steep(&self) -> usize {
        self.steep.len()
    }

    /// Weights a window covers.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Coefficients a window takes.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// What errors count, where they do not count alike.
    pub fn emphasis(&self) -> Option<&Emphasis> {
        self.emphasis.as_ref()
    }

    /// A lower bound of the norm of any combination of a window's columns (in units of the centred integers) with integers that are not
    /// all 0; infinite where the columns are dependent.
    pub fn shortest(&self, window: u32) -> f64 {
        f64::from(self.shortest[window as usize])
    }

    /// The position whose basis window `window` is.
    pub fn position(&self, window: usize) -> usize {
        (window as u64 * self.sequence.len() as u64 / self.windows as u64) as usize
    }

    /// The seed of window `window`.
    pub fn seed(&self, window: usize) -> u32 {
        self.sequence.state(self.position(window))
    }

    /// An upper bound of the error of a captured energy, for unit vectors: see the module's documentation.
    pub fn margin(&self) -> f32 {
        let (rows, columns) = (self.rows as f32, self.columns as f32);
        let relative = if self.whitening.is_empty() { 2.0 } else { 2.0 * rows.sqrt() * STEEP as f32 };
        (relative * columns.sqrt() * (rows + columns + 4.0) + columns + 2.0) * 1.1 * (f32::EPSILON / 2.0)
    }

    /// The numbers of a window without emphasis, row-major: `v - 2^(K-1)`.
    pub fn centred(&self, window: usize) -> Vec<i32> {
        let half = 1i32 << (self.sequence.register().width() - 1);
        let states = self.sequence.states();
        let first = (self.position(window) + 1) % states.len();
        states.iter().cycle().skip(first).take(self.rows * self.columns).map(|&state| state as i32 - half).collect()
    }

    /// The factors of one window, or `None` where its columns are dependent.
    pub fn factors(&self, window: usize) -> Option<Factors> {
        let mut factors = Factors::default();
        self.factors_into(window, &mut factors).then_some(factors)
    }

    /// [`factors`](Self::factors) into memory at hand; false where the columns are dependent.
    pub fn factors_into(&self, window: usize, factors: &mut Factors) -> bool {
        let half = f64::from(1u32 << (self.sequence.register().width() - 1));
        let states = self.sequence.states();
        let (first, size) = (self.position(window) + 1, self.rows * self.columns);
        factors.centred.clear();
        let states = states.iter().cycle().skip(first % states.len());
        factors.centred.extend(states.take(size).map(|&state| f64::from(state) - half));
        factors.factor(self.rows, self.columns, self.emphasis())
    }

    /// Screens up to [`BATCH`] unit vectors (scaled by the emphasis already, if there is one) against every window. `vectors` holds
    /// `rows` values each.
    pub fn screen(&self, vectors: &[f32], survivors: &mut [Survivors]) {
        self.screen_with(Path::fastest(), vectors, survivors);
    }

    /// [`screen`](Self::screen) on a path of one's choice.
    pub fn screen_with(&self, path: Path, vectors: &[f32], survivors: &mut [Survivors]) {
        assert!(vectors.len() == survivors.len() * self.rows && survivors.len() <= BATCH);
        let quads = survivors.len().div_ceil(QUAD);
        let dealt = |vectors: &[f32]| {
            let mut weights = vec![[0f32; QUAD]; quads * self.rows];
            for (vector, values) in vectors.chunks_exact(self.rows).enumerate() {
                for (row, &value) in values.iter().enumerate() {
                    weights[vector / QUAD * self.rows + row][vector % QUAD] = value;
                }
            }
            weights
        };
        let weights = dealt(vectors);
        // The sequence knows nothing of the emphasis, the bases do.
        let emphasised = match &self.emphasis {
            None => weights.clone(),
            Some(emphasis) => {
                let mut vectors = vectors.to_vec();
                vectors.chunks_exact_mut(self.rows).for_each(|vector| emphasis.apply_transposed(vector));
                dealt(&vectors)
            }
        };
        // Lanes without a vector never reach their threshold.
        let mut thresholds = vec![[f32::INFINITY; QUAD]; quads];
        for (vector, survivors) in survivors.iter().enumerate() {
            thresholds[vector / QUAD][vector % QUAD] = survivors.threshold;
        }
        let projections = self.projections.as_ref().filter(|_| path == Path::Avx512);
        let pass = Pass {
            values: &self.sequence.values()[1..],
            whitening: if projections.is_some() { &[] } else { &self.whitening },
            bases: &self.bases,
            rows: self.rows,
            sequence_weights: &emphasised,
            basis_weights: &weights,
        };
        kernel::screen(path, self.columns, &pass, &mut thresholds, &mut |basis, vector, group, energies| {
            let survivors = &mut survivors[vector];
            for (lane, &energy) in energies.iter().enumerate() {
                let slot = group * LANES + lane;
                let window = if basis { self.steep.get(slot).copied() } else { Some(slot as u32) };
                if let Some(window) = window.filter(|&window| (window as usize) < self.windows)
                    && energy >= survivors.threshold
                {
                    survivors.push(energy, window);
                }
            }
            survivors.threshold
        });
        #[cfg(target_arch = "x86_64")]
        if let Some(projections) = projections {
            let limits: Vec<f64> = survivors.iter().map(Survivors::open).collect();
            let mut told = |vector: usize, window: u32| {
                let survivors = &mut survivors[vector];
                let captured = self.captured(window as usize, &vectors[vector * self.rows..][..self.rows]);
                if captured >= survivors.threshold {
                    survivors.push(captured, window);
                }
                survivors.open()
            };
            projections.screen(vectors, &limits, &mut told);
        }
    }

    /// The energy of a vector that a window captures, as kernels compute it; nothing where the window has a basis of its own.
    #[cfg(target_arch = "x86_64")]
    fn captured(&self, window: usize, vector: &[f32]) -> f32 {
        match self.columns {
            1 => self.captured_by::<1>(window, vector),
            2 => self.captured_by::<2>(window, vector),
            3 => self.captured_by::<3>(window, vector),
            4 => self.captured_by::<4>(window, vector),
            5 => self.captured_by::<5>(window, vector),
            _ => self.captured_by::<6>(window, vector),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn captured_by<const P: usize>(&self, window: usize, vector: &[f32]) -> f32 {
        let entries = const { P * (P + 1) / 2 };
        let triangle = &self.whitening[window / LANES * entries..][..entries];
        let mut products = [0f32; P];
        let values = &self.sequence.values()[1 + window..][..self.rows * P];
        for (row, weight) in values.as_chunks::<P>().0.iter().zip(vector) {
            products.iter_mut().zip(row).for_each(|(product, value)| *product += value * weight);
        }
        let (mut energy, mut entry) = (0f32, 0);
        for row in 0..P {
            let mut sum = 0f32;
            for product in &products[..=row] {
                sum += product * triangle[entry][window % LANES];
                entry += 1;
            }
            energy += sum * sum;
        }
        energy
    }
}
