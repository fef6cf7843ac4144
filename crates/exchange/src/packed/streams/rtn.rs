//! The grid inside a stream of the `rtn` codec. The stream's layout is documented beside the codec.

use seedpress_codec::packing::{BitReader, exact_len};
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodedView, PowerOfTwo};

use crate::packed::grid::{Grid, Zeros};

/// The grid of a matrix. Scales are those the codec decodes with: their power of two is multiplied in, which is exact.
///
/// # Errors
/// A stream of another codec, or a damaged one.
pub fn grid(encoded: &EncodedView<'_>) -> Result<Grid, DecodeError> {
    let corrupt = DecodeError::corrupt;
    let &[rows, columns] = encoded.shape else { return Err(corrupt("no matrix")) };
    let mut reader = Reader::new(encoded.params);
    let bits = reader.u8()?;
    let symmetric = reader.u8()? == 1;
    let group = reader.length()?;
    let power = PowerOfTwo::read(&mut reader)?;
    reader.finish()?;
    if !(2..=8).contains(&bits) {
        return Err(corrupt("index width outside 2..=8"));
    }
    let group = if group == 0 { columns.max(1) } else { group.min(columns.max(1)) };
    let total = rows.checked_mul(columns.div_ceil(group)).ok_or(corrupt("group count overflows"))?;
    let count = rows.checked_mul(columns).ok_or(corrupt("the shape overflows"))?;
    let [layer] = encoded.layers.as_slice() else { return Err(corrupt("exactly one layer expected")) };
    let [scales, points, codes, ..] = layer.segments.as_slice() else {
        return Err(corrupt("wrong number of segments"));
    };
    exact_len(scales.bytes, total.saturating_mul(2))?;
    let half = |bytes: &[u8; 2]| power.up(half::f16::from_le_bytes(*bytes).to_f32());
    let scales = scales.bytes.as_chunks().0.iter().map(half).collect();
    let zeros = if symmetric {
        Zeros::Symmetric
    } else {
        let points = BitReader::new(points.bytes, bits, total)?;
        Zeros::Points((0..total).map(|at| points.get(at) as u16).collect())
    };
    let codes = BitReader::new(codes.bytes, bits, count)?;
    let codes = (0..count).map(|at| codes.get(at) as u8).collect();
    Ok(Grid { rows, columns, bits, group, codes, scales, zeros, order: None })
}
