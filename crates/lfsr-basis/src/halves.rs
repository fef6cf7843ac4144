//! Passing over windows by what they cannot capture.
//!
//! The residual of `v` on a window of `C` rows and `P` columns is the energy of `v` in `C - P` orthonormal directions that the window does
//! not reach; every one of them that is looked at raises a lower bound, and most windows are passed over after few. The first come in halves:
//! the upper `C / 2` rows of a window miss `m = C / 2 - P` directions, the lower half as many, and the lower half of the window at `i` is
//! the upper half of the one at `i + C P / 2`. So one table of `m` short directions a position serves both, and two 8-bit dot products of
//! four terms pass over nine windows of ten where the paper's blocks of 8 are searched. What is left meets its other `P` directions one by
//! one.
//!
//! # The margin
//!
//! Directions and vectors are rounded to 8 bits: `N = (D + d) / 127`, `w = (v + e) / 127`. Of the vector of all products, `|D^T v / 127^2 - N^T w|`
//! is at most `|d| / 127 + (1 + |d| / 127) |e| / 127`, with `|d|` the largest of any position; directions of a half and of a whole window
//! are bounded together by the sum of both squares. A window is passed over only where its products exceed the limit by more.

use crate::factors::dot;

/// What an entry of 1 is stored as.
pub const ONE: f64 = 127.0;

/// Rows of a window at most.
pub const MOST_ROWS: usize = 16;

/// Windows a kernel takes at once.
const GROUP: usize = 16;

/// Windows between two looks at the limit at most; the first are few, so that there soon is one.
const TILE: usize = 2048;
const FIRST: usize = 128;

/// Directions of all windows.
#[derive(Debug)]
pub struct Halves {
    rows: usize,
    columns: usize,
    windows: usize,
    /// `[direction][four rows][position]` of upper halves, entries plus 128, the first lowest.
    upper: Vec<Vec<u32>>,
    /// `[direction][eight rows][window]` of whole windows, likewise.
    rest: Vec<Vec<u64>>,
    /// The largest `|d| / 127`.
    rounding: f64,
}

/// Orthonormal vectors being gathered.
struct Frame {
    length: usize,
    vectors: Vec<f64>,
}

impl Frame {
    fn new(length: usize) -> Self {
        Self { length, vectors: Vec::new() }
    }

    /// Adds what of a vector the others do not reach; nothing where that is nothing.
    fn add(&mut self, vector: &[f64]) {
        let mut own = vector.to_vec();
        let before = dot(&own, &own);
        for _ in 0..2 {
            for other in self.vectors.chunks_exact(self.length) {
                let product = dot(other, &own);
                own.iter_mut().zip(other).for_each(|(own, other)| *own -= product * other);
            }
        }
        let after = dot(&own, &own);
        if after > before * 1e-20 {
            let norm = after.sqrt();
            self.vectors.extend(own.iter().map(|entry| entry / norm));
        }
    }

    /// Adds a direction that none of the others reaches.
    fn complete(&mut self) {
        let missed = |row: usize| -> f64 {
            1.0 - self.vectors.iter().skip(row).step_by(self.length).map(|entry| entry * entry).sum::<f64>()
        };
        let best = (0..self.length).fold(0, |best, row| if missed(row) > missed(best) { row } else { best });
        let mut unit = vec![0.0; self.length];
        unit[best] = 1.0;
        self.add(&unit);
    }

    fn last(&self, count: usize) -> &[f64] {
        &self.vectors[self.vectors.len() - count * self.length..]
    }
}

fn rounded(entry: f64) -> f64 {
    (entry * ONE).round()
}

/// Rounded entries as bytes of a number, plus 128.
fn packed(entries: &[f64]) -> u64 {
    entries.iter().rev().fold(0, |packed, &entry| packed << 8 | (rounded(entry) + 128.0) as u64)
}

/// The squared rounding error of some entries.
fn lost(entries: &[f64]) -> f64 {
    entries.iter().map(|&entry| (entry - rounded(entry) / ONE).powi(2)).sum()
}

impl Halves {
    /// Whether windows of this shape are passed over faster so: where each half misses one direction, as in the paper's blocks of 8 with 3
    /// coefficients. With more directions (blocks of 12 with 4) there is too little to a first look at them.
    pub fn fit(rows: usize, columns: usize) -> bool {
        rows == 2 * (columns + 1) && rows <= MOST_ROWS
    }

