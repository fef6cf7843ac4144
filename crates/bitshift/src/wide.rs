//! A step of the search on registers of 8 and 16 costs, with the operations of [`steps`](crate::trellis) in the same order.
//!
//! What a compiler does not find by itself is the transpose: `2^k` neighbouring groups lead to places far apart. Here it is `k` rounds of
//! separating even from odd places of two registers.

use seedpress_simd::Level;

use crate::trellis::{LENGTH, Trellis, steps};

/// All steps of a search.
pub(crate) type Steps = fn(&mut Trellis, &[f32]);

/// What may run of these, the fastest first.
pub(crate) fn on_this_machine() -> impl Iterator<Item = Steps> {
    let level = Level::fastest();
    // SAFETY: the level is one of this machine.
    let sixteen =
        (level >= Level::Avx512Base).then_some((|trellis, samples| unsafe { avx512(trellis, samples) }) as Steps);
    // SAFETY: the level is one of this machine.
    let eight = (level >= Level::Avx2).then_some((|trellis, samples| unsafe { avx2(trellis, samples) }) as Steps);
    sixteen.into_iter().chain(eight)
}

/// Needs AVX2.
#[target_feature(enable = "avx2")]
unsafe fn avx2(trellis: &mut Trellis, samples: &[f32]) {
    // SAFETY: the features are those of this function.
    unsafe { dispatch::<eight::Costs>(trellis, samples) }
}

/// Needs AVX-512 F, BW, DQ and VL.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512(trellis: &mut Trellis, samples: &[f32]) {
    // SAFETY: the features are those of this function.
    unsafe { dispatch::<sixteen::Costs>(trellis, samples) }
}

/// A register of costs.
///
/// # Safety
/// Every method needs the instructions of its implementation and may be called only where these are enabled; `load` and `store` need
/// [`WIDTH`](Self::WIDTH) costs behind the pointer, aligned or not, `write` sixteen bytes.
trait Costs: Copy {
    const WIDTH: usize;
    /// A register of choices.
    type Choices: Copy;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn splat(value: f32) -> Self;
    unsafe fn none() -> Self::Choices;
    /// The lesser of either, this one where they are equal, and whose it was.
    unsafe fn least(self, other: Self, chosen: Self::Choices, branch: i32) -> (Self, Self::Choices);
    /// `self + (sample - value)^2`, rounded three times.
    unsafe fn plus_square(self, sample: Self, value: Self) -> Self;
    /// Even places of both registers, then odd ones.
    unsafe fn separate(self, other: Self) -> (Self, Self);
    /// Sixteen choices as bytes.
    unsafe fn write(choices: [Self::Choices; 2], to: *mut u8);
}

#[inline(always)]
unsafe fn dispatch<V: Costs>(trellis: &mut Trellis, samples: &[f32]) {
    let per = LENGTH / V::WIDTH;
    // SAFETY: the caller's.
    unsafe {
        match (trellis.bits, trellis.length, per) {
            (1, LENGTH, 1) => run::<V, 2, 2>(trellis, samples),
            (2, LENGTH, 1) => run::<V, 4, 4>(trellis, samples),
            (3, LENGTH, 1) => run::<V, 8, 8>(trellis, samples),
            (4, LENGTH, 1) => run::<V, 16, 16>(trellis, samples),
            (1, LENGTH, 2) => run::<V, 2, 4>(trellis, samples),
            (2, LENGTH, 2) => run::<V, 4, 8>(trellis, samples),
            (3, LENGTH, 2) => run::<V, 8, 16>(trellis, samples),
            (4, LENGTH, 2) => run::<V, 16, 32>(trellis, samples),
            // Tiles too small for whole registers.
            _ => steps(trellis, samples),
        }
    }
}

/// `BRANCHES` predecessors of a state, `COUNT` registers a tile.
#[inline(always)]
unsafe fn run<V: Costs, const BRANCHES: usize, const COUNT: usize>(trellis: &mut Trellis, samples: &[f32]) {
    let per = LENGTH / V::WIDTH;
    let tile = LENGTH * BRANCHES;
    trellis.step_through(samples, |sample, groups, decisions, values, costs, next| {
        let inner = groups / BRANCHES;
        // Every access below lies within these: `tile` divides the number of groups.
        assert!(decisions.len() == groups && values.len() == groups * BRANCHES && groups.is_multiple_of(tile));
        assert!(costs.len() == values.len() && next.len() == values.len());
        // SAFETY: the lengths are checked above, the features are the caller's.
        unsafe {
            let sample = V::splat(sample);
            for at in 0..groups / tile {
                let first = at * tile;
                let mut least = [V::splat(0.0); COUNT];
                for sixteen in 0..BRANCHES {
                    let mut choices = [V::none(); 2];
                    for part in 0..per {
                        let place = first + sixteen * LENGTH + part * V::WIDTH;
                        let mut cost = V::load(costs.as_ptr().add(place));
                        for branch in 1..BRANCHES {
                            let other = V::load(costs.as_ptr().add(branch * groups + place));
                            (cost, choices[part]) = cost.least(other, choices[part], branch as i32);
                        }
                        least[sixteen * per + part] = cost;
                    }
                    V::write(choices, decisions.as_mut_ptr().add(first + sixteen * LENGTH));
                }
                let mut span = COUNT;
                while span > per {
                    let mut dealt = least;
                    for (from, to) in least.chunks_exact(span).zip(dealt.chunks_exact_mut(span)) {
                        for pair in 0..span / 2 {
                            (to[pair], to[span / 2 + pair]) = from[2 * pair].separate(from[2 * pair + 1]);
                        }
                    }
                    least = dealt;
                    span /= 2;
                }
                for (place, dealt) in least.chunks_exact(per).enumerate() {
                    // Bits were separated from the lowest on.
                    let low = place.reverse_bits() >> (usize::BITS - BRANCHES.ilog2());
                    for high in 0..BRANCHES {
                        for (part, &before) in dealt.iter().enumerate() {
                            let from = first * BRANCHES + (low * BRANCHES + high) * LENGTH + part * V::WIDTH;
                            let value = V::load(values.as_ptr().add(from));
                            let to = low * groups + high * inner + at * LENGTH + part * V::WIDTH;
                            before.plus_square(sample, value).store(next.as_mut_ptr().add(to));
                        }
                    }
                }
            }
        }
    });
}

