//! The grid inside a stream of the codecs `gptq` and `awq`. The stream's layout is documented beside the codecs.

use half::f16;
use seedpress_codec::packing::{BitReader, exact_len};
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodedView, PowerOfTwo, Role};

use super::held::{Held, Shape};
use crate::packed::grid::{Grid, Zeros};

/// Flags of the parameters.
const SYMMETRIC: u8 = 1;
const ORDERED: u8 = 2;
const SCALED_INPUTS: u8 = 4;

/// The grid of a matrix; a power of two of the whole tensor is multiplied into its scales, which is exact.
///
/// # Errors
/// A stream of another codec, or a damaged one.
pub fn grid(encoded: &EncodedView<'_>) -> Result<Held, DecodeError> {
    let mut reader = Reader::new(encoded.params);
    let (bits, kind) = (reader.u8()?, reader.u8()?);
    let group = reader.length()?;
    let power = PowerOfTwo::read(&mut reader)?;
    reader.finish()?;
    if !(2..=8).contains(&bits) || kind > 7 {
        return Err(DecodeError::corrupt("no such kind of codes"));
    }
    if kind & SCALED_INPUTS != 0 {
        return Ok(Held::Other(
            "its inputs have scales, which the layer before would have to make up for",
            "compress with --codec gptq, which has none",
        ));
    }
    let Shape { rows, columns, count, group, total } = Shape::of(encoded, group)?;
    let groups = columns.div_ceil(group);
    let mut segments = encoded.segments(0)?;
    let scales = segments.exact(Role::Scales, total.saturating_mul(2))?;
    let scales = scales.as_chunks().0.iter().map(|half| power.up(f16::from_le_bytes(*half).to_f32())).collect();
    let points = segments.take(Role::Scales)?;
    let zeros = if kind & SYMMETRIC != 0 {
        exact_len(points, 0)?;
        Zeros::Symmetric
    } else {
        let points = BitReader::new(points, bits, total)?;
        Zeros::Points((0..total).map(|at| points.get(at) as u16).collect())
    };
    let order = if kind & ORDERED == 0 {
        None
    } else {
        let width = (usize::BITS - groups.saturating_sub(1).leading_zeros()).clamp(1, 32) as u8;
        let table = BitReader::new(segments.take(Role::Tables)?, width, columns)?;
        Some((0..columns).map(|column| table.get(column)).collect())
    };
    let codes = BitReader::new(segments.take(Role::Indices)?, bits, count)?;
    segments.finish()?;
    let codes = (0..count).map(|at| codes.get(at) as u8).collect();
    let grid = Grid { rows, columns, bits, group, codes, scales, zeros, order };
    grid.check().map_err(|_| DecodeError::corrupt("its parts do not fit together"))?;
    Ok(Held::Grid(grid))
}
