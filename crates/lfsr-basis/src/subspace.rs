//! How much of a vector every window's column space captures: the screening step of an exhaustive search.
//!
//! The least-squares residual of `w` on the columns of `U` is `|w|^2 - |Q^T w|^2`, with `Q` an orthonormal basis of the columns, and
//! it bounds the error of *any* coefficients from below, quantised or not. The table holds `Q` of every window in `f32`, eight
//! windows side by side; a few blocks of weights pass over it together, so that it streams from cache once for all of them.
//!
//! # The margin
//!
//! Screening may use any instruction set because it only ever *discards*, and only by more than its own error. With `u = 2^-24`, a
//! unit vector rounded to `f32`, `Q` rounded to `f32` and sums of `C` products in any order, fused or not, every inner product is off
//! by at most `(C + 3) u` (Cauchy-Schwarz on the absolute values; second-order terms are covered below), hence the captured energy
//! by at most `2 sqrt(P) (C + 3) u + (P + 2) u`. [`Subspaces::margin`] is `4 P (C + 8) u`, more than that for every shape.

use std::sync::Arc;

use crate::sequence::Sequence;

/// Windows side by side in the table.
const LANES: usize = 8;
/// Blocks that pass over the table together.
pub const BATCH: usize = 4;

/// Orthonormal bases of the column spaces of many windows, for vectors of `rows` weights.
#[derive(Debug)]
pub struct Subspaces {
    sequence: Arc<Sequence>,
    rows: usize,
    columns: usize,
    emphasis: Option<Vec<f64>>,
    windows: usize,
    /// `[group][column][row][lane]`.
    table: Vec<[f32; LANES]>,
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

    /// Every window with a residual below this is among the survivors.
    pub fn limit(&self) -> f64 {
        f64::from(1.0 - self.threshold - self.margin)
    }

    /// The surviving windows, the best first (equal ones by number).
    pub fn ranked(&mut self) -> &[(f32, u32)] {
        let threshold = self.threshold;
        self.found.retain(|entry| entry.0 >= threshold);
        self.found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        &self.found
    }
}

/// `U = Q R` of one window in `f64`.
#[derive(Debug, Clone)]
pub struct Factors {
    /// Orthonormal columns, column-major.
    pub q: Vec<f64>,
    /// Upper triangle, row-major `columns x columns`.
    pub r: Vec<f64>,
    /// The window itself, row-major, unweighted: exact integers `v - 2^(K-1)`.
    pub centred: Vec<f64>,
}

impl Subspaces {
    /// The windows of `rows x columns` at `candidates` evenly spread positions (0, or more than there are: all).
    /// `emphasis` scales each row, so that errors count by its square.
    pub fn new(
        sequence: Arc<Sequence>,
        rows: usize,
        columns: usize,
        candidates: usize,
        emphasis: Option<Vec<f64>>,
    ) -> Self {
        assert!(columns <= rows && rows * columns <= Sequence::PADDING, "a window of {rows} x {columns} does not fit");
        let windows = if candidates == 0 { sequence.len() } else { candidates.min(sequence.len()) };
        let size = rows * columns;
        let mut this = Self { sequence, rows, columns, emphasis, windows, table: Vec::new() };
        let mut table = vec![[0f32; LANES]; windows.div_ceil(LANES) * size];
        for window in 0..windows {
            // A window without full rank stays zero: it captures nothing and is never chosen.
            if let Some(factors) = this.factors(window) {
                let group = &mut table[window / LANES * size..][..size];
                for (slot, &q) in group.iter_mut().zip(&factors.q) {
                    slot[window % LANES] = q as f32;
                }
            }
        }
        this.table = table;
        this
    }

