//! Eight blocks at a time with AVX-512: what the blocks are made of is unpacked once for all, then every 16 weights take one pass.
//!
//! - *Output bits.* Each byte of the 64 output bits is a bit matrix times the low byte of the seed, plus one times the high byte: one
//!   instruction multiplies the bytes of eight seeds by eight matrices.
//! - *States.* One instruction picks 64 bytes at any bit offsets of eight 64-bit words: the two halves of the states of 16 rows.
//! - *Weights.* Sums of products of 16-bit numbers, exact, then the two products of the definition.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use seedpress_lfsr_basis::Expansion;

/// Blocks of a group.
pub(crate) const GROUP: usize = 8;

/// A tensor's constants in vector form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Constants {
    /// Eight bit matrices for the low bytes of seeds, eight for the high.
    matrices: [[u64; 8]; 2],
    unit: f32,
    factors: [f32; 16],
}

impl Constants {
    /// Constants of a register's expansion and of a tensor's factors.
    pub(crate) fn new(expansion: &Expansion, unit: f32, factors: [f32; 16]) -> Self {
        // The row of output bit `bit` of output byte `byte` is the byte `7 - bit` of the matrix; its bits belong to bits of the seed.
        let row = |half: usize, byte: usize, bit: usize| {
            let of = |input: usize| expansion.bits(1 << (8 * half + input)) >> (8 * byte + bit) & 1;
            (0..8).fold(0, |row, input| row | of(input) << input)
        };
        let matrix = |half: usize, byte: usize| (0..8).fold(0, |m, bit| m | row(half, byte, bit) << (8 * (7 - bit)));
        let matrices = std::array::from_fn(|half| std::array::from_fn(|byte| matrix(half, byte)));
        Self { matrices, unit, factors }
    }
}

/// Decodes groups of eight blocks of `ROWS x COLUMNS` with coefficients of four bits: 16 bytes of seeds, 4 of exponents and
/// `4 * COLUMNS` of coefficients make `8 * ROWS` weights. Returns whether any seed was zero. One function, however long: its constants stay in registers across the loop.
///
/// # Safety
/// The processor has AVX-512 F, BW, VL, VNNI and VBMI, and GFNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,gfni")]
pub(crate) unsafe fn groups<const ROWS: usize, const COLUMNS: usize>(
    constants: &Constants,
    seeds: &[u8],
    exponents: &[u8],
    coefficients: &[u8],
    out: &mut [f32],
) -> bool {
    const {
        assert!(ROWS.is_multiple_of(4) && ROWS <= 12 && 3 <= COLUMNS && COLUMNS <= 4 && ROWS * COLUMNS <= 48);
    }
    let load = |bytes: &Bytes| {
        // SAFETY: 64 bytes are read.
        unsafe { _mm512_loadu_si512(bytes.0.as_ptr().cast()) }
    };
    // SAFETY: 64 bytes are read, each time.
    let matrices = constants.matrices.map(|m| unsafe { _mm512_loadu_si512(m.as_ptr().cast()) });
    // SAFETY: 64 bytes are read.
    let factors = unsafe { _mm512_loadu_ps(constants.factors.as_ptr()) };
    let unit = _mm512_set1_ps(constants.unit);
    let halves = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    let (nibbles, places) = (load(&Places::<ROWS, COLUMNS>::NIBBLES), load(&Places::<ROWS, COLUMNS>::NIBBLE_SHIFTS));
    let present: u64 = if COLUMNS == 4 { u64::MAX } else { 0x3F3F_3F3F_3F3F_3F3F };
    // Exponent `b` in lane `2 b`, where the coefficients of block `b` begin.
    let exponent_shifts = _mm512_setr_epi32(0, 0, 4, 0, 8, 0, 12, 0, 16, 0, 20, 0, 24, 0, 28, 0);
    let sign = _mm512_set1_epi16(i16::MIN);
    let mut zero = 0u8;
    let parts = seeds.as_chunks::<16>().0.iter().zip(exponents.as_chunks::<4>().0);
    let parts = parts.zip(coefficients.chunks_exact(4 * COLUMNS)).zip(out.chunks_exact_mut(GROUP * ROWS));
    for (((seeds, &exponents), coefficients), out) in parts {
        // SAFETY: 16 bytes are read.
        let seeds = unsafe { _mm_loadu_si128(seeds.as_ptr().cast()) };
        zero |= _mm_cmpeq_epi16_mask(seeds, _mm_setzero_si128());
        let seeds = _mm_shuffle_epi8(seeds, halves);
        let (low, high) = (_mm512_broadcastq_epi64(seeds), _mm512_broadcastq_epi64(_mm_unpackhi_epi64(seeds, seeds)));
        // Byte `8 i + b` is byte `i` of the output bits of block `b`.
        let bits = _mm512_xor_si512(
            _mm512_gf2p8affine_epi64_epi8::<0>(low, matrices[0]),
            _mm512_gf2p8affine_epi64_epi8::<0>(high, matrices[1]),
        );
        // SAFETY: exactly the bytes of the slice are read.
        let coefficients =
            unsafe { _mm_maskz_loadu_epi8(((1u32 << (4 * COLUMNS)) - 1) as u16, coefficients.as_ptr().cast()) };
        // Every nibble moves to the top of its 16 bits, then down with its sign.
        let spread = _mm512_maskz_permutexvar_epi8(present, nibbles, _mm512_castsi128_si512(coefficients));
        let first = _mm512_srai_epi16::<12>(_mm512_sllv_epi16(spread, places));
        let second = _mm512_srli_epi64::<32>(first);
        let exponents = _mm512_srlv_epi32(_mm512_set1_epi32(i32::from_le_bytes(exponents)), exponent_shifts);
        let factor = _mm512_permutexvar_ps(exponents, factors);
        for (vector, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let blocks = load(&Places::<ROWS, COLUMNS>::BLOCKS[vector]);
            let words = _mm512_permutexvar_epi8(load(&Places::<ROWS, COLUMNS>::WORDS[vector]), bits);
            let states = |offsets| _mm512_xor_si512(_mm512_multishift_epi64_epi8(load(offsets), words), sign);
            let sums = _mm512_madd_epi16(
                states(&Places::<ROWS, COLUMNS>::FIRST[vector]),
                _mm512_permutexvar_epi32(blocks, first),
            );
            let sums = _mm512_dpwssd_epi32(
                sums,
                states(&Places::<ROWS, COLUMNS>::SECOND[vector]),
                _mm512_permutexvar_epi32(blocks, second),
            );
            let values = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), unit);
            let values = _mm512_mul_ps(values, _mm512_permutexvar_ps(blocks, factor));
            let values = _mm512_min_ps(_mm512_max_ps(values, _mm512_set1_ps(f32::MIN)), _mm512_set1_ps(f32::MAX));
            // SAFETY: sixteen values fit.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), values) };
        }
    }
    zero != 0
}

