//! The exact search: which codewords are near a target.
//!
//! Everything is integer. A target is the residual of a block in units of the stage's gain times [`UNIT`](crate::codebook::UNIT) times
//! [`FINE`], rounded; its squared distance to `+-codeword` is, up to a constant, `-2/FINE` times the *score*
//! `|<target, codeword>| - FINE |codeword|^2 / 2`. Sums of at most 64 products of 16-bit numbers this small fit 32 bits.
//!
//! [`Index::screen`] reports every codeword whose score reaches its target's *bar*, and whoever listens raises the bars as better
//! codewords are found ([`shortlist`]), so that soon nearly all codewords are passed over. To pass over one costs little: kernels
//! multiply numbers rounded to 8 bits ([`rounded`]) and leave out only what stays below the bar by more than rounding can hide; the
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

/// Told of a codeword that reaches its bar: target, position, score, and the bars of all targets, which it may raise.
pub type Sink<'a> = dyn FnMut(usize, u32, i32, &mut [i32]) + 'a;

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
    /// `FINE |codeword|^2 / 2` by position, padded to whole tiles with values that never win.
    penalties: Box<[i32]>,
    /// Positions searched.
    count: usize,
    block: usize,
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
            Path::Avx2 if path.is_supported() => Kernel::Avx2(avx2::Table::new(&values, count, block)),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 if path.is_supported() => Kernel::Avx512(avx512::Table::new(&values, count, block)),
            _ => Kernel::Portable,
        };
        Self { values, penalties: penalties.into(), count, block, kernel }
    }

    /// Codewords searched.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
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
    pub fn score(&self, target: &Target, position: usize) -> i32 {
        self.product(target, position).abs() - self.penalties[position]
    }

    /// Reports to `sink` every codeword whose score is at least the bar of its target at that moment, one bar a target; positions come
    /// in ascending order for each target.
    pub fn screen(&self, targets: &[Target], bars: &mut [i32], sink: &mut Sink<'_>) {
        assert_eq!(targets.len(), bars.len());
        match &self.kernel {
            Kernel::Portable => self.portable(targets, bars, sink),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(table) => avx2::screen(self, table, targets, bars, sink),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(table) => avx512::screen(self, table, targets, bars, sink),
        }
    }

    fn portable(&self, targets: &[Target], bars: &mut [i32], sink: &mut Sink<'_>) {
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
                    let penalties = &self.penalties[start..start + TILE];
                    for (score, (product, penalty)) in scores.iter_mut().zip(products.iter().zip(penalties)) {
                        *score = product.abs() - penalty;
                    }
                    // One comparison spares nearly all tiles the others.
                    if scores.iter().fold(i32::MIN, |best, &score| best.max(score)) < bars[number] {
                        continue;
                    }
                    for (position, &score) in (start..self.count).zip(&scores) {
                        if score >= bars[number] {
                            sink(number, position as u32, score, bars);
                        }
                    }
                }
            }
        }
    }

    /// Reports those of 32 codewords from `start` on that `marked` has a bit for and whose exact score reaches the bar.
    #[cfg(target_arch = "x86_64")]
    #[cold]
    #[inline(never)]
    fn decide(
        &self,
        number: usize,
        target: &Target,
        start: usize,
        mut marked: u32,
        bars: &mut [i32],
        sink: &mut Sink<'_>,
    ) {
        while marked != 0 {
            let position = start + marked.trailing_zeros() as usize;
            marked &= marked - 1;
            if position < self.count {
                let score = self.score(target, position);
                if score >= bars[number] {
                    sink(number, position as u32, score, bars);
                }
            }
        }
    }
}
