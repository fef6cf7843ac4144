//! Symbols moved between the order of their keys and groups of equal keys.
//!
//! One at a time, each symbol waits for the place of the one before: about four cycles. With AVX-512 VBMI2 sixty-four keys are compared
//! with each common one, and the symbols under the mask are compressed or expanded in one instruction.
#![allow(unsafe_code)]

/// Bytes that may be read or written beyond a group.
pub(crate) const SLACK: usize = 64;

/// Keys of which each of the most common has a group to itself; the last group is everybody else's.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    /// The group of every key.
    pub of: [u8; 256],
    /// The keys with a group to themselves, in the order of their groups.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "the kernels compare with them"))]
    pub common: Vec<u8>,
}

/// More keys than this are no faster together than one after another.
#[cfg(target_arch = "x86_64")]
const MOST: usize = 48;

impl Groups {
    /// Whether the kernels may run: on the processor, and where no place leaves `len` bytes, whatever the keys are.
    #[cfg(target_arch = "x86_64")]
    fn fits(&self, keys: usize, next: &[usize; 256], len: usize) -> bool {
        self.common.len() <= MOST
            && next[..=self.common.len()].iter().all(|&next| next.saturating_add(keys + SLACK) <= len)
            && seedpress_simd::Level::fastest() >= seedpress_simd::Level::Avx512
    }