/// A vector of bytes that lies in one line of the cache.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Bytes([u8; 64]);

/// Where things are, by vector of 16 weights of a group.
struct Places<const ROWS: usize, const COLUMNS: usize>;

impl<const ROWS: usize, const COLUMNS: usize> Places<ROWS, COLUMNS> {
    /// The two bytes around coefficient `c` of block `b`, in 16-bit lane `4 b + c`.
    const NIBBLES: Bytes = Self::nibbles(false);
    /// What moves it to the top.
    const NIBBLE_SHIFTS: Bytes = Self::nibbles(true);
    /// The 32-bit lane in which the data of a weight's block begin.
    const BLOCKS: [Bytes; 6] = Self::places(0);
    /// The bytes of the output bits of every two rows.
    const WORDS: [Bytes; 6] = Self::places(1);
    /// Bit offsets of the halves of the states of columns 0 and 1.
    const FIRST: [Bytes; 6] = Self::places(2);
    /// The same of columns 2 and 3.
    const SECOND: [Bytes; 6] = Self::places(3);

    const fn nibbles(shifts: bool) -> Bytes {
        let mut bytes = [0; 64];
        let mut lane = 0;
        while lane < 32 {
            if lane % 4 < COLUMNS {
                let bit = 4 * (lane / 4 * COLUMNS + lane % 4);
                bytes[2 * lane] = if shifts { 12 - bit % 8 } else { bit / 8 } as u8;
                bytes[2 * lane + 1] = if shifts { 0 } else { bit / 8 + 1 } as u8;
            }
            lane += 1;
        }
        Bytes(bytes)
    }

    const fn places(what: usize) -> [Bytes; 6] {
        let mut places = [Bytes([0; 64]); 6];
        let mut weight = 0;
        while weight < 8 * ROWS {
            let (block, row) = (weight / ROWS, weight % ROWS);
            let bytes = &mut places[weight / 16].0;
            let lane = 4 * (weight % 16);
            let mut byte = 0;
            while byte < 4 {
                bytes[lane + byte] = match what {
                    0 if byte == 0 => 2 * block,
                    0 => 0,
                    // Rows come in pairs of one block: 64 bits of output for both.
                    1 => 8 * ((lane + byte) % 8) + block,
                    // State after step `s` begins at bit `s` of the output; bytes `2 c` and `2 c + 1` are its halves.
                    2 => row * COLUMNS + byte / 2 + 1 + 8 * (byte % 2),
                    _ => row * COLUMNS + byte / 2 + 3 + 8 * (byte % 2),
                } as u8;
                byte += 1;
            }
            weight += 1;
        }
        places
    }
}
