//! From segments to weights: states generated from the seed, `P` multiply-adds a weight.
//!
//! Every weight is `f32(sum of q (v - 2^(K-1))) (1 / (2^(K-1) - 1)) factor`: an exact integer sum, then two products rounded to
//! `f32`. That leaves no order of evaluation to choose: the loops below are compiled once more for AVX2 and give the same bits.
#![allow(unsafe_code)]

use rayon::prelude::*;
use seedpress_codec::packing::BitReader;
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodedView, Role};
use seedpress_lfsr_basis::{Expansion, Register};
use seedpress_simd::Level;

use crate::grid::{factors, unit};
use crate::kernel::{self, Parts};

/// Blocks a task decodes.
const TASK: usize = 4096;

/// Everything a block is read from.
struct Blocks<'a> {
    rows: usize,
    columns: usize,
    /// Bits of a coefficient.
    bits: u32,
    /// Seeds, exponents and coefficients, of the lengths that the readers of them checked.
    bytes: (&'a [u8], &'a [u8], &'a [u8]),
    seeds: BitReader<'a>,
    exponents: BitReader<'a>,
    /// All coefficients of a block as one number where that fits 32 bits, else one by one.
    coefficients: BitReader<'a>,
    register: Register,
    expansion: Option<Expansion>,
    unit: f32,
    factors: [f32; 16],
}

/// A block names seed 0, which is no state.
struct ZeroSeed;

