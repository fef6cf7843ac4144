//! The encoder: layer after layer on what is left.

use half::f16;
use seedpress_codec::packing::pack_bits;
use seedpress_codec::{
    EncodeContext, EncodeError, Encoded, Layer, Packing, PowerOfTwo, Role, Segment, Symbols, TensorView,
};

use crate::basis::Directions;
use crate::config::{Basis, Shape};
use crate::levels;

/// Compresses a tensor.
///
/// # Errors
/// Cancellation.
pub(crate) fn encode(
    shape: Shape,
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
) -> Result<Encoded, EncodeError> {
    let power = PowerOfTwo::normalising(tensor.values(), 4);
    let mut left = power.down_all(tensor.values());
    left.resize(tensor.len().next_multiple_of(shape.block), 0.0);
    let register = (shape.basis == Basis::Lfsr).then(|| Directions::of_register(shape.directions(), shape.block));
    let mut layers = Vec::with_capacity(shape.layers);
    for _ in 0..shape.layers {
        context.check_cancelled()?;
        layers.push(layer(shape, register.as_ref(), &mut left));
    }
    context.advance(tensor.len());
    let kind = if shape.basis == Basis::Learned { 0 } else { 1 };
    let mut params = vec![kind, shape.block as u8, shape.index, shape.coefficient, shape.layers as u8];
    params.extend_from_slice(&power.to_bytes());
    Ok(Encoded { params, layers })
}

/// One layer of what is left, which it is taken off.
fn layer(shape: Shape, register: Option<&Directions>, left: &mut [f32]) -> Layer {
    let mut segments = Vec::new();
    let learned;
    let directions = match register {
        Some(register) => register,
        None => {
            let bytes = Directions::learn(left, shape.block, shape.directions()).to_bytes();
            // As a decoder sees them.
            learned = Directions::from_bytes(&bytes, shape.block);
            let symbols = Symbols::bits(8, bytes.len(), shape.block);
            segments.push(Segment::new(Role::Codebook, symbols, bytes));
            &learned
        }
    };
    let nearest = directions.nearest(left);
    let along: Vec<f32> = nearest.iter().map(|&(_, along)| along).collect();
    let halves = levels::learn(&along, shape.coefficient);
    let values: Vec<f32> = halves.iter().map(|&level: &f16| level.to_f32()).collect();
    let chosen: Vec<u32> = along.iter().map(|&along| levels::nearest(&values, along)).collect();
    for (block, (&(index, _), &level)) in left.chunks_exact_mut(shape.block).zip(nearest.iter().zip(&chosen)) {
        let level = values[level as usize];
        block.iter_mut().zip(directions.get(index as usize)).for_each(|(left, entry)| *left -= level * entry);
    }
    let floats = Symbols::floats(Packing::F16, halves.len());
    segments.push(Segment::new(Role::Scales, floats, halves.iter().flat_map(|level| level.to_le_bytes()).collect()));
    let bits = |width: u8| Symbols::bits(width, chosen.len(), 0);
    let indices = pack_bits(nearest.iter().map(|&(index, _)| index), shape.index);
    segments.push(Segment::new(Role::Indices, bits(shape.index), indices));
    let coefficients = pack_bits(chosen.iter().copied(), shape.coefficient);
    segments.push(Segment::new(Role::Coefficients, bits(shape.coefficient), coefficients));
    Layer { segments }
}
