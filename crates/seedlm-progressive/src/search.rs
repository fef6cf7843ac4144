//! The exact search: which codewords are near a target.
//!
//! Everything is integer. A target is the residual of a block in units of the stage's gain times [`UNIT`](crate::codebook::UNIT) times
//! [`FINE`], rounded; its squared distance to `+-codeword` is, up to a constant, `-2/FINE` times the *score*
//! `|<target, codeword>| - FINE |codeword|^2 / 2`. Sums of at most 64 products of 16-bit numbers this small fit 32 bits.
//!
//! [`Index::screen`] reports every codeword whose score reaches its target's *bar* to a [`Judge`], who raises the bars as better
//! codewords are found ([`shortlist`]), so that soon nearly all codewords are passed over. To pass over one costs little: kernels
//! multiply numbers rounded to 8 bits (`rounded.rs`) and leave out only what stays below the bar by more than rounding can hide; the
//! exact score decides about the few others. So every instruction set reports what the definition says, and the bytes depend on none.

use seedpress_lfsr_basis::Path;

use crate::codebook::Codebook;

pub mod shortlist;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod rounded;

/// Steps of a target within one step of a codeword's values.
pub const FINE: i32 = 8;

/// Longest block.
pub const LONGEST: usize = 64;

/// Largest magnitude of a target's component: 64 products with the largest value stay below `2^31`.
pub const TARGET_LIMIT: f32 = 32_767.0;

/// Targets that pass over a codebook together.
pub const GROUP: usize = 8;

/// A target, padded with zeros.
pub type Target = [i16; LONGEST];

/// Who listens to a search.
pub trait Judge {
    /// The least score of interest for a target. May rise during the search.
    fn bar(&self, target: usize) -> i32;

    /// Told of a codeword whose score is at least the target's bar.
    fn offer(&mut self, target: usize, position: u32, score: i32);
}

/// Makes a target of components in units of the gain times [`UNIT`](crate::codebook::UNIT).
pub fn target(components: impl Iterator<Item = f32>) -> Target {
    let mut target = [0; LONGEST];
    for (slot, component) in target.iter_mut().zip(components) {
        *slot = (component * FINE as f32).round().clamp(-TARGET_LIMIT, TARGET_LIMIT) as i16;
    }
    target
}

/// A codebook prepared for blocks of one length.
#[derive(Debug)]
pub struct Index {
    /// The values of the sequence, and [`LONGEST`] more, so that a product may always run over a whole target.
    values: Box<[i16]>,
    /// Where every component counts alike.
    penalties: Penalties,
    /// Positions searched.
    count: usize,
    block: usize,
    kernel: Kernel,
}

/// `FINE |codeword|^2 / 2` by position, padded to whole tiles with values that never win.
#[derive(Debug)]
pub struct Penalties(Box<[i32]>);

/// What a component counts by default, in the units of a target's importance.
pub const EVEN: i32 = 64;

/// Components count no more than this.
pub const MOST: i32 = 16 * EVEN;

/// Rows of a form sum to no more than this: penalties then stay below `4 * 8 * 64 * 510^2 < 2^31`, and few targets leave their range.
pub const STEEPEST: f64 = 8.0;

/// What passes over the codewords.
#[derive(Debug)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Table),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Table),
}

/// Codewords a kernel takes at once.
const TILE: usize = 32;

impl Index {
    /// Prepares the first `candidates` codewords for blocks of `block` values, for the fastest path of this machine.
    pub fn new(codebook: &Codebook, block: usize, candidates: usize) -> Self {
        Self::with_path(Path::fastest(), codebook, block, candidates)
    }

    /// [`new`](Self::new) for a path of one's choice; one that this machine lacks is replaced by plain Rust.
    pub fn with_path(path: Path, codebook: &Codebook, block: usize, candidates: usize) -> Self {
        assert!((1..=LONGEST).contains(&block), "no blocks of {block}");
        let values: Box<[i16]> = codebook.values().iter().map(|&value| value as i16).collect();
        let count = codebook.len().min(candidates);
        let square = |codeword: &[i16]| codeword.iter().map(|&v| i32::from(v) * i32::from(v)).sum::<i32>();
        let mut penalties: Vec<i32> = values.windows(block).take(count).map(|w| square(w) * (FINE / 2)).collect();
        penalties.resize(count.next_multiple_of(TILE), i32::MAX);
        let kernel = match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 | Path::Avx512Base if path.is_supported() => {
                Kernel::Avx2(avx2::Table::new(&values, count, block))
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 if path.is_supported() => Kernel::Avx512(avx512::Table::new(&values, count, block)),
            _ => Kernel::Portable,
        };
        Self { values, penalties: Penalties(penalties.into()), count, block, kernel }
    }