impl Blocks<'_> {
    /// Decodes the blocks from `first` on into `out`.
    fn decode(&self, level: Level, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        match level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the feature the function is compiled for was detected on this machine.
            Level::Avx512 if level.is_supported() => unsafe { self.avx512(first, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: likewise.
            Level::Avx2 | Level::Avx512Base if level.is_supported() => unsafe { self.avx2(first, out) },
            _ => self.any_shape::<false>(first, out),
        }
    }

    /// The presets' shapes in groups of eight blocks.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,gfni")]
    fn avx512(&self, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        match (self.register.width(), self.rows, self.columns, self.bits, &self.expansion) {
            (16, 8, 3, 4, Some(expansion)) => self.groups::<8, 3>(expansion, first, out),
            (16, 12, 4, 4, Some(expansion)) => self.groups::<12, 4>(expansion, first, out),
            _ => self.one_by_one(first, out),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,gfni")]
    fn groups<const ROWS: usize, const COLUMNS: usize>(
        &self,
        expansion: &Expansion,
        first: usize,
        out: &mut [f32],
    ) -> Result<(), ZeroSeed> {
        use kernel::avx512::{Constants, GROUP, groups};
        debug_assert!(first.is_multiple_of(GROUP));
        let count = out.len() / (GROUP * ROWS);
        let (seeds, exponents, coefficients) = self.bytes;
        let (whole, rest) = out.split_at_mut(count * GROUP * ROWS);
        let constants = Constants::new(expansion, self.unit, self.factors);
        // SAFETY: this function runs only where its features are.
        let zero = unsafe {
            groups::<ROWS, COLUMNS>(
                &constants,
                &seeds[2 * first..][..count * 16],
                &exponents[first / 2..][..count * 4],
                &coefficients[first / 2 * COLUMNS..][..count * 4 * COLUMNS],
                whole,
            )
        };
        if zero { Err(ZeroSeed) } else { self.of_shape::<true, ROWS, COLUMNS>(expansion, first + count * GROUP, rest) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2(&self, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        self.any_shape::<true>(first, out)
    }

    /// The presets' shapes get loops of their own.
    #[inline(always)]
    fn any_shape<const AVX2: bool>(&self, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        match (self.register.width(), self.rows, self.columns, self.bits, &self.expansion) {
            (16, 8, 3, 4, Some(expansion)) => self.of_shape::<AVX2, 8, 3>(expansion, first, out),
            (16, 12, 4, 4, Some(expansion)) => self.of_shape::<AVX2, 12, 4>(expansion, first, out),
            _ => self.one_by_one(first, out),
        }
    }

    /// Blocks of a shape known when compiled, of at most 48 states of 16 bits, with coefficients of four bits. Two blocks take a whole
    /// number of bytes of every segment: four of seeds, one of exponents, `COLUMNS` of coefficients. `first` is even.
    #[inline(always)]
    fn of_shape<const AVX2: bool, const ROWS: usize, const COLUMNS: usize>(
        &self,
        expansion: &Expansion,
        first: usize,
        out: &mut [f32],
    ) -> Result<(), ZeroSeed> {
        let pairs = out.as_chunks_mut::<ROWS>().0.as_chunks_mut::<2>().0;
        let (seeds, exponents, coefficients) = self.bytes;
        let seeds = seeds[2 * first..].as_chunks::<4>().0;
        let exponents = &exponents[first / 2..];
        let coefficients = coefficients[first / 2 * COLUMNS..].as_chunks::<COLUMNS>().0;
        let (whole, mut zero) = (2 * pairs.len(), false);
        let parts = seeds.iter().zip(exponents).zip(coefficients);
        for ([low, high], ((seeds, &exponents), coefficients)) in pairs.iter_mut().zip(parts) {
            let packed = coefficients.iter().rev().fold(0u32, |packed, &byte| (packed << 8) | u32::from(byte));
            let seeds = u32::from_le_bytes(*seeds);
            zero |= seeds & 0xFFFF == 0 || seeds >> 16 == 0;
            let halves =
                [(seeds & 0xFFFF, exponents & 15, packed), (seeds >> 16, exponents >> 4, packed >> (4 * COLUMNS))];
            for ((seed, exponent, packed), out) in halves.into_iter().zip([low, high]) {
                let factor = self.factors[usize::from(exponent)];
                let parts = Parts { bits: expansion.bits(seed), packed, unit: self.unit, factor };
                match AVX2 {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: this level was chosen because the machine has AVX2.
                    true => unsafe { kernel::avx2::<ROWS, COLUMNS>(parts, out) },
                    _ => kernel::portable::<ROWS, COLUMNS>(parts, out),
                }
            }
        }
        let done = whole * ROWS;
        if zero { Err(ZeroSeed) } else { self.one_by_one(first + whole, &mut out[done..]) }
    }

    #[inline(always)]
    fn one_by_one(&self, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        let sign = 32 - self.bits;
        let together = self.columns as u32 * self.bits <= 32;
        let half = 1i32 << (self.register.width() - 1);
        for (block, out) in (first..).zip(out.chunks_mut(self.rows)) {
            let mut state = self.seeds.get(block);
            if state == 0 {
                return Err(ZeroSeed);
            }
            let factor = self.factors[self.exponents.get(block) as usize];
            let mut coefficients = [0i32; 6];
            for (column, q) in coefficients[..self.columns].iter_mut().enumerate() {
                let symbol = match together {
                    true => self.coefficients.get(block) >> (column as u32 * self.bits),
                    false => self.coefficients.get(block * self.columns + column),
                };
                *q = (symbol << sign) as i32 >> sign;
            }
            for out in out {
                // Six products below 2^7 2^17: far from overflow.
                let mut sum = 0i32;
                for q in &coefficients[..self.columns] {
                    state = self.register.step(state);
                    sum += q * (state as i32 - half);
                }
                *out = (sum as f32 * self.unit * factor).clamp(f32::MIN, f32::MAX);
            }
        }
        Ok(())
    }
}

pub(crate) fn decode(encoded: &EncodedView<'_>, out: &mut [f32]) -> Result<(), DecodeError> {
    decode_with(Level::fastest(), encoded, out)
}

fn decode_with(level: Level, encoded: &EncodedView<'_>, out: &mut [f32]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(encoded.params);
    let (rows, columns) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
    let (width, bits) = (reader.u8()?, reader.u8()?);
    let octave = reader.u8()?;
    let top = reader.finite_f32()?;
    reader.finish()?;
    let legal =
        (8..=32).contains(&rows) && (1..=6).contains(&columns) && (4..=18).contains(&width) && (2..=8).contains(&bits);
    if !legal || !(1..=4).contains(&octave) || top < 0.0 {
        return Err(DecodeError::corrupt("block parameters outside their ranges"));
    }
    let [seeds, exponents, coefficients] = encoded.single([Role::Seeds, Role::Exponents, Role::Coefficients])?;
    let blocks = out.len().div_ceil(rows);
    let symbols = blocks.checked_mul(columns).ok_or(DecodeError::corrupt("symbol count overflows"))?;
    let bytes = (seeds, exponents, coefficients);
    let seeds = BitReader::new(seeds, width, blocks).map_err(|error| error.at(0, 0))?;
    let exponents = BitReader::new(exponents, 4, blocks).map_err(|error| error.at(0, 1))?;
    let group = columns as u8 * bits;
    let (group, groups) = if group <= 32 { (group, blocks) } else { (bits, symbols) };
    let coefficients = BitReader::new(coefficients, group, groups).map_err(|error| error.at(0, 2))?;
    let register = Register::new(u32::from(width)).map_err(|_| DecodeError::corrupt("no such register"))?;
    let blocks = Blocks {
        rows,
        columns,
        bits: u32::from(bits),
        bytes,
        seeds,
        exponents,
        coefficients,
        register,
        expansion: Expansion::new(register),
        unit: unit(u32::from(width)),
        factors: factors(top, octave),
    };
    out.par_chunks_mut(rows * TASK).enumerate().try_for_each(|(task, chunk)| {
        let result = blocks.decode(level, task * TASK, chunk);
        result.map_err(|ZeroSeed| DecodeError::corrupt("a seed is zero").at(0, 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, SeedLm};
    use seedpress_codec::{Codec, DType, EncodeContext, Int, TensorView};

    #[test]
    fn paths_and_shapes_agree_to_the_bit() {
        let values: Vec<f32> = (0..1003u32).map(|i| ((i * i * 37 + i * 11) % 101) as f32 / 16.0 - 3.0).collect();
        let shape = [values.len()];
        let tensor = TensorView::new("w", &shape, &values, DType::F32).unwrap();
        for (block, coefficients, bits) in [(8, 3, 4), (12, 4, 4), (11, 2, 5), (32, 6, 8)] {
            let config = Config {
                block: Int::of(block),
                coefficients: Int::of(coefficients),
                coefficient_bits: Int::of(bits),
                candidates: Int::of(50),
                ..Config::default()
            };
            let encoded = SeedLm::new(config).encode(&tensor, &EncodeContext::default()).unwrap();
            let decode = |level| {
                let mut out = vec![0f32; values.len()];
                decode_with(level, &encoded.view(SeedLm::FORMAT, &shape), &mut out).unwrap();
                out.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            for level in Level::supported() {
                assert_eq!(decode(Level::Portable), decode(level), "{level:?}, block {block}");
            }
        }
    }
}
