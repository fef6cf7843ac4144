//! Passing vectors over the projections of all windows, with 8-bit dot products or by tiles.

use crate::factors::dot;
use crate::projections::{LANES, LARGEST, MOST_ROWS, Projections, entries};
use crate::tiles::{self, Tiles};

/// Products of entries, four a word, at most.
const MOST_WORDS: usize = (MOST_ROWS * (MOST_ROWS + 1) / 2).div_ceil(4);

/// Vectors whose sums are in registers together.
const TOGETHER: usize = 16;

/// Words of sixteen lanes of the table that all vectors pass before the next: 64 KiB.
const TILE: usize = 1024;

/// Groups of windows of the first tile.
const FIRST: usize = 4;

/// What bounds are widened by, for roundings of `f64` and for lengths of vectors in `f32`.
const NEARLY: f64 = 1e-5;

/// A vector as the table meets it.
struct Query {
    words: [i32; MOST_WORDS],
    /// What 128 in every entry of the table adds.
    offset: i32,
    /// Of the captured energy, what a product of 1 stands for and how much it may be off.
    unit: f64,
    slack: f64,
}

impl Projections {
    fn query(&self, vector: &[f32]) -> Query {
        let mut products = Vec::with_capacity(4 * MOST_WORDS);
        entries(self.rows, |row, column, weight| {
            products.push(weight * f64::from(vector[row]) * f64::from(vector[column]));
        });
        let largest = products.iter().fold(f64::MIN_POSITIVE, |largest, product| largest.max(product.abs()));
        let step = largest / LARGEST;
        let codes: Vec<f64> = products.iter().map(|product| (product / step).round()).collect();
        let lost: Vec<f64> = products.iter().zip(&codes).map(|(product, code)| product - step * code).collect();
        let mut words = [0i32; MOST_WORDS];
        for (at, &code) in codes.iter().enumerate() {
            words[at / 4] |= i32::from(code as i8 as u8) << (at % 4 * 8);
        }
        let off = self.lost.sqrt() + self.longest.sqrt() * dot(&lost, &lost).sqrt();
        Query {
            words,
            offset: -128 * codes.iter().map(|&code| code as i32).sum::<i32>(),
            unit: step * self.step(),
            slack: off * (1.0 + NEARLY) + NEARLY,
        }
    }

    /// What sums begin with, so that those of windows which may leave no more than `limit` end at 0 or above.
    fn start(&self, query: &Query, limit: f64) -> i32 {
        let least = (1.0 - limit - self.average() - query.slack) / query.unit;
        // Products stay below 2^22; what is infinite is never or always reached.
        query.offset - least.floor().clamp(-1e8, 1e8) as i32
    }

    /// Reports, for each of some unit vectors, every window that may leave no more of it than its limit (and some others); whoever is told
    /// of a vector's window answers with the limit from then on. Runs where AVX-512 is.
    pub(crate) fn screen(&self, vectors: &[f32], limits: &[f64], told: &mut impl FnMut(usize, u32) -> f64) {
        self.screen_with(tiles::available(), vectors, limits, told);
    }

    fn screen_with(&self, tiles: bool, vectors: &[f32], limits: &[f64], told: &mut impl FnMut(usize, u32) -> f64) {
        assert!(vectors.len() == limits.len() * self.rows);
        assert!(seedpress_simd::Level::Avx512.is_supported());
        let mut packs: Vec<Pack> = vectors
            .chunks(TOGETHER * self.rows)
            .zip(limits.chunks(TOGETHER))
            .map(|(vectors, limits)| Pack::new(self, vectors, limits))
            .collect();
        let tiles = tiles && Self::words(self.rows) <= Tiles::MOST_WORDS;
        // Groups come in pairs.
        let (words, groups) = (Self::words(self.rows), self.windows.div_ceil(LANES).next_multiple_of(2));
        // A tile of the table stays in the first cache while all vectors pass. The first are small, so that there soon is a good limit.
        let mut first = 0;
        while first < groups {
            let end = (first + first.clamp(FIRST, (TILE / words).next_multiple_of(2))).min(groups);
            let codes = &self.codes[first * words..end * words];
            for (number, pack) in packs.iter_mut().enumerate() {
                // SAFETY: the features were detected.
                #[allow(unsafe_code)]
                unsafe {
                    match pack.queries.len() {
                        0..=4 => pack.pass::<4>(words, codes),
                        _ if tiles => pack.pass_tiles(words, codes),
                        5..=8 => pack.pass::<8>(words, codes),
                        _ => pack.pass::<TOGETHER>(words, codes),
                    }
                }
                for (at, query) in pack.queries.iter().enumerate() {
                    let found = &mut pack.found[at];
                    // The best first: most others are then out of reach.
                    if let Some(best) = (0..found.len()).max_by_key(|&index| found[index].0) {
                        found.swap(0, best);
                    }
                    let before = pack.starts[at];
                    for (sum, place) in found.drain(..) {
                        let window = first * LANES + place as usize;
                        if window < self.windows && sum - before + pack.starts[at] >= 0 {
                            pack.starts[at] = self.start(query, told(number * TOGETHER + at, window as u32));
                        }
                    }
                }
            }
            first = end;
        }
    }
}

