//! Options.

use schemars::JsonSchema;
use seedpress_codec::Int;
use serde::{Deserialize, Serialize};

/// What of the inputs' second moment an encoder minimises the output error by. Without calibration data there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hessian {
    /// Nothing, or its diagonal where errors are `weighted`.
    #[default]
    None,
    /// All of it: blocks make up for the errors of those before them.
    Full,
}

/// Options of [`SeedLm`](crate::SeedLm). The defaults are the paper's 4-bit setting; block 12, coefficients 4 is its 3-bit setting.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Weights in a block, C.
    pub block: Int<8, 32>,
    /// Coefficients of a block, P.
    pub coefficients: Int<1, 6>,
    /// Bits of a seed, K.
    pub k: Int<4, 18>,
    /// Bits of a coefficient.
    pub coefficient_bits: Int<2, 8>,
    /// Exponents in an octave. 1 as published; more make finer steps of a narrower range at the same bits: 2 is better for tensors whose
    /// rows have similar scales, 4 for tensors that are Gaussian all over.
    pub exponents_per_octave: Int<1, 4>,
    /// Weigh the error of a column by the mean square of its input, where calibration data is given and blocks do not cross rows:
    /// better outputs, larger plain error. Slower: every column of blocks has a table of its own.
    pub weighted: bool,
    /// `full` minimises the error of the layer's output, with calibration data: seeds and coefficients of a block are chosen by the quadratic
    /// form of its inputs, and errors are fed forward to later blocks. The bytes have the same layout; `weighted` then says nothing more.
    pub hessian: Hessian,
    /// Seeds tried for every block, evenly spread over the cycle; 0 tries all of them.
    pub candidates: Int<0, 262_143>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            block: Int::of(8),
            coefficients: Int::of(3),
            k: Int::of(16),
            coefficient_bits: Int::of(4),
            exponents_per_octave: Int::of(1),
            weighted: false,
            hessian: Hessian::None,
            candidates: Int::of(0),
        }
    }
}
