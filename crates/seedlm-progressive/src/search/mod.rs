//! The exact search: which codewords are near a target.
//!
//! Everything is integer. A target is the residual of a block in units of the stage's gain times `UNIT` times
//! [`FINE`], rounded; its squared distance to `+-codeword` is, up to a constant, `-2/FINE` times the *score*
//! `|<target, codeword>| - FINE |codeword|^2 / 2`. Sums of at most 64 products of 16-bit numbers this small fit 32 bits.
//!
//! [`Index::screen`] reports every codeword whose score reaches its target's *bar* to a [`Judge`], who raises the bars as better
//! codewords are found ([`shortlist`]), so that soon nearly all codewords are passed over. To pass over one costs little: kernels
//! multiply numbers rounded to 8 bits (`rounded.rs`) and leave out only what stays below the bar by more than rounding can hide; the
//! exact score decides about the few others. So every instruction set reports what the definition says, and the bytes depend on none.

mod codewords;
mod exact;
mod penalties;
mod portable;
pub mod shortlist;
mod target;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod rounded;

pub use self::exact::Judge;
pub use self::penalties::{EVEN, MOST, Penalties, STEEPEST};
pub use self::target::{FINE, GROUP, LONGEST, TARGET_LIMIT, Target, target};

use seedpress_simd::Level;

use self::codewords::Codewords;
use self::exact::Search;
use crate::codebook::Codebook;

/// A codebook prepared for blocks of one length.
#[derive(Debug)]
pub struct Index {
    codewords: Codewords,
    /// Where every component counts alike.
    penalties: Penalties,
    kernel: Kernel,
}

/// What passes over the codewords.
#[derive(Debug)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Table),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Table),
}

impl Index {
    /// Prepares the first `candidates` codewords for blocks of `block` values, for the fastest level of this machine.
    pub fn new(codebook: &Codebook, block: usize, candidates: usize) -> Self {
        Self::with_level(Level::fastest(), codebook, block, candidates)
    }

    /// [`new`](Self::new) for a level of one's choice; one that this machine lacks is replaced by plain Rust.
    pub fn with_level(level: Level, codebook: &Codebook, block: usize, candidates: usize) -> Self {
        assert!((1..=LONGEST).contains(&block), "no blocks of {block}");
        let values: Box<[i16]> = codebook.values().iter().map(|&value| value as i16).collect();
        let count = codebook.len().min(candidates);
        let kernel = match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512Base if level.is_supported() => {
                Kernel::Avx2(avx2::Table::new(&values, count, block))
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if level.is_supported() => Kernel::Avx512(avx512::Table::new(&values, count, block)),
            _ => Kernel::Portable,
        };
        let codewords = Codewords { values, count, block };
        Self { penalties: Penalties::even(&codewords), codewords, kernel }
    }