    /// Bytes of the table.
    pub fn memory(windows: usize, rows: usize, columns: usize) -> usize {
        windows.div_ceil(LANES) * rows * columns * LANES * 4
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Weights a window covers.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Coefficients a window takes.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// What each row is scaled by, where errors do not count alike.
    pub fn emphasis(&self) -> Option<&[f64]> {
        self.emphasis.as_deref()
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
        (4 * self.columns * (self.rows + 8)) as f32 * f32::EPSILON / 2.0
    }

    /// The factors of one window, or `None` where its columns are dependent. Gram-Schmidt, each column twice: orthonormal to working
    /// precision whatever the condition.
    pub fn factors(&self, window: usize) -> Option<Factors> {
        let (rows, columns) = (self.rows, self.columns);
        let half = f64::from(1u32 << (self.sequence.register().width() - 1));
        let states = self.sequence.states();
        let mut at = self.position(window);
        let mut centred = Vec::with_capacity(rows * columns);
        for _ in 0..rows * columns {
            at += 1;
            if at == states.len() {
                at = 0;
            }
            centred.push(f64::from(states[at]) - half);
        }
        let mut q = vec![0.0; rows * columns];
        let mut r = vec![0.0; columns * columns];
        for column in 0..columns {
            let (done, rest) = q.split_at_mut(column * rows);
            let vector = &mut rest[..rows];
            for (row, value) in vector.iter_mut().enumerate() {
                let scale = self.emphasis.as_ref().map_or(1.0, |emphasis| emphasis[row]);
                *value = centred[row * columns + column] * scale;
            }
            let before = dot(vector, vector);
            for _ in 0..2 {
                for (earlier, basis) in done.chunks_exact(rows).enumerate() {
                    let product = dot(basis, vector);
                    r[earlier * columns + column] += product;
                    vector.iter_mut().zip(basis).for_each(|(v, b)| *v -= product * b);
                }
            }
            let after = dot(vector, vector);
            // Relative length 1e-10 after projection: the windows of every register in use lie far above.
            if after <= before * 1e-20 {
                return None;
            }
            let length = after.sqrt();
            r[column * columns + column] = length;
            vector.iter_mut().for_each(|v| *v /= length);
        }
        Some(Factors { q, r, centred })
    }

    /// Screens up to [`BATCH`] unit vectors against every window. `vectors` holds `rows` values each.
    pub fn screen(&self, vectors: &[f32], survivors: &mut [Survivors]) {
        self.screen_with(Path::fastest(), vectors, survivors);
    }

    /// [`screen`](Self::screen) on a path of one's choice.
    pub fn screen_with(&self, path: Path, vectors: &[f32], survivors: &mut [Survivors]) {
        assert!(vectors.len() == survivors.len() * self.rows && survivors.len() <= BATCH);
        let mut padded = vec![[0f32; BATCH]; self.rows];
        for (block, vector) in vectors.chunks_exact(self.rows).enumerate() {
            vector.iter().zip(&mut padded).for_each(|(&value, row)| row[block] = value);
        }
        kernel::screen(path, &self.table, &padded, self.columns, |group, captured| {
            for (survivors, energies) in survivors.iter_mut().zip(captured) {
                if energies.iter().fold(false, |any, &energy| any | (energy >= survivors.threshold)) {
                    for (lane, &energy) in energies.iter().enumerate() {
                        let window = group * LANES + lane;
                        if energy >= survivors.threshold && window < self.windows {
                            survivors.push(energy, window as u32);
                        }
                    }
                }
            }
        });
    }
}

/// One fixed order of evaluation: the sum of products from the first to the last.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y)
}

/// Which instructions screening uses. Results differ within the margin, choices never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Plain Rust for any machine.
    Portable,
    /// AVX2 with fused multiply-add.
    Avx2,
}

impl Path {
    /// The fastest path of this machine.
    pub fn fastest() -> Self {
        if Self::Avx2.is_supported() { Self::Avx2 } else { Self::Portable }
    }

    /// Whether this machine has it.
    pub fn is_supported(self) -> bool {
        match self {
            Path::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Path::Avx2 => false,
        }
    }
}

#[allow(unsafe_code)]
mod kernel {
    //! One loop, compiled once for any machine and once for AVX2 with fused multiply-add.

    use super::{BATCH, LANES, Path};

    pub fn screen(
        path: Path,
        table: &[[f32; LANES]],
        vectors: &[[f32; BATCH]],
        columns: usize,
        sink: impl FnMut(usize, &[[f32; LANES]; BATCH]),
    ) {
        match path {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the features the function is compiled for were detected on this machine.
            Path::Avx2 if path.is_supported() => unsafe { avx2(table, vectors, columns, sink) },
            _ => body::<false>(table, vectors, columns, sink),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(
        table: &[[f32; LANES]],
        vectors: &[[f32; BATCH]],
        columns: usize,
        sink: impl FnMut(usize, &[[f32; LANES]; BATCH]),
    ) {
        body::<true>(table, vectors, columns, sink);
    }

    #[inline(always)]
    fn body<const FUSED: bool>(
        table: &[[f32; LANES]],
        vectors: &[[f32; BATCH]],
        columns: usize,
        mut sink: impl FnMut(usize, &[[f32; LANES]; BATCH]),
    ) {
        let rows = vectors.len();
        let fma = |a: f32, b: f32, c: f32| if FUSED { a.mul_add(b, c) } else { a * b + c };
        for (group, bases) in table.chunks_exact(rows * columns).enumerate() {
            let mut captured = [[0f32; LANES]; BATCH];
            for basis in bases.chunks_exact(rows) {
                let mut products = [[0f32; LANES]; BATCH];
                for (lanes, weights) in basis.iter().zip(vectors) {
                    for (product, &weight) in products.iter_mut().zip(weights) {
                        for lane in 0..LANES {
                            product[lane] = fma(weight, lanes[lane], product[lane]);
                        }
                    }
                }
                for (energy, product) in captured.iter_mut().zip(&products) {
                    for lane in 0..LANES {
                        energy[lane] = fma(product[lane], product[lane], energy[lane]);
                    }
                }
            }
            sink(group, &captured);
        }
    }
}