    /// Bytes of the tables.
    pub fn memory(windows: usize, rows: usize, columns: usize) -> usize {
        let short = (rows / 2).saturating_sub(columns) * rows.div_ceil(8) * 4;
        if Self::fit(rows, columns) { windows * (short + columns * rows.div_ceil(8) * 8) } else { 0 }
    }

    /// Directions of all windows of a cycle of centred values, the first value that of the first window.
    pub fn new(values: &[f64], rows: usize, columns: usize) -> Self {
        let (half, windows) = (rows / 2, values.len());
        let missed = half - columns;
        let shift = half * columns;
        let mut this = Self {
            rows,
            columns,
            windows,
            // A group that starts at the last window reads on.
            upper: vec![vec![0; windows + shift + GROUP]; missed * half.div_ceil(4)],
            rest: vec![vec![0; windows]; columns * rows.div_ceil(8)],
            rounding: 0.0,
        };
        let column = |start: usize, count: usize, column: usize| -> Vec<f64> {
            (0..count).map(|row| values[(start + row * columns + column) % windows]).collect()
        };
        let mut short = vec![0f64; windows * missed * half];
        let mut largest = 0f64;
        for (start, short) in short.chunks_exact_mut(missed * half).enumerate() {
            let mut frame = Frame::new(half);
            (0..columns).for_each(|at| frame.add(&column(start, half, at)));
            (0..missed).for_each(|_| frame.complete());
            short.copy_from_slice(frame.last(missed));
            largest = largest.max(lost(short));
            for (at, quad) in short.chunks_exact(half).flat_map(|direction| direction.chunks(4)).enumerate() {
                this.upper[at][start] = packed(quad) as u32;
            }
        }
        for table in &mut this.upper {
            (0..shift).for_each(|at| table[windows + at] = table[at % windows]);
        }
        let mut most = 0f64;
        for start in 0..windows {
            let mut frame = Frame::new(rows);
            (0..columns).for_each(|at| frame.add(&column(start, rows, at)));
            let later = (start + shift) % windows;
            for (place, half_start) in [(0, start), (half, later)] {
                for direction in short[half_start * missed * half..][..missed * half].chunks_exact(half) {
                    let mut whole = vec![0.0; rows];
                    whole[place..place + half].copy_from_slice(direction);
                    frame.add(&whole);
                }
            }
            // Of windows without full rank there are more.
            while frame.vectors.len() < rows * (rows - columns) {
                frame.complete();
            }
            (0..columns).for_each(|_| {
                if frame.vectors.len() < rows * rows {
                    frame.complete();
                }
            });
            let rest = frame.last(columns);
            most = most.max(lost(rest));
            for (at, eight) in rest.chunks_exact(rows).flat_map(|direction| direction.chunks(8)).enumerate() {
                this.rest[at][start] = packed(eight);
            }
        }
        // Both halves meet parts of one vector: their errors are no more than the larger.
        this.rounding = (largest + most).sqrt();
        this
    }

    /// A unit vector in 8 bits, zeros behind it, and how much its products with unit directions may be off in all.
    fn rounded(&self, vector: &[f32]) -> ([i8; MOST_ROWS], f64) {
        let mut codes = [0i8; MOST_ROWS];
        let mut lost = 0.0;
        for (code, &value) in codes.iter_mut().zip(vector) {
            let exact = f64::from(value) * ONE;
            *code = exact.round().clamp(-ONE, ONE) as i8;
            lost += (exact - f64::from(*code)).powi(2);
        }
        (codes, self.rounding + (1.0 + self.rounding) * lost.sqrt() / ONE)
    }
}

/// A vector as the tables meet it.
struct Query {
    /// Of the upper and of the lower half, four rows a number.
    halves: [[i32; 2]; 2],
    /// Eight rows a number.
    whole: [i64; 2],
    /// What 128 in every entry of the tables adds: halves, whole.
    offsets: [i32; 3],
    slack: f64,
}

