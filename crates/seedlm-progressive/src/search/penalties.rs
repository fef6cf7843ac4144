//! What codewords' own lengths take from their scores, plainly or where components do not count alike.

#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use super::codewords::{Codewords, TILE};
use super::target::{FINE, LONGEST};

/// What a component counts by default, in the units of a target's importance.
pub const EVEN: i32 = 64;

/// Components count no more than this.
pub const MOST: i32 = 16 * EVEN;

/// Rows of a form sum to no more than this: penalties then stay below `4 * 8 * 64 * 510^2 < 2^31`, and few targets leave their range.
pub const STEEPEST: f64 = 8.0;

/// `FINE |codeword|^2 / 2` by position, padded to whole tiles with values that never win.
#[derive(Debug)]
pub struct Penalties(Box<[i32]>);

impl Penalties {
    /// Where every component counts alike.
    pub(super) fn even(codewords: &Codewords) -> Self {
        let square = |codeword: &[i16]| codeword.iter().map(|&v| i32::from(v) * i32::from(v)).sum::<i32>();
        let windows = codewords.values.windows(codewords.block).take(codewords.count);
        let mut penalties: Vec<i32> = windows.map(|w| square(w) * (FINE / 2)).collect();
        penalties.resize(codewords.count.next_multiple_of(TILE), i32::MAX);
        Self(penalties.into())
    }

    /// Where component `i` counts `importance[i] / EVEN`.
    pub(super) fn weighted(codewords: &Codewords, importance: &[i32]) -> Self {
        assert_eq!(importance.len(), codewords.block);
        Self::computed(codewords, |penalties| {
            #[cfg(target_arch = "x86_64")]
            if Level::Avx2.is_supported() {
                // SAFETY: AVX2 was detected.
                #[allow(unsafe_code)]
                unsafe {
                    weigh_avx2(codewords, importance, penalties);
                }
                return;
            }
            weigh(codewords, importance, penalties);
        })
    }

    /// Under a quadratic form, row-major `block x block`.
    pub(super) fn under_form(codewords: &Codewords, form: &[f32]) -> Self {
        assert_eq!(form.len(), codewords.block * codewords.block);
        Self::computed(codewords, |penalties| {
            #[cfg(target_arch = "x86_64")]
            if Level::Avx2.is_supported() {
                // SAFETY: AVX2 was detected.
                #[allow(unsafe_code)]
                unsafe {
                    form_avx2(codewords, form, penalties);
                }
                return;
            }
            self::form(codewords, form, penalties);
        })
    }

    /// Whole tiles of penalties, of which those beyond the last codeword never win.
    fn computed(codewords: &Codewords, fill: impl FnOnce(&mut [i32])) -> Self {
        let mut penalties = vec![i32::MAX; codewords.count.next_multiple_of(TILE)];
        fill(&mut penalties);
        penalties[codewords.count..].fill(i32::MAX);
        Self(penalties.into())
    }

    /// By position.
    #[inline]
    pub(super) fn as_slice(&self) -> &[i32] {
        &self.0
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn weigh_avx2(codewords: &Codewords, importance: &[i32], penalties: &mut [i32]) {
    weigh(codewords, importance, penalties);
}

#[inline(always)]
fn weigh(codewords: &Codewords, importance: &[i32], penalties: &mut [i32]) {
    for (tile, penalties) in penalties.chunks_exact_mut(TILE).enumerate() {
        // Importance times squares below 2^18, 64 of them of mean 64: below 2^31.
        let mut sums = [0i32; TILE];
        for (i, &importance) in importance.iter().enumerate() {
            for (sum, &value) in sums.iter_mut().zip(&codewords.values[tile * TILE + i..][..TILE]) {
                *sum = sum.wrapping_add(importance * (i32::from(value) * i32::from(value)));
            }
        }
        for (penalty, sum) in penalties.iter_mut().zip(&sums) {
            *penalty = sum / (2 * EVEN / FINE);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn form_avx2(codewords: &Codewords, form: &[f32], penalties: &mut [i32]) {
    self::form(codewords, form, penalties);
}

#[inline(always)]
fn form(codewords: &Codewords, form: &[f32], penalties: &mut [i32]) {
    let block = codewords.block;
    let mut values = [0f32; TILE + LONGEST];
    for (tile, penalties) in penalties.chunks_exact_mut(TILE).enumerate() {
        let own = &codewords.values[tile * TILE..][..TILE + block];
        values.iter_mut().zip(own).for_each(|(value, &own)| *value = f32::from(own));
        let mut sums = [0f32; TILE];
        for (i, row) in form.chunks_exact(block).enumerate() {
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
}