    /// Symbols in the order of their keys from groups that begin at `next`, which moves on. Faster where [`SLACK`] and as many bytes
    /// as there are keys follow the groups.
    pub(crate) fn spread(&self, keys: &[u8], next: &mut [usize; 256], grouped: &[u8], symbols: &mut [u8]) {
        assert_eq!(keys.len(), symbols.len());
        #[cfg(target_arch = "x86_64")]
        let done = match self.fits(keys.len(), next, grouped.len()) {
            // SAFETY: the processor has the extensions, and `fits` bounds every place.
            true => unsafe { avx512::spread(self, keys, next, grouped, symbols) },
            false => 0,
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        for (&key, symbol) in keys[done..].iter().zip(&mut symbols[done..]) {
            let place = &mut next[usize::from(self.of[usize::from(key)])];
            *symbol = grouped[*place];
            *place += 1;
        }
    }

    /// Undoes [`spread`](Self::spread); overwrites up to [`SLACK`] bytes behind each group.
    pub(crate) fn collect(&self, keys: &[u8], next: &mut [usize; 256], symbols: &[u8], grouped: &mut [u8]) {
        assert_eq!(keys.len(), symbols.len());
        #[cfg(target_arch = "x86_64")]
        let done = match self.fits(keys.len(), next, grouped.len()) {
            // SAFETY: the processor has the extensions, and `fits` bounds every place.
            true => unsafe { avx512::collect(self, keys, next, symbols, grouped) },
            false => 0,
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        for (&key, &symbol) in keys[done..].iter().zip(&symbols[done..]) {
            let place = &mut next[usize::from(self.of[usize::from(key)])];
            grouped[*place] = symbol;
            *place += 1;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::Groups;

    const STEP: usize = 64;

    /// # Safety
    /// The extensions, and `STEP` bytes at every place that `keys.len()` moves can reach.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
    pub(super) unsafe fn spread(
        groups: &Groups,
        keys: &[u8],
        next: &mut [usize; 256],
        grouped: &[u8],
        symbols: &mut [u8],
    ) -> usize {
        let rare = groups.common.len();
        for (keys, out) in keys.chunks_exact(STEP).zip(symbols.chunks_exact_mut(STEP)) {
            // SAFETY: 64 keys, 64 symbols, and 64 bytes at every place by the caller's word.
            unsafe {
                let keys = _mm512_loadu_epi8(keys.as_ptr().cast());
                let (mut sum, mut left) = (_mm512_setzero_si512(), u64::MAX);
                for (&key, next) in groups.common.iter().zip(next.iter_mut()) {
                    let mask = _mm512_cmpeq_epi8_mask(keys, _mm512_set1_epi8(key as i8));
                    let from = _mm512_loadu_epi8(grouped.as_ptr().add(*next).cast());
                    sum = _mm512_or_si512(sum, _mm512_maskz_expand_epi8(mask, from));
                    *next += mask.count_ones() as usize;
                    left ^= mask;
                }
                if left != 0 {
                    let from = _mm512_loadu_epi8(grouped.as_ptr().add(next[rare]).cast());
                    sum = _mm512_or_si512(sum, _mm512_maskz_expand_epi8(left, from));
                    next[rare] += left.count_ones() as usize;
                }
                _mm512_storeu_epi8(out.as_mut_ptr().cast(), sum);
            }
        }
        keys.len() / STEP * STEP
    }

    /// # Safety
    /// As [`spread`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
    pub(super) unsafe fn collect(
        groups: &Groups,
        keys: &[u8],
        next: &mut [usize; 256],
        symbols: &[u8],
        grouped: &mut [u8],
    ) -> usize {
        let rare = groups.common.len();
        for (keys, symbols) in keys.chunks_exact(STEP).zip(symbols.chunks_exact(STEP)) {
            // SAFETY: as above; a store ends within `SLACK` of its group.
            unsafe {
                let keys = _mm512_loadu_epi8(keys.as_ptr().cast());
                let symbols = _mm512_loadu_epi8(symbols.as_ptr().cast());
                let mut left = u64::MAX;
                let mut put = |mask: u64, next: &mut usize| {
                    let packed = _mm512_maskz_compress_epi8(mask, symbols);
                    _mm512_storeu_epi8(grouped.as_mut_ptr().add(*next).cast(), packed);
                    *next += mask.count_ones() as usize;
                };
                for (&key, next) in groups.common.iter().zip(next.iter_mut()) {
                    let mask = _mm512_cmpeq_epi8_mask(keys, _mm512_set1_epi8(key as i8));
                    put(mask, next);
                    left ^= mask;
                }
                if left != 0 {
                    put(left, &mut next[rare]);
                }
            }
        }
        keys.len() / STEP * STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_move_symbols_as_the_portable_path_does() {
        for common in [0usize, 1, 5, 40, 60] {
            let groups = Groups {
                of: std::array::from_fn(|key| (key.min(3 * common) / 3).min(common) as u8),
                common: (0..common).map(|group| 3 * group as u8).collect(),
            };
            for count in [0usize, 1, 63, 64, 1000] {
                // Keys between the common ones would belong to common groups above: leave them out.
                let keys: Vec<u8> = (0..count as u32)
                    .map(|i| i.wrapping_mul(0x9E37_79B9) >> 24)
                    .map(|hash| if hash as usize >= 3 * common { hash as u8 } else { (hash / 3 * 3) as u8 })
                    .collect();
                let symbols: Vec<u8> = (0..count as u32).map(|i| (i.wrapping_mul(0x85EB_CA6B) >> 24) as u8).collect();
                let mut sizes = [0usize; 256];
                keys.iter().for_each(|&key| sizes[usize::from(groups.of[usize::from(key)])] += 1);
                let mut at = 0;
                let starts = sizes.map(|size| {
                    at += size + SLACK;
                    at - size - SLACK
                });
                let mut expected = vec![0u8; at];
                let mut next = starts;
                for (&key, &symbol) in keys.iter().zip(&symbols) {
                    let place = &mut next[usize::from(groups.of[usize::from(key)])];
                    expected[*place] = symbol;
                    *place += 1;
                }
                // With room for the kernels and without.
                for room in [0, count + SLACK] {
                    let (mut grouped, mut back, mut next) = (vec![0u8; at + room], vec![0u8; count], starts);
                    groups.collect(&keys, &mut next, &symbols, &mut grouped);
                    for (&start, &size) in starts.iter().zip(&sizes) {
                        assert_eq!(grouped[start..start + size], expected[start..start + size]);
                        assert!(next.contains(&(start + size)));
                    }
                    let mut next = starts;
                    groups.spread(&keys, &mut next, &grouped, &mut back);
                    assert_eq!(back, symbols);
                }
            }
        }
    }
}