impl Halves {
    fn query(&self, vector: &[f32]) -> Query {
        let (codes, slack) = self.rounded(vector);
        let half = self.rows / 2;
        let four = |codes: &[i8]| {
            let mut bytes = [0u8; 4];
            bytes.iter_mut().zip(codes).for_each(|(byte, &code)| *byte = code as u8);
            i32::from_le_bytes(bytes)
        };
        let halves = [&codes[..half], &codes[half..self.rows]];
        let quads = halves.map(|half| std::array::from_fn(|quad| four(half.get(4 * quad..).unwrap_or(&[]))));
        let whole =
            std::array::from_fn(|eight| i64::from_le_bytes(std::array::from_fn(|byte| codes[8 * eight + byte] as u8)));
        let sum = |codes: &[i8]| -128 * codes.iter().map(|&code| i32::from(code)).sum::<i32>();
        Query { halves: quads, whole, offsets: [sum(halves[0]), sum(halves[1]), sum(&codes)], slack }
    }

    /// The largest sum of squared products of a window that may leave no more than `limit`.
    fn cut(limit: f64, slack: f64) -> i32 {
        let root = ONE * ONE * (limit.max(0.0).sqrt() + slack);
        // Rounded up; what is infinite becomes the largest number.
        ((root * root) as i32).saturating_add(1)
    }

    /// Reports every window that may leave no more of a unit vector than a limit (and some others), in ascending order; whoever is told
    /// answers with the limit from then on. Runs where AVX-512 is.
    #[cfg(target_arch = "x86_64")]
    pub fn screen(&self, vector: &[f32], limit: f64, told: &mut impl FnMut(u32) -> f64) {
        assert!(crate::path::Path::Avx512.is_supported());
        // SAFETY: the features were detected.
        #[allow(unsafe_code)]
        unsafe {
            self.wide(vector, limit, told);
        }
    }