    /// Codewords searched.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.codewords.count
    }

    /// Penalties where every component counts alike.
    pub fn penalties(&self) -> &Penalties {
        &self.penalties
    }

    /// Penalties where component `i` counts `importance[i] / EVEN`. The mean importance is about [`EVEN`], none is above [`MOST`]; a
    /// target must have been multiplied by it.
    pub fn weighted(&self, importance: &[i32]) -> Penalties {
        Penalties::weighted(&self.codewords, importance)
    }

    /// Penalties under a quadratic form, row-major `block x block`, symmetric, whose rows sum to at most [`STEEPEST`] in magnitude; a
    /// target must have been multiplied by it. Sums of `f32` in one order: the same on every machine.
    pub fn under_form(&self, form: &[f32]) -> Penalties {
        Penalties::under_form(&self.codewords, form)
    }

    /// The inner product of a target with the codeword at a position.
    #[inline]
    pub fn product(&self, target: &Target, position: usize) -> i32 {
        self.search(&self.penalties).product(target, position)
    }

    /// The score of the codeword at a position, by the definition.
    #[inline]
    pub fn score(&self, penalties: &Penalties, target: &Target, position: usize) -> i32 {
        self.search(penalties).score(target, position)
    }

    fn search<'a>(&'a self, penalties: &'a Penalties) -> Search<'a> {
        Search { codewords: &self.codewords, penalties }
    }

    /// Reports every codeword whose score is at least the bar of its target at that moment; positions come in ascending order for each
    /// target.
    pub fn screen(&self, penalties: &Penalties, targets: &[Target], judge: &mut impl Judge) {
        assert_eq!(penalties.as_slice().len(), self.penalties.as_slice().len(), "penalties of another index");
        let search = self.search(penalties);
        match &self.kernel {
            Kernel::Portable => portable::screen(search, targets, judge),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(table) => avx2::screen(search, table, targets, judge),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(table) => avx512::screen(search, table, targets, judge),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shortlist::{BUCKETS, Shortlist};
    use super::*;
    use crate::values::Values;

    fn targets(count: usize, block: usize, heavy: bool) -> Vec<Target> {
        let mut state = 7u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 3.4
        };
        (0..count)
            .map(|_| {
                target((0..block).map(|_| {
                    let sum = next() + next() * next();
                    sum * if heavy { 60.0 * next().abs() * next().abs().powi(3) } else { 148.0 }
                }))
            })
            .collect()
    }

    /// Codebooks and targets, plain and hostile.
    fn cases() -> Vec<(Codebook, usize, usize, Vec<Target>)> {
        [
            (16, 16, usize::MAX, Values::Gaussian, 12),
            (12, 17, usize::MAX, Values::Uniform, 40),
            (14, 64, usize::MAX, Values::Gaussian, 12),
            (13, 32, 5000, Values::Gaussian, 40),
            (10, 5, 700, Values::Gaussian, 90),
            (8, 4, 16, Values::Uniform, 50),
        ]
        .into_iter()
        .map(|(width, block, candidates, values, count)| {
            let mut targets = targets(count, block, false);
            targets.extend(self::targets(21, block, true));
            targets.push(target(std::iter::repeat_n(1e9, block)));
            targets.push(target((0..block).map(|i| if i % 2 == 0 { 1e9 } else { -1e9 })));
            targets.push(target((0..block).map(|i| if i == 2 { 3000.0 } else { 0.3 })));
            targets.push(target(std::iter::repeat_n(0.0, block)));
            (Codebook::build(width, 1, values), block, candidates, targets)
        })
        .collect()
    }

    /// Fixed bars, and everything that was reported.
    struct Log {
        bars: Vec<i32>,
        seen: Vec<Vec<(u32, i32)>>,
    }

    impl Judge for Log {
        fn bar(&self, target: usize) -> i32 {
            self.bars[target]
        }

        fn offer(&mut self, target: usize, position: u32, score: i32) {
            self.seen[target].push((position, score));
        }
    }

    #[test]
    fn every_path_reports_exactly_the_codewords_that_reach_the_bar() {
        for (codebook, block, candidates, targets) in cases() {
            let uneven: Vec<i32> = (0..block as i32).map(|i| if i % 4 == 0 { 208 } else { 16 }).collect();
            for (level, importance) in
                Level::supported().flat_map(|level| [(level, vec![EVEN; block]), (level, uneven.clone())])
            {
                let index = Index::with_level(level, &codebook, block, candidates);
                let penalties = index.weighted(&importance);
                for position in 0..index.len() {
                    let codeword = &index.codewords.values[position..position + block];
                    let squares = codeword.iter().zip(&importance).map(|(&v, h)| i32::from(v) * i32::from(v) * h);
                    assert_eq!(penalties.as_slice()[position], squares.sum::<i32>() / 16);
                    assert!(
                        importance[0] != EVEN || penalties.as_slice()[position] == index.penalties.as_slice()[position]
                    );
                }
                let scores = |target| -> Vec<(u32, i32)> {
                    (0..index.len()).map(|p| (p as u32, index.score(&penalties, target, p))).collect()
                };
                let all: Vec<Vec<(u32, i32)>> = targets.iter().map(scores).collect();
                // Bars that a few, or a fifth, or all codewords reach, equality included.
                for share in [3, index.len() / 5, index.len() - 1] {
                    let bars: Vec<i32> = all
                        .iter()
                        .map(|scores| {
                            let mut ranked: Vec<i32> = scores.iter().map(|s| s.1).collect();
                            ranked.sort_unstable_by(|a, b| b.cmp(a));
                            ranked[share]
                        })
                        .collect();
                    let mut log = Log { bars: bars.clone(), seen: vec![Vec::new(); targets.len()] };
                    index.screen(&penalties, &targets, &mut log);
                    for ((seen, scores), bar) in log.seen.iter().zip(&all).zip(bars) {
                        let expected: Vec<_> = scores.iter().copied().filter(|s| s.1 >= bar).collect();
                        assert!(*seen == expected, "{level:?}, block {block}, share {share}");
                    }
                }
            }
        }
    }

    /// One block whose paths are the targets.
    struct Beam<'a>(Shortlist<'a>);

    impl Judge for Beam<'_> {
        fn bar(&self, target: usize) -> i32 {
            self.0.bar(target)
        }

        fn offer(&mut self, target: usize, position: u32, score: i32) {
            self.0.offer(target, position, score);
        }
    }

    /// The definition: of every path the best codeword of every bucket or nothing, then the best of all paths.
    #[test]
    fn the_shortlist_is_that_of_the_whole_enumeration() {
        for (codebook, block, candidates, targets) in cases() {
            for (first, keep) in [(0, 1), (3, 8), (7, 30), (targets.len() - 9, 12)] {
                let targets = &targets[first..first + 9];
                let starts: Vec<f64> = (0..9).map(|i| 900.0 + f64::from(i * i)).collect();
                let worth = 1.5e-4;
                let nothing = codebook.len() as u32;
                let mut lists = Vec::new();
                for level in Level::supported() {
                    let index = Index::with_level(level, &codebook, block, candidates);
                    let mut beam = Beam(Shortlist::new(&index, &starts, worth, keep, nothing, f64::INFINITY));
                    index.screen(index.penalties(), targets, &mut beam);
                    let found = beam.0.into_best();
                    lists.push(found.iter().map(|c| (c.cost, c.origin, c.position)).collect::<Vec<_>>());
                }
                let index = Index::with_level(Level::Portable, &codebook, block, candidates);
                let size = index.len().div_ceil(BUCKETS).next_multiple_of(16);
                let mut expected: Vec<(f64, u32, u32)> = Vec::new();
                for (origin, (target, start)) in targets.iter().zip(&starts).enumerate() {
                    expected.push((*start, origin as u32, nothing));
                    let mut winners = vec![(0i32, 0u32); BUCKETS];
                    for position in 0..index.len() {
                        let score = index.score(index.penalties(), target, position);
                        if score > winners[position / size].0 {
                            winners[position / size] = (score, position as u32);
                        }
                    }
                    let positive = winners.iter().filter(|w| w.0 > 0);
                    expected.extend(positive.map(|w| (start - worth * f64::from(w.0), origin as u32, w.1)));
                }
                expected.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
                expected.truncate(keep);
                for list in lists {
                    assert_eq!(list, expected, "block {block}, keep {keep}");
                }
            }
        }
    }
}
