//! The grid inside a stream of the codec `hqq`. The stream's layout is documented beside the codec.

use half::f16;
use seedpress_codec::packing::{BitReader, exact_len};
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodedView, PowerOfTwo, Role};

use super::held::Shape;
use crate::packed::grid::{Grid, Zeros};

/// The grid of a matrix. Its zero points are floats: whole numbers stay zero points, others become biases, each a product that is
/// rounded once.
///
/// # Errors
/// A stream of another codec, or a damaged one.
pub fn grid(encoded: &EncodedView<'_>) -> Result<Grid, DecodeError> {
    let mut reader = Reader::new(encoded.params);
    let bits = reader.u8()?;
    let group = reader.length()?;
    let power = PowerOfTwo::read(&mut reader)?;
    reader.finish()?;
    if !(2..=8).contains(&bits) {
        return Err(DecodeError::corrupt("index width outside 2..=8"));
    }
    let Shape { rows, columns, count, group, total } = Shape::of(encoded, group)?;
    let [scales, zeros, codes] = encoded.single([Role::Scales, Role::Scales, Role::Indices])?;
    exact_len(scales, total.saturating_mul(2))?;
    exact_len(zeros, total.saturating_mul(2))?;
    let half = |half: &[u8; 2]| f16::from_le_bytes(*half).to_f32();
    let scales: Vec<f32> = scales.as_chunks().0.iter().map(|scale| power.up(half(scale))).collect();
    let zeros: Vec<f32> = zeros.as_chunks().0.iter().map(half).collect();
    let whole = |zero: &f32| zero.fract() == 0.0 && (0.0..f32::from(1u16 << bits)).contains(zero);
    let zeros = if zeros.iter().all(whole) {
        Zeros::Points(zeros.iter().map(|&zero| zero as u16).collect())
    } else {
        Zeros::Biases(zeros.iter().zip(&scales).map(|(zero, scale)| -zero * scale).collect())
    };
    let codes = BitReader::new(codes, bits, count)?;
    let codes = (0..count).map(|at| codes.get(at) as u8).collect();
    Ok(Grid { rows, columns, bits, group, codes, scales, zeros, order: None })
}
