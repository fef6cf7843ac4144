//! Passing over windows by one product a window: the captured energy is linear in the products of a vector's entries.
//!
//! `|Q^T v|^2 = <Q Q^T, v v^T>`, so what a window captures is the inner product of its projection with the vector's products: of `C` rows
//! `C (C + 1) / 2` terms, of which 8-bit dot products take four a lane and no step follows. (36 terms for the paper's blocks of 8 and 78
//! for those of 12.) Windows need no common sequence for that.
//!
//! # The margin
//!
//! With `c = P / C`, which is what a window captures of a vector on average, and `A = Q Q^T - c I`, `|v|^2 = 1`:
//! `|Q^T v|^2 = c + <A, v v^T>`. Entries beside the diagonal are taken once, times the root of 2, on either side, so that lengths are those of
//! the matrices. Rounded to 8 bits, `A = s p + d` and `v v^T = t x + e`: `|<A, v v^T> - s t <p, x>| <= |d| + |s p| |e|`, with the largest
//! `|d|` and `|s p|` of all windows. A window is passed over only where it stays below the limit by more.

/// Rows of a window at most: beyond, the products of entries are too many.
pub(crate) const MOST_ROWS: usize = 16;

/// Largest code.
pub(crate) const LARGEST: f64 = 127.0;

/// Windows side by side.
pub(crate) const LANES: usize = 16;

/// Projections of windows as 8-bit codes.
#[derive(Debug)]
pub(crate) struct Projections {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) windows: usize,
    /// `[group][word][lane]`, four codes plus 128, the first lowest.
    pub(crate) codes: Vec<[u32; LANES]>,
    /// The largest squares of `|d|` and `|s p|`.
    pub(crate) lost: f64,
    pub(crate) longest: f64,
}

/// Calls `entry(row, column, weight)` for the entries of a symmetric matrix of this many rows.
pub(crate) fn entries(rows: usize, mut entry: impl FnMut(usize, usize, f64)) {
    for row in 0..rows {
        entry(row, row, 1.0);
        for column in row + 1..rows {
            entry(row, column, std::f64::consts::SQRT_2);
        }
    }
}

impl Projections {
    /// Whether windows of so many rows are passed over faster so.
    pub(crate) fn fit(rows: usize) -> bool {
        rows <= MOST_ROWS
    }

    /// Bytes of a table.
    pub(crate) fn memory(windows: usize, rows: usize) -> usize {
        if Self::fit(rows) { windows.next_multiple_of(2 * LANES) * Self::words(rows) * 4 } else { 0 }
    }

    pub(crate) fn words(rows: usize) -> usize {
        (rows * (rows + 1) / 2).div_ceil(4)
    }

    /// No windows yet.
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, windows: 0, codes: Vec::new(), lost: 0.0, longest: 0.0 }
    }

    /// What a window captures on average.
    pub(crate) fn average(&self) -> f64 {
        self.columns as f64 / self.rows as f64
    }

    /// What a code of 1 stands for: no entry is larger than 127 of these.
    pub(crate) fn step(&self) -> f64 {
        let average = self.average();
        average.max(1.0 - average).max(std::f64::consts::FRAC_1_SQRT_2) / LARGEST
    }

    /// Adds a window: an orthonormal basis of it, column by column; nothing where it has none.
    pub(crate) fn push(&mut self, basis: &[f64]) {
        let (words, lane) = (Self::words(self.rows), self.windows % LANES);
        let group = self.windows / LANES * words;
        if self.codes.len() <= group {
            // Groups come in pairs.
            self.codes.resize(group + 2 * words, [0; LANES]);
        }
        let (average, step) = (self.average(), self.step());
        let (mut at, mut lost, mut longest) = (0, 0.0, 0.0);
        entries(self.rows, |row, column, weight| {
            let projection = basis.chunks_exact(self.rows).fold(0.0, |sum, q| sum + q[row] * q[column]);
            let exact = weight * (projection - if row == column { average } else { 0.0 });
            let code = (exact / step).round().clamp(-LARGEST, LARGEST);
            lost += (exact - step * code).powi(2);
            longest += (step * code).powi(2);
            self.codes[group + at / 4][lane] |= ((code + 128.0) as u32) << (at % 4 * 8);
            at += 1;
        });
        self.lost = self.lost.max(lost);
        self.longest = self.longest.max(longest);
        self.windows += 1;
    }

    /// Adds another table's windows behind one's own, which are whole groups.
    pub(crate) fn append(&mut self, other: Self) {
        debug_assert!(self.windows.is_multiple_of(2 * LANES));
        self.codes.extend(other.codes);
        self.windows += other.windows;
        self.lost = self.lost.max(other.lost);
        self.longest = self.longest.max(other.longest);
    }
}
