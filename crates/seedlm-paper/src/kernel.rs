//! One block of a shape known when compiled: states out of 64 bits, exact integer sums, two products.
//!
//! The state after step `s + 1` is 16 bits of the output from bit `s + 1` on, and lies in the 32-bit word from bit `16 (s div 16)` on,
//! `s mod 16 + 1` bits up. At most 48 states, coefficients of four bits, columns in pairs (an odd last one beside zeros).
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;

/// What a block is made of: output bits from the seed on, packed coefficients, and both factors.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub bits: u64,
    pub packed: u32,
    pub unit: f32,
    pub factor: f32,
}

impl Parts {
    fn coefficient(self, column: usize) -> i32 {
        (self.packed << (28 - 4 * column)) as i32 >> 28
    }

    fn words(self) -> [u32; 3] {
        [self.bits as u32, (self.bits >> 16) as u32, (self.bits >> 32) as u32]
    }
}

/// Plain Rust.
#[inline(always)]
pub(crate) fn portable<const ROWS: usize, const COLUMNS: usize>(parts: Parts, out: &mut [f32; ROWS]) {
    let words = parts.words();
    for (row, out) in out.iter_mut().enumerate() {
        let mut sum = 0;
        for column in 0..COLUMNS {
            let step = row * COLUMNS + column;
            let state = (words[step / 16] >> (step % 16 + 1)) & 0xFFFF;
            sum += parts.coefficient(column) * (state as i32 - 0x8000);
        }
        *out = (sum as f32 * parts.unit * parts.factor).clamp(f32::MIN, f32::MAX);
    }
}

/// AVX2: eight rows at a time, two columns in one multiply-add of 16-bit numbers.
///
/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) unsafe fn avx2<const ROWS: usize, const COLUMNS: usize>(parts: Parts, out: &mut [f32; ROWS]) {
    use std::arch::x86_64::*;

    const {
        assert!(ROWS.is_multiple_of(4) && ROWS <= 16 && ROWS * COLUMNS <= 48);
    }
    let load = |lanes: &[i32; 8]| {
        // SAFETY: eight lanes are read.
        unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
    };
    // Lanes 0, 2 and 1 are the words from bit 0, 16 and 32 on.
    let words = _mm256_srlv_epi64(_mm256_set1_epi64x(parts.bits as i64), _mm256_setr_epi64x(0, 16, 0, 0));
    let (unit, factor) = (_mm256_set1_ps(parts.unit), _mm256_set1_ps(parts.factor));
    for (group, out) in out.chunks_mut(8).enumerate() {
        let (lanes, shifts) = (&Places::<COLUMNS>::LANES[group], &Places::<COLUMNS>::SHIFTS[group]);
        let mut sums = _mm256_setzero_si256();
        for column in (0..COLUMNS).step_by(2) {
            // The first state in the lower half of the lane, the second in the upper.
            let low = _mm256_permutevar8x32_epi32(words, load(&lanes[column]));
            let mut states = _mm256_srlv_epi32(low, load(&shifts[column]));
            let mut pair = (parts.packed >> (4 * column)) & 0xFF;
            if column + 1 < COLUMNS {
                let high = _mm256_permutevar8x32_epi32(words, load(&lanes[column + 1]));
                states = _mm256_blend_epi16::<0xAA>(states, _mm256_sllv_epi32(high, load(&shifts[column + 1])));
            } else {
                pair &= 0xF;
            }
            // Less 2^15, modulo 2^16: signed.
            let centred = _mm256_xor_si256(states, _mm256_set1_epi16(i16::MIN));
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(centred, _mm256_set1_epi32(PAIRS[pair as usize])));
        }
        let values = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), unit), factor);
        let values = _mm256_min_ps(_mm256_max_ps(values, _mm256_set1_ps(f32::MIN)), _mm256_set1_ps(f32::MAX));
        if out.len() >= 8 {
            // SAFETY: eight values fit.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), values) };
        } else {
            // SAFETY: the number of rows is a multiple of four.
            unsafe { _mm_storeu_ps(out.as_mut_ptr(), _mm256_castps256_ps128(values)) };
        }
    }
}

/// Two coefficients of four bits as two of sixteen.
#[cfg(target_arch = "x86_64")]
static PAIRS: [i32; 256] = {
    let mut pairs = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (low, high) = ((byte as i32) << 28 >> 28, (byte as i32) << 24 >> 28);
        pairs[byte] = (low & 0xFFFF) | (high << 16);
        byte += 1;
    }
    pairs
};

/// Where the states of eight rows are, by group of rows and column.
#[cfg(target_arch = "x86_64")]
struct Places<const COLUMNS: usize>;

#[cfg(target_arch = "x86_64")]
impl<const COLUMNS: usize> Places<COLUMNS> {
    /// The lane of the word.
    const LANES: [[[i32; 8]; COLUMNS]; 2] = Self::places(false);
    /// Even columns: bits to the right. Odd columns: bits to the left, to the upper half.
    const SHIFTS: [[[i32; 8]; COLUMNS]; 2] = Self::places(true);

    const fn places(shifts: bool) -> [[[i32; 8]; COLUMNS]; 2] {
        let mut places = [[[0; 8]; COLUMNS]; 2];
        let mut index = 0;
        while index < 16 * COLUMNS {
            let (row, column) = (index / COLUMNS, index % COLUMNS);
            let shift = (index % 16 + 1) as i32;
            places[row / 8][column][row % 8] = match (shifts, column % 2) {
                (false, _) => [0, 2, 1, 0][(index / 16) & 3],
                (true, 0) => shift,
                (true, _) => 16 - shift,
            };
            index += 1;
        }
        places
    }
}
