//! The codec: options to a shape, and a stream back to weights.

use half::f16;
use rayon::prelude::*;
use seedpress_codec::packing::BitReader;
use seedpress_codec::wire::Reader;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, PowerOfTwo, Role,
    TensorView,
};

use crate::basis::{Directions, TASK};
use crate::config::{Basis, Config, Shape};
use crate::encode;

/// Directions and coefficients in layers.
#[derive(Debug, Clone)]
pub struct LearnedBasis(Config);

impl Codec for LearnedBasis {
    const ID: &'static str = "learned-basis";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "blocks along learned directions, or an LFSR's, in layers: a basis against a seed at equal bits";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self(config)
    }

    fn config(&self) -> &Config {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { progressive: self.0.layers.get() > 1, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let shape = Shape {
            basis: self.0.basis,
            block: self.0.block.size(),
            index: self.0.index.get() as u8,
            coefficient: self.0.coefficient.get() as u8,
            layers: self.0.layers.size(),
        };
        encode::encode(shape, tensor, context)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let mut reader = Reader::new(encoded.params);
        let [basis, block, index, coefficient, layers] =
            [reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?];
        let power = PowerOfTwo::read(&mut reader)?;
        reader.finish()?;
        let legal = (2..=32).contains(&block) && (1..=12).contains(&index) && (1..=8).contains(&coefficient);
        if basis > 1 || !legal || !(1..=8).contains(&layers) || encoded.layers.len() > usize::from(layers) {
            return Err(DecodeError::corrupt("no such kind of blocks").at_offset(0));
        }
        let basis = if basis == 0 { Basis::Learned } else { Basis::Lfsr };
        let shape = Shape { basis, block: block.into(), index, coefficient, layers: layers.into() };
        for layer in 0..encoded.layers.len() {
            add_layer(shape, encoded, layer, out, limits)?;
        }
        out.par_chunks_mut(TASK * shape.block).for_each(|out| power.up_all(out));
        Ok(())
    }
}

/// Adds what a layer says to `out`.
fn add_layer(
    shape: Shape,
    encoded: &EncodedView<'_>,
    layer: usize,
    out: &mut [f32],
    limits: &mut Limits,
) -> Result<(), DecodeError> {
    let mut segments = encoded.segments(layer)?;
    let numbers = shape.directions() * shape.block;
    limits.take(8 * numbers as u64)?;
    let directions = match shape.basis {
        Basis::Learned => Directions::from_bytes(segments.exact(Role::Codebook, numbers)?, shape.block),
        Basis::Lfsr => Directions::of_register(shape.directions(), shape.block),
    };
    let levels = segments.exact(Role::Scales, 2 << shape.coefficient)?;
    let levels: Vec<f32> = levels.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
    if levels.iter().any(|level| !level.is_finite()) {
        return Err(DecodeError::corrupt("a level is not finite").at(layer, usize::from(shape.basis == Basis::Learned)));
    }
    let count = out.len().div_ceil(shape.block);
    let indices = BitReader::new(segments.take(Role::Indices)?, shape.index, count)?;
    let coefficients = BitReader::new(segments.take(Role::Coefficients)?, shape.coefficient, count)?;
    segments.finish()?;
    out.par_chunks_mut(TASK * shape.block).enumerate().for_each(|(task, out)| {
        for (block, out) in (task * TASK..).zip(out.chunks_mut(shape.block)) {
            let level = levels[coefficients.get(block) as usize];
            let direction = directions.get(indices.get(block) as usize);
            out.iter_mut().zip(direction).for_each(|(out, along)| *out += level * along);
        }
    });
    Ok(())
}
