//! From segments to weights: `P` multiply-adds a weight on contiguous columns.

use rayon::prelude::*;
use seedpress_codec::packing::BitReader;
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodedView, Limits, Role};
use seedpress_lfsr_basis::{Columns, Sequence};

use crate::factors;

/// Blocks a task decodes.
const TASK: usize = 4096;

pub fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::new(encoded.params);
    let (rows, columns) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
    let (width, bits) = (reader.u8()?, reader.u8()?);
    let top = reader.finite_f32()?;
    reader.finish()?;
    let legal =
        (8..=32).contains(&rows) && (1..=6).contains(&columns) && (4..=18).contains(&width) && (2..=8).contains(&bits);
    if !legal || top < 0.0 {
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
    let coefficients = BitReader::new(coefficients.bytes, bits, symbols).map_err(|error| error.at(0, 2))?;
    let width = u32::from(width);
    limits.take((Sequence::memory(width) + Columns::memory(width, columns)) as u64)?;
    let sequence = Sequence::new(width, None, 1).map_err(|_| DecodeError::corrupt("no such register"))?;
    let table = Columns::new(&sequence, columns);
    let factors = factors(top);
    let sign = 32 - u32::from(bits);
    out.par_chunks_mut(rows * TASK).enumerate().try_for_each(|(task, chunk)| {
        for (index, out) in chunk.chunks_mut(rows).enumerate() {
            let block = task * TASK + index;
            let seed = seeds.get(block);
            if seed == 0 {
                return Err(DecodeError::corrupt("a seed is zero").at(0, 0));
            }
            let factor = factors[exponents.get(block) as usize];
            let start = table.start(seed);
            // Sums of a few products of small numbers: finite, and in one order of plain multiplications and additions.
            let mut sums = [0f32; 32];
            for column in 0..columns {
                let q = ((coefficients.get(block * columns + column) << sign) as i32 >> sign) as f32;
                let values = &table.values()[start + column * table.stride()..][..rows];
                sums[..rows].iter_mut().zip(values).for_each(|(sum, value)| *sum += q * value);
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = (sum * factor).clamp(f32::MIN, f32::MAX);
            }
        }
        Ok(())
    })
}
