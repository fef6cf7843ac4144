//! How much of a vector every window captures: the screening step of an exhaustive search.
//!
//! The least-squares residual of `v` on the columns of `U` is `|v|^2 - |Q^T v|^2`, with `Q` an orthonormal basis of the columns, and
//! it bounds the error of *any* coefficients from below, quantised or not. Windows of one sequence share their work: column `p` of
//! the window at `i` meets `v` in `z[i + p]`, `z[j] = sum over c of v[c] x[j + c P]`, so `C` multiply-adds a window serve all `P`
//! columns, and `Q^T v = R^-T z` costs a triangle more. `R^-T` of every window is a table of `P (P + 1) / 2` floats, eight windows
//! side by side, which a batch of vectors passes together, tile by tile.
//!
//! With 8-bit dot products at hand windows are passed over by their rounded projections (`projections`), and only the
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
use seedpress_simd::Level;

use crate::emphasis::Emphasis;
use crate::factors::Factors;
use crate::kernel::LANES;
use crate::projections::Projections;
use crate::sequence::Sequence;

/// Vectors that pass over the table together at most: enough that the table's way from memory does not count.
pub const BATCH: usize = 256;

/// Frobenius norm of `R^-T` above which a window is too ill-conditioned to be whitened in `f32`.
pub const STEEP: f64 = 16.0;

/// The column spaces of many windows, for vectors of `rows` weights.
#[derive(Debug)]
pub struct Subspaces {
    pub(crate) sequence: Arc<Sequence>,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) emphasis: Option<Emphasis>,
    pub(crate) windows: usize,
    /// `R^-T`, `[group][entry][lane]`; zero where the window is among `steep`. Empty where the windows are not all of the sequence.
    pub(crate) whitening: Vec<[f32; LANES]>,
    /// Windows with a basis of their own.
    pub(crate) steep: Vec<u32>,
    /// Their bases, `[group][column][row][lane]`.
    pub(crate) bases: Vec<[f32; LANES]>,
    /// A lower bound, for each window, of the norm of any combination of its columns with integers that are not all 0.
    pub(crate) shortest: Vec<f32>,
    /// What passes over them, where rows count alike, all windows are searched, and the machine has the instructions.
    pub(crate) projections: Option<Projections>,
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
        let fit = all && self.emphasis.is_none() && Projections::fit(self.rows) && Level::Avx512.is_supported();
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
}
