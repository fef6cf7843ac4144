//! The search with AVX2: 16 codewords by 4 targets at a time, two components a multiply-add.
#![allow(unsafe_code)]
// Registers are named by their indices here.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::{BUCKETS, Index, LONGEST, TILE, Target, Winner};

/// Targets a kernel takes at once: 8 sums of 8 lanes, two codeword vectors and a broadcast fit the 16 registers.
const WIDE: usize = 4;

/// See [`Index::winners`]. The caller has checked that AVX2 is there.
pub fn winners(index: &Index, targets: &[Target], winners: &mut [Winner]) {
    debug_assert!(std::is_x86_feature_detected!("avx2"));
    for (targets, winners) in targets.chunks(WIDE).zip(winners.chunks_mut(WIDE * BUCKETS)) {
        // SAFETY: AVX2 was detected by the caller.
        unsafe {
            match targets.len() {
                1 => kernel::<1>(index, targets, winners),
                2 => kernel::<2>(index, targets, winners),
                3 => kernel::<3>(index, targets, winners),
                _ => kernel::<WIDE>(index, targets, winners),
            }
        }
    }
}

/// # Safety
/// AVX2 must be available; `targets` holds at least `T` targets and `winners` `T * BUCKETS` entries.
#[target_feature(enable = "avx2")]
unsafe fn kernel<const T: usize>(index: &Index, targets: &[Target], winners: &mut [Winner]) {
    let words = index.block.div_ceil(2);
    // Known to the compiler, this spares a check of bounds in the inner loop.
    assert!(words <= LONGEST / 2 && targets.len() >= T);
    let targets: [&Target; T] = std::array::from_fn(|t| &targets[t]);
    // An odd block leaves the upper half of the last word zero, so the value beyond the window does not count.
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for bucket in 0..BUCKETS {
        let range = index.bucket(bucket);
        let mut best = [_mm256_set1_epi32(i32::MIN); T];
        let mut at = [_mm256_setzero_si256(); T];
        for start in range.clone().step_by(TILE) {
            // Bounds for every read below: the pairs reach PADDING beyond the last position, a block is at most 64.
            let pairs = &index.pairs[start..start + TILE + 2 * words - 2];
            let penalties = &index.penalties[start..start + TILE];
            let mut sums = [[_mm256_setzero_si256(); 2]; T];
            for word in 0..words {
                // SAFETY: 2 * word + 16 <= pairs.len().
                let (low, high) = unsafe {
                    (
                        _mm256_loadu_si256(pairs.as_ptr().add(2 * word).cast()),
                        _mm256_loadu_si256(pairs.as_ptr().add(2 * word + 8).cast()),
                    )
                };
                for t in 0..T {
                    let factor = _mm256_set1_epi32(targets[t][word]);
                    sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(low, factor));
                    sums[t][1] = _mm256_add_epi32(sums[t][1], _mm256_madd_epi16(high, factor));
                }
            }
            for half in 0..2 {
                // SAFETY: the slice holds 16 penalties.
                let penalty = unsafe { _mm256_loadu_si256(penalties.as_ptr().add(8 * half).cast()) };
                let position = _mm256_add_epi32(_mm256_set1_epi32((start + 8 * half) as i32), lanes);
                for t in 0..T {
                    let score = _mm256_sub_epi32(_mm256_abs_epi32(sums[t][half]), penalty);
                    let better = _mm256_cmpgt_epi32(score, best[t]);
                    best[t] = _mm256_max_epi32(best[t], score);
                    at[t] = _mm256_blendv_epi8(at[t], position, better);
                }
            }
        }
        if range.is_empty() {
            continue;
        }
        for t in 0..T {
            let (mut scores, mut positions) = ([0i32; 8], [0i32; 8]);
            // SAFETY: both arrays hold 8 words.
            unsafe {
                _mm256_storeu_si256(scores.as_mut_ptr().cast(), best[t]);
                _mm256_storeu_si256(positions.as_mut_ptr().cast(), at[t]);
            }
            let mut winner = Winner { score: scores[0], position: positions[0] as u32 };
            for lane in 1..8 {
                let (score, position) = (scores[lane], positions[lane] as u32);
                if score > winner.score || (score == winner.score && position < winner.position) {
                    winner = Winner { score, position };
                }
            }
            winners[t * BUCKETS + bucket] = winner;
        }
    }
}