/// Vectors that pass over the table together.
struct Pack {
    queries: Vec<Query>,
    /// `[word][vector]`: four products of entries.
    factors: [[i32; TOGETHER]; MOST_WORDS],
    /// The same, `[vector][word]`.
    rows: [[i32; Tiles::MOST_WORDS]; TOGETHER],
    /// What sums begin with. Missing vectors end where they begin, below 0.
    starts: [i32; TOGETHER],
    /// For each vector the sums that reach 0, and places of windows in the tile.
    found: [Vec<(i32, u32)>; TOGETHER],
}

impl Pack {
    fn new(table: &Projections, vectors: &[f32], limits: &[f64]) -> Self {
        let queries: Vec<Query> = vectors.chunks_exact(table.rows).map(|vector| table.query(vector)).collect();
        let (mut factors, mut starts) = ([[0i32; TOGETHER]; MOST_WORDS], [-1i32; TOGETHER]);
        for (at, (query, &limit)) in queries.iter().zip(limits).enumerate() {
            factors.iter_mut().zip(&query.words).for_each(|(factors, &word)| factors[at] = word);
            starts[at] = table.start(query, limit);
        }
        let rows = std::array::from_fn(|at| std::array::from_fn(|word| factors[word][at]));
        Self { queries, factors, rows, starts, found: Default::default() }
    }

