//! From segments to weights: `P` multiply-adds a weight on contiguous columns.
//!
//! Every weight is `(q_0 u_0 + q_1 u_1 + ..) factor`, plain products and sums in this order, on every machine and path: the loops
//! below are compiled once more for AVX2, where wider registers change nothing in the values.
#![allow(unsafe_code)]

use rayon::prelude::*;
use seedpress_codec::packing::BitReader;
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodedView, Limits, Role};
use seedpress_lfsr_basis::subspace::Path;
use seedpress_lfsr_basis::{Columns, Sequence};

use crate::factors;

/// Blocks a task decodes.
const TASK: usize = 4096;

/// Everything a block is read from.
struct Blocks<'a> {
    rows: usize,
    columns: usize,
    /// Bits of a coefficient.
    bits: u32,
    seeds: BitReader<'a>,
    exponents: BitReader<'a>,
    coefficients: BitReader<'a>,
    table: &'a Columns,
    factors: [f32; 16],
}

/// A block names seed 0, which is no state.
struct ZeroSeed;

impl Blocks<'_> {
    /// Decodes the blocks from `first` on into `out`.
    fn decode(&self, path: Path, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        match path {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the feature the function is compiled for was detected on this machine.
            Path::Avx2 if path.is_supported() => unsafe { self.avx2(first, out) },
            _ => self.any_shape(first, out),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2(&self, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        self.any_shape(first, out)
    }

    /// The presets' shapes get loops of their own.
    #[inline(always)]
    fn any_shape(&self, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        match (self.rows, self.columns, self.bits) {
            (8, 3, 4) => self.of_shape::<8, 3>(first, out),
            (12, 4, 4) => self.of_shape::<12, 4>(first, out),
            _ => self.one_by_one(first, out),
        }
    }

    /// Blocks of a shape known when compiled, with coefficients of four bits. Symbols of many blocks are read before any is used:
    /// the lookups of their windows, which miss the first cache, then wait for one another's sake no longer.
    #[inline(always)]
    fn of_shape<const ROWS: usize, const COLUMNS: usize>(&self, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        const AHEAD: usize = 64;
        let offsets = self.table.offsets::<COLUMNS>();
        let values = self.table.values();
        let (blocks, rest) = out.as_chunks_mut::<ROWS>();
        let whole = blocks.len();
        for (group, blocks) in blocks.chunks_mut(AHEAD).enumerate() {
            let first = first + group * AHEAD;
            let mut starts = [0u32; AHEAD];
            let mut zero = false;
            for (index, start) in starts[..blocks.len()].iter_mut().enumerate() {
                let seed = self.seeds.get(first + index);
                zero |= seed == 0;
                *start = self.table.start(seed);
            }
            if zero {
                return Err(ZeroSeed);
            }
            for (index, (out, start)) in blocks.iter_mut().zip(starts).enumerate() {
                let factor = self.factors[self.exponents.get(first + index) as usize];
                let packed = self.coefficients.get(first + index);
                let residue = offsets[(start >> 24) as usize % COLUMNS];
                let mut sums = [0f32; ROWS];
                for column in 0..COLUMNS {
                    let q = ((packed << (28 - 4 * column)) as i32 >> 28) as f32;
                    let values = &values[((start & 0xFF_FFFF) + residue[column]) as usize..][..ROWS];
                    for row in 0..ROWS {
                        sums[row] += q * values[row];
                    }
                }
                for row in 0..ROWS {
                    out[row] = (sums[row] * factor).clamp(f32::MIN, f32::MAX);
                }
            }
        }
        self.one_by_one(first + whole, rest)
    }

    #[inline(always)]
    fn one_by_one(&self, first: usize, out: &mut [f32]) -> Result<(), ZeroSeed> {
        let sign = 32 - self.bits;
        let together = self.together();
        for (block, out) in (first..).zip(out.chunks_mut(self.rows)) {
            let seed = self.seeds.get(block);
            if seed == 0 {
                return Err(ZeroSeed);
            }
            let factor = self.factors[self.exponents.get(block) as usize];
            let start = self.table.start(seed);
            // Sums of a few products of small numbers: finite.
            let mut sums = [0f32; 32];
            for column in 0..self.columns {
                let symbol = match together {
                    true => self.coefficients.get(block) >> (column as u32 * self.bits),
                    false => self.coefficients.get(block * self.columns + column),
                };
                let q = ((symbol << sign) as i32 >> sign) as f32;
                let values = self.table.column(start, column, self.rows);
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += q * value);
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = (sum * factor).clamp(f32::MIN, f32::MAX);
            }
        }
        Ok(())
    }

    /// Whether the coefficients of a block are read as one number: the same bits, fewer reads.
    fn together(&self) -> bool {
        self.columns as u32 * self.bits <= 32
    }
}

pub fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    decode_with(Path::fastest(), encoded, out, limits)
}

fn decode_with(path: Path, encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
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
    let [layer] = &encoded.layers[..] else { return Err(DecodeError::corrupt("one layer is expected")) };
    let [seeds, exponents, coefficients] = &layer.segments[..] else {
        return Err(DecodeError::corrupt("three segments are expected"));
    };
    if [seeds.role, exponents.role, coefficients.role] != [Role::Seeds, Role::Exponents, Role::Coefficients] {
        return Err(DecodeError::corrupt("segments in another order"));
    }
    let blocks = out.len().div_ceil(rows);
    let symbols = blocks.checked_mul(columns).ok_or(DecodeError::corrupt("symbol count overflows"))?;
    let seeds = BitReader::new(seeds.bytes, width, blocks).map_err(|error| error.at(0, 0))?;
    let exponents = BitReader::new(exponents.bytes, 4, blocks).map_err(|error| error.at(0, 1))?;
    let group = columns as u8 * bits;
    let (group, groups) = if group <= 32 { (group, blocks) } else { (bits, symbols) };
    let coefficients = BitReader::new(coefficients.bytes, group, groups).map_err(|error| error.at(0, 2))?;
    let width = u32::from(width);
    limits.take((Sequence::memory(width) + Columns::memory(width, columns)) as u64)?;
    let sequence = Sequence::new(width, None, 1).map_err(|_| DecodeError::corrupt("no such register"))?;
    let table = &*Columns::new(&sequence, columns);
    let factors = factors(top, octave);
    let blocks = Blocks { rows, columns, bits: u32::from(bits), seeds, exponents, coefficients, table, factors };
    out.par_chunks_mut(rows * TASK).enumerate().try_for_each(|(task, chunk)| {
        let result = blocks.decode(path, task * TASK, chunk);
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
            let decode = |path| {
                let mut out = vec![0f32; values.len()];
                decode_with(path, &encoded.view(&shape), &mut out, &mut Limits::new(1 << 30)).unwrap();
                out.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(decode(Path::Portable), decode(Path::Avx2), "block {block}");
        }
    }
}
