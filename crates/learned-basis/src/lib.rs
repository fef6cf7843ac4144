//! `learned-basis`: what a seed costs against a codebook.
//!
//! Weights are cut into blocks, and each layer writes for every block which of `2^k` unit directions comes nearest to what is left of it, and
//! how long it is along that direction. Directions are learned from the tensor, and their bytes counted, or come from a shift register as
//! those of SeedLM do and cost nothing; everything else is the same code, so that the two can be compared at equal bits.
//!
//! Learning is that of a gain-shape quantiser (spherical k-means whose directions have no sign; M. Sabin, R. Gray, "Product code vector
//! quantizers for waveform and voice coding", IEEE Trans. ASSP 32, 1984), one direction a block: the sparsest case of K-SVD.
//!
//! | bytes | |
//! | --- | --- |
//! | parameters | basis `u8` (0 learned, 1 register), block `u8`, bits of an index `u8`, bits of a coefficient `u8`, layers `u8`, a power of two |
//! | of each layer | directions (learned only: signed bytes, of unit length after division by their norm), levels of coefficients (binary16), indices, numbers of levels |
//!
//! Any prefix of the layers decodes.

mod basis;
mod encode;
mod levels;

use half::f16;
use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::packing::BitReader;
use seedpress_codec::wire::Reader;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, PowerOfTwo,
    Registry, Role, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::basis::Directions;

/// Where directions come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Learned from the tensor, every layer its own.
    #[default]
    Learned,
    /// Windows of the sequence of a 16-bit register, the same for all layers.
    Lfsr,
}

/// Options of [`LearnedBasis`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `learned` from the tensor and counted, or of an `lfsr`.
    pub basis: Basis,
    /// Weights in a block.
    pub block: Int<2, 32>,
    /// Bits of an index: there are 2 to this power directions.
    pub index: Int<1, 12>,
    /// Bits of a coefficient, its sign included.
    pub coefficient: Int<1, 8>,
    /// Layers. A weight takes (index + coefficient) / block bits in each.
    pub layers: Int<1, 8>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            basis: Basis::Learned,
            block: Int::of(8),
            index: Int::of(8),
            coefficient: Int::of(4),
            layers: Int::of(2),
        }
    }
}

/// Directions and coefficients in layers.
#[derive(Debug, Clone)]
pub struct LearnedBasis(Config);

/// What a stream says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub basis: Basis,
    pub block: usize,
    pub index: u8,
    pub coefficient: u8,
    pub layers: usize,
}

impl Shape {
    pub fn directions(self) -> usize {
        1 << self.index
    }
}

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

/// Blocks a parallel task works on.
pub(crate) const TASK: usize = 512;

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

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<LearnedBasis>()
}