    /// Finds the windows of a tile whose sums reach 0, for the first `N` vectors.
    ///
    /// # Safety
    /// AVX-512 F and VNNI must be available.
    #[allow(unsafe_code)]
    // Constant indices keep the sums in registers.
    #[allow(clippy::needless_range_loop)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn pass<const N: usize>(&mut self, words: usize, codes: &[[u32; LANES]]) {
        use std::arch::x86_64::*;
        for (group, codes) in codes.chunks_exact(words).enumerate() {
            let mut sums = [_mm512_setzero_si512(); N];
            for t in 0..N {
                sums[t] = _mm512_set1_epi32(self.starts[t]);
            }
            for (codes, factors) in codes.iter().zip(&self.factors) {
                // SAFETY: sixteen words are read.
                let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) };
                for t in 0..N {
                    sums[t] = _mm512_dpbusd_epi32(sums[t], codes, _mm512_set1_epi32(factors[t]));
                }
            }
            // Negative where every vector's sum is.
            let mut all = sums[0];
            for t in 1..N {
                all = _mm512_and_si512(all, sums[t]);
            }
            if _mm512_cmpge_epi32_mask(all, _mm512_setzero_si512()) == 0 {
                continue;
            }
            for t in 0..N {
                let reached = _mm512_cmpge_epi32_mask(sums[t], _mm512_setzero_si512());
                if reached != 0 {
                    let mut lanes = [0i32; LANES];
                    // SAFETY: sixteen numbers are written.
                    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), sums[t]) };
                    self.note(t, group, reached, &lanes);
                }
            }
        }
    }

    /// Notes the lanes of a group whose sums reach 0.
    fn note(&mut self, vector: usize, group: usize, mut reached: u16, sums: &[i32; LANES]) {
        while reached != 0 {
            let lane = reached.trailing_zeros() as usize;
            reached &= reached - 1;
            self.found[vector].push((sums[lane], (group * LANES + lane) as u32));
        }
    }

    /// [`pass`](Self::pass) of all vectors, products by tiles.
    ///
    /// # Safety
    /// Tiles must be available, and none in use.
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn pass_tiles(&mut self, words: usize, codes: &[[u32; LANES]]) {
        use std::arch::x86_64::*;
        // SAFETY: the caller says so.
        let tiles = unsafe { Tiles::new(words, &self.rows) };
        let starts = self.starts;
        let mut sums = [[[0i32; LANES]; TOGETHER]; 2];
        for (pair, codes) in codes.chunks_exact(2 * words).enumerate() {
            tiles.products(codes, &mut sums);
            for (half, sums) in sums.iter().enumerate() {
                let moved = |t: usize| {
                    // SAFETY: sixteen numbers are read.
                    let sums = unsafe { _mm512_loadu_si512(sums[t].as_ptr().cast()) };
                    _mm512_add_epi32(sums, _mm512_set1_epi32(starts[t]))
                };
                // Negative where every vector's sum is.
                let mut all = moved(0);
                for t in 1..TOGETHER {
                    all = _mm512_and_si512(all, moved(t));
                }
                if _mm512_cmpge_epi32_mask(all, _mm512_setzero_si512()) == 0 {
                    continue;
                }
                for t in 0..TOGETHER {
                    let reached = _mm512_cmpge_epi32_mask(moved(t), _mm512_setzero_si512());
                    if reached != 0 {
                        let lanes = sums[t].map(|sum| sum + starts[t]);
                        self.note(t, 2 * pair + half, reached, &lanes);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factors::Factors;
    use crate::sequence::Sequence;

    #[test]
    fn no_window_that_may_win_is_passed_over() {
        if !seedpress_simd::Level::Avx512.is_supported() {
            return;
        }
        for (width, rows, columns) in [(11, 8, 3), (10, 12, 4), (9, 16, 6), (8, 8, 1), (7, 10, 2), (4, 9, 6)] {
            let sequence = Sequence::new(width, None, 1).unwrap();
            let half = f64::from(1u32 << (width - 1));
            let mut table = Projections::new(rows, columns);
            let bases: Vec<Vec<f64>> = (0..sequence.len())
                .map(|at| {
                    let mut factors = Factors::default();
                    let states = sequence.states().iter().cycle().skip(at + 1).take(rows * columns);
                    factors.centred.extend(states.map(|&state| f64::from(state) - half));
                    let basis = if factors.factor(rows, columns, None) { factors.q } else { Vec::new() };
                    table.push(&basis);
                    basis
                })
                .collect();
            let mut state = 5u64;
            let mut next = move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 24) as f32 - 0.5
            };
            // The last is nothing but one entry.
            let mut vectors: Vec<f32> = (0..rows * 6).map(|_| next() + next() * next()).collect();
            vectors.extend((0..rows).map(|row| f32::from(u8::from(row == 2))));
            for vector in vectors.chunks_exact_mut(rows) {
                let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
                vector.iter_mut().for_each(|v| *v /= norm);
            }
            let left = |vector: usize, window: usize| -> f64 {
                let vector: Vec<f64> = vectors[vector * rows..][..rows].iter().map(|&v| f64::from(v)).collect();
                1.0 - bases[window].chunks_exact(rows).map(|q| dot(q, &vector).powi(2)).sum::<f64>()
            };
            for limit in [0.02, 0.1, 0.3, f64::INFINITY, -1.0] {
                let mut seen = vec![vec![false; bases.len()]; 7];
                table.screen_with(false, &vectors, &[limit; 7], &mut |vector, window| {
                    seen[vector][window as usize] = true;
                    limit
                });
                if tiles::available() {
                    let mut by_tiles = vec![vec![false; bases.len()]; 7];
                    table.screen_with(true, &vectors, &[limit; 7], &mut |vector, window| {
                        by_tiles[vector][window as usize] = true;
                        limit
                    });
                    assert!(seen == by_tiles);
                }
                for (vector, seen) in seen.iter().enumerate() {
                    for (window, &seen) in seen.iter().enumerate() {
                        let left = left(vector, window);
                        // What may win is told of, and of what is far from it nothing.
                        assert!(seen || left > limit, "{rows} x {columns}");
                        assert!(!seen || left < limit + 0.15, "{rows} x {columns} at {limit}: {left}");
                    }
                }
            }
        }
    }
}