mod eight {
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(super) struct Costs(__m256);

    impl super::Costs for Costs {
        const WIDTH: usize = 8;
        type Choices = __m256i;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller has the instructions and as many costs to read.
            unsafe { Self(_mm256_loadu_ps(from)) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller has the instructions and room for as many costs.
            unsafe { _mm256_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller has the instructions.
            unsafe { Self(_mm256_set1_ps(value)) }
        }

        #[inline(always)]
        unsafe fn none() -> __m256i {
            // SAFETY: the caller has the instructions.
            unsafe { _mm256_setzero_si256() }
        }

        #[inline(always)]
        unsafe fn least(self, other: Self, chosen: __m256i, branch: i32) -> (Self, __m256i) {
            // SAFETY: the caller has the instructions.
            unsafe {
                let less = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(other.0, self.0));
                (Self(_mm256_min_ps(other.0, self.0)), _mm256_blendv_epi8(chosen, _mm256_set1_epi32(branch), less))
            }
        }

        #[inline(always)]
        unsafe fn plus_square(self, sample: Self, value: Self) -> Self {
            // SAFETY: the caller has the instructions.
            unsafe {
                let miss = _mm256_sub_ps(sample.0, value.0);
                Self(_mm256_add_ps(self.0, _mm256_mul_ps(miss, miss)))
            }
        }

        #[inline(always)]
        unsafe fn separate(self, other: Self) -> (Self, Self) {
            // SAFETY: the caller has the instructions.
            unsafe {
                // Both halves of either register take part; their middle quarters then change places.
                let order = |mixed: __m256| {
                    Self(_mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(mixed))))
                };
                (
                    order(_mm256_shuffle_ps::<0b10_00_10_00>(self.0, other.0)),
                    order(_mm256_shuffle_ps::<0b11_01_11_01>(self.0, other.0)),
                )
            }
        }

        #[inline(always)]
        unsafe fn write(choices: [__m256i; 2], to: *mut u8) {
            // SAFETY: the caller has the instructions and room for sixteen bytes.
            unsafe {
                let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(choices[0], choices[1]));
                let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                _mm_storeu_si128(to.cast(), bytes);
            }
        }
    }
}

mod sixteen {
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(super) struct Costs(__m512);

    impl super::Costs for Costs {
        const WIDTH: usize = 16;
        type Choices = __m512i;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller has the instructions and as many costs to read.
            unsafe { Self(_mm512_loadu_ps(from)) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller has the instructions and room for as many costs.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller has the instructions.
            unsafe { Self(_mm512_set1_ps(value)) }
        }

        #[inline(always)]
        unsafe fn none() -> __m512i {
            // SAFETY: the caller has the instructions.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        unsafe fn least(self, other: Self, chosen: __m512i, branch: i32) -> (Self, __m512i) {
            // SAFETY: the caller has the instructions.
            unsafe {
                let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(other.0, self.0);
                let chosen = _mm512_mask_mov_epi32(chosen, less, _mm512_set1_epi32(branch));
                (Self(_mm512_min_ps(other.0, self.0)), chosen)
            }
        }

        #[inline(always)]
        unsafe fn plus_square(self, sample: Self, value: Self) -> Self {
            // SAFETY: the caller has the instructions.
            unsafe {
                let miss = _mm512_sub_ps(sample.0, value.0);
                Self(_mm512_add_ps(self.0, _mm512_mul_ps(miss, miss)))
            }
        }

        #[inline(always)]
        unsafe fn separate(self, other: Self) -> (Self, Self) {
            // SAFETY: the caller has the instructions.
            unsafe {
                let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
                let pick = |places: __m512i| Self(_mm512_permutex2var_ps(self.0, places, other.0));
                (pick(even), pick(odd))
            }
        }

        #[inline(always)]
        unsafe fn write(choices: [__m512i; 2], to: *mut u8) {
            // SAFETY: the caller has the instructions and room for sixteen bytes.
            unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(choices[0])) }
        }
    }
}