    /// # Safety
    /// AVX-512 F, BW, VL and VNNI must be available.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn wide(&self, vector: &[f32], mut limit: f64, told: &mut impl FnMut(u32) -> f64) {
        use std::arch::x86_64::*;
        let query = self.query(vector);
        let (half, shift) = (self.rows / 2, self.rows / 2 * self.columns);
        let (quads, eights) = (half.div_ceil(4), self.rows.div_ceil(8));
        let mut found = ([0u32; TILE + GROUP], [0i32; TILE + GROUP]);
        let low = _mm512_set1_epi32(0xFFFF);
        let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let square = |d: __m512i| _mm512_madd_epi16(d, _mm512_and_si512(d, low));
        let mut start = 0;
        while start < self.windows {
            let end = self.windows.min(start + start.clamp(FIRST, TILE));
            let cut = Self::cut(limit, query.slack);
            let wide_cut = _mm512_set1_epi32(cut);
            let mut count = 0;
            for at in (start..end).step_by(GROUP) {
                let mut sum = _mm512_setzero_si512();
                for tables in self.upper.chunks_exact(quads) {
                    let mut upper = _mm512_set1_epi32(query.offsets[0]);
                    let mut lower = _mm512_set1_epi32(query.offsets[1]);
                    for (quad, table) in tables.iter().enumerate() {
                        let (a, b) = (&table[at..at + GROUP], &table[at + shift..at + shift + GROUP]);
                        // SAFETY: both slices hold sixteen entries.
                        let (a, b) =
                            unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
                        upper = _mm512_dpbusd_epi32(upper, a, _mm512_set1_epi32(query.halves[0][quad]));
                        lower = _mm512_dpbusd_epi32(lower, b, _mm512_set1_epi32(query.halves[1][quad]));
                    }
                    sum = _mm512_add_epi32(sum, _mm512_add_epi32(square(upper), square(lower)));
                }
                let valid = if end - at < GROUP { (1u16 << (end - at)) - 1 } else { u16::MAX };
                let mask = _mm512_cmple_epi32_mask(sum, wide_cut) & valid;
                if mask != 0 {
                    let own = _mm512_add_epi32(places, _mm512_set1_epi32(at as i32));
                    let (windows, sums) = (&mut found.0[count..count + GROUP], &mut found.1[count..count + GROUP]);
                    // SAFETY: both slices have room for sixteen.
                    unsafe {
                        _mm512_mask_compressstoreu_epi32(windows.as_mut_ptr().cast(), mask, own);
                        _mm512_mask_compressstoreu_epi32(sums.as_mut_ptr().cast(), mask, sum);
                    }
                    count += mask.count_ones() as usize;
                }
            }
            for tables in self.rest.chunks_exact(eights) {
                let mut kept = 0;
                for at in (0..count).step_by(8) {
                    let mut product = _mm512_set1_epi64(i64::from(query.offsets[2] as u32));
                    for (table, &codes) in tables.iter().zip(&query.whole) {
                        // What lies behind the last is an older window: its product is not counted.
                        let entries: [u64; 8] = std::array::from_fn(|lane| table[found.0[at + lane] as usize]);
                        // SAFETY: eight entries of 64 bits.
                        let entries = unsafe { _mm512_loadu_si512(entries.as_ptr().cast()) };
                        product = _mm512_dpbusd_epi32(product, entries, _mm512_set1_epi64(codes));
                    }
                    let product = _mm512_add_epi32(product, _mm512_srli_epi64::<32>(product));
                    let sums = &found.1[at..at + 8];
                    // SAFETY: the slice holds eight sums.
                    let sums = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
                    // Of unit vectors all squares together are far below 2^31.
                    let squares = _mm512_cvtepi64_epi32(_mm512_mul_epi32(product, product));
                    let sums = _mm256_add_epi32(sums, squares);
                    let valid = if count - at < 8 { (1u8 << (count - at)) - 1 } else { u8::MAX };
                    let mask = _mm256_cmple_epi32_mask(sums, _mm256_set1_epi32(cut)) & valid;
                    let windows = &found.0[at..at + 8];
                    // SAFETY: eight windows are read before as many places at most, none behind them, are written.
                    unsafe {
                        let windows = _mm256_loadu_si256(windows.as_ptr().cast());
                        _mm256_mask_compressstoreu_epi32(found.0[kept..kept + 8].as_mut_ptr().cast(), mask, windows);
                        _mm256_mask_compressstoreu_epi32(found.1[kept..kept + 8].as_mut_ptr().cast(), mask, sums);
                    }
                    kept += mask.count_ones() as usize;
                }
                count = kept;
            }
            for &window in &found.0[..count] {
                limit = told(window);
            }
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factors::Factors;
    use crate::sequence::Sequence;

    /// Centred values from the first window on.
    fn values(width: u32) -> Vec<f64> {
        let sequence = Sequence::new(width, None, 1).unwrap();
        let half = f64::from(1u32 << (width - 1));
        let count = sequence.len();
        (0..count).map(|at| f64::from(sequence.states()[(at + 1) % count]) - half).collect()
    }

    /// What a window leaves of a unit vector.
    fn residual(values: &[f64], window: usize, rows: usize, columns: usize, vector: &[f32]) -> f64 {
        let mut factors = Factors::default();
        factors.centred.extend(values.iter().cycle().skip(window).take(rows * columns));
        let vector: Vec<f64> = vector.iter().map(|&v| f64::from(v)).collect();
        let full = factors.factor(rows, columns, None);
        let captured: f64 = factors.q.chunks_exact(rows).map(|q| dot(q, &vector).powi(2)).sum();
        if full { dot(&vector, &vector) - captured } else { 1.0 }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn no_window_that_may_win_is_passed_over() {
        if !crate::path::Path::Avx512.is_supported() {
            return;
        }
        for (width, rows, columns) in [(11, 8, 3), (10, 12, 4), (9, 16, 6), (8, 8, 1), (7, 10, 2)] {
            let values = values(width);
            let halves = Halves::new(&values, rows, columns);
            let mut state = 5u64;
            let mut next = move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 24) as f32 - 0.5
            };
            for _ in 0..30 {
                let mut vector: Vec<f32> = (0..rows).map(|_| next() + next() * next()).collect();
                let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
                vector.iter_mut().for_each(|v| *v /= norm);
                for limit in [0.02, 0.1, 0.3, f64::INFINITY] {
                    let mut told = vec![false; values.len()];
                    halves.screen(&vector, limit, &mut |window| {
                        told[window as usize] = true;
                        limit
                    });
                    let left: Vec<f64> =
                        (0..values.len()).map(|window| residual(&values, window, rows, columns, &vector)).collect();
                    assert!(left.iter().zip(&told).all(|(&left, &told)| told || left > limit), "{rows} x {columns}");
                    // And of those that leave far more nearly all are.
                    let far = left.iter().filter(|&&left| left.sqrt() > limit.sqrt() + 0.1).count();
                    let spared =
                        left.iter().zip(&told).filter(|(left, told)| left.sqrt() > limit.sqrt() + 0.1 && !**told);
                    assert!(spared.count() == far, "{rows} x {columns} at {limit}");
                }
            }
        }
    }
}
