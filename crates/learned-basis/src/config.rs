//! Options, and what a stream says of them.

use schemars::JsonSchema;
use seedpress_codec::Int;
use serde::{Deserialize, Serialize};

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

/// Options of [`LearnedBasis`](crate::LearnedBasis).
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
    pub(crate) fn directions(self) -> usize {
        1 << self.index
    }
}