    /// Codewords searched.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Penalties where every component counts alike.
    pub fn penalties(&self) -> &Penalties {
        &self.penalties
    }

    /// Penalties where component `i` counts `importance[i] / EVEN`. The mean importance is about [`EVEN`], none is above [`MOST`]; a
    /// target must have been multiplied by it.
    pub fn weighted(&self, importance: &[i32]) -> Penalties {
        assert_eq!(importance.len(), self.block);
        let mut penalties = vec![i32::MAX; self.penalties.0.len()];
        #[cfg(target_arch = "x86_64")]
        if Path::Avx2.is_supported() {
            // SAFETY: AVX2 was detected.
            #[allow(unsafe_code)]
            unsafe {
                self.weigh_avx2(importance, &mut penalties);
            }
            return Penalties(penalties.into());
        }
        self.weigh(importance, &mut penalties);
        Penalties(penalties.into())
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn weigh_avx2(&self, importance: &[i32], penalties: &mut [i32]) {
        self.weigh(importance, penalties);
    }

    #[inline(always)]
    fn weigh(&self, importance: &[i32], penalties: &mut [i32]) {
        for (tile, penalties) in penalties.chunks_exact_mut(TILE).enumerate() {
            // Importance times squares below 2^18, 64 of them of mean 64: below 2^31.
            let mut sums = [0i32; TILE];
            for (i, &importance) in importance.iter().enumerate() {
                for (sum, &value) in sums.iter_mut().zip(&self.values[tile * TILE + i..][..TILE]) {
                    *sum = sum.wrapping_add(importance * (i32::from(value) * i32::from(value)));
                }
            }
            for (penalty, sum) in penalties.iter_mut().zip(&sums) {
                *penalty = sum / (2 * EVEN / FINE);
            }
        }
        penalties[self.count..].fill(i32::MAX);
    }

    /// Penalties under a quadratic form, row-major `block x block`, symmetric, whose rows sum to at most [`STEEPEST`] in magnitude; a
    /// target must have been multiplied by it. Sums of `f32` in one order: the same on every machine.
    pub fn under_form(&self, form: &[f32]) -> Penalties {
        assert_eq!(form.len(), self.block * self.block);
        let mut penalties = vec![i32::MAX; self.penalties.0.len()];
        #[cfg(target_arch = "x86_64")]
        if Path::Avx2.is_supported() {
            // SAFETY: AVX2 was detected.
            #[allow(unsafe_code)]
            unsafe {
                self.form_avx2(form, &mut penalties);
            }
            return Penalties(penalties.into());
        }
        self.form(form, &mut penalties);
        Penalties(penalties.into())
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn form_avx2(&self, form: &[f32], penalties: &mut [i32]) {
        self.form(form, penalties);
    }

    #[inline(always)]
    fn form(&self, form: &[f32], penalties: &mut [i32]) {
        let mut values = [0f32; TILE + LONGEST];
        for (tile, penalties) in penalties.chunks_exact_mut(TILE).enumerate() {
            let own = &self.values[tile * TILE..][..TILE + self.block];
            values.iter_mut().zip(own).for_each(|(value, &own)| *value = f32::from(own));
            let mut sums = [0f32; TILE];
            for (i, row) in form.chunks_exact(self.block).enumerate() {
                // Half of the diagonal, and one of the two halves beside it.
                let mut along = [0f32; TILE];
                for (j, &entry) in row.iter().enumerate().skip(i) {
                    let entry = if i == j { 0.5 * entry } else { entry };
                    for (along, &value) in along.iter_mut().zip(&values[j..j + TILE]) {
                        *along += entry * value;
                    }
                }
                for ((sum, along), &value) in sums.iter_mut().zip(along).zip(&values[i..i + TILE]) {
                    *sum += along * value;
                }
            }
            for (penalty, sum) in penalties.iter_mut().zip(sums) {
                *penalty = (sum * FINE as f32) as i32;
            }
        }
        penalties[self.count..].fill(i32::MAX);
    }

    /// The inner product of a target with the codeword at a position.
    #[inline]
    pub fn product(&self, target: &Target, position: usize) -> i32 {
        // Over the whole padded target: a length that the compiler knows.
        let values = &self.values[position..position + LONGEST];
        target.iter().zip(values).map(|(&t, &v)| i32::from(t) * i32::from(v)).sum()
    }

    /// The score of the codeword at a position, by the definition.
    #[inline]
    pub fn score(&self, penalties: &Penalties, target: &Target, position: usize) -> i32 {
        self.product(target, position).abs() - penalties.0[position]
    }

    /// Reports every codeword whose score is at least the bar of its target at that moment; positions come in ascending order for each
    /// target.
    pub fn screen(&self, penalties: &Penalties, targets: &[Target], judge: &mut impl Judge) {
        assert_eq!(penalties.0.len(), self.penalties.0.len(), "penalties of another index");
        match &self.kernel {
            Kernel::Portable => self.portable(penalties, targets, judge),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(table) => avx2::screen(self, table, penalties, targets, judge),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(table) => avx512::screen(self, table, penalties, targets, judge),
        }
    }

    fn portable(&self, penalties: &Penalties, targets: &[Target], judge: &mut impl Judge) {
        for (first, targets) in (0..).step_by(GROUP).zip(targets.chunks(GROUP)) {
            for start in (0..self.count).step_by(TILE) {
                for (number, target) in (first..).zip(targets) {
                    let mut products = [0i32; TILE];
                    for (i, &factor) in target[..self.block].iter().enumerate() {
                        for (product, &value) in products.iter_mut().zip(&self.values[start + i..start + i + TILE]) {
                            *product += i32::from(factor) * i32::from(value);
                        }
                    }
                    let mut scores = [0i32; TILE];
                    let penalties = &penalties.0[start..start + TILE];
                    for (score, (product, penalty)) in scores.iter_mut().zip(products.iter().zip(penalties)) {
                        *score = product.abs() - penalty;
                    }
                    // One comparison spares nearly all tiles the others.
                    if scores.iter().fold(i32::MIN, |best, &score| best.max(score)) < judge.bar(number) {
                        continue;
                    }
                    for (position, &score) in (start..self.count).zip(&scores) {
                        if score >= judge.bar(number) {
                            judge.offer(number, position as u32, score);
                        }
                    }
                }
            }
        }
    }

    /// Reports those of 32 codewords from `start` on that `marked` has a bit for and whose exact score reaches the bar.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn decide(
        &self,
        penalties: &Penalties,
        number: usize,
        target: &Target,
        start: usize,
        mut marked: u32,
        judge: &mut impl Judge,
    ) {
        while marked != 0 {
            let position = start + marked.trailing_zeros() as usize;
            marked &= marked - 1;
            if position < self.count {
                let score = self.score(penalties, target, position);
                if score >= judge.bar(number) {
                    judge.offer(number, position as u32, score);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shortlist::{BUCKETS, Shortlist};
    use super::*;
    use crate::config::Values;

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
            for (path, importance) in
                Path::supported().flat_map(|path| [(path, vec![EVEN; block]), (path, uneven.clone())])
            {
                let index = Index::with_path(path, &codebook, block, candidates);
                let penalties = index.weighted(&importance);
                for position in 0..index.len() {
                    let codeword = &index.values[position..position + block];
                    let squares = codeword.iter().zip(&importance).map(|(&v, h)| i32::from(v) * i32::from(v) * h);
                    assert_eq!(penalties.0[position], squares.sum::<i32>() / 16);
                    assert!(importance[0] != EVEN || penalties.0[position] == index.penalties.0[position]);
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
                        assert!(*seen == expected, "{path:?}, block {block}, share {share}");
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
                for path in Path::supported() {
                    let index = Index::with_path(path, &codebook, block, candidates);
                    let mut beam = Beam(Shortlist::new(&index, &starts, worth, keep, nothing));
                    index.screen(index.penalties(), targets, &mut beam);
                    let found = beam.0.into_best();
                    lists.push(found.iter().map(|c| (c.cost, c.origin, c.position)).collect::<Vec<_>>());
                }
                let index = Index::with_path(Path::Portable, &codebook, block, candidates);
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

    #[test]
    fn the_largest_sums_fit() {
        let largest = LONGEST as i64 * i64::from(crate::codebook::LARGEST) * TARGET_LIMIT as i64;
        assert!(largest < i64::from(i32::MAX));
    }
}
