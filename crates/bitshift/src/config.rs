//! Options.

use schemars::JsonSchema;
use seedpress_codec::Int;
use serde::{Deserialize, Serialize};

/// How long the register is. The time to encode doubles with every bit, that to decode stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// 10 bits.
    Fast,
    /// 12 bits.
    #[default]
    Default,
    /// 14 bits.
    High,
    /// 16 bits.
    Best,
}

/// What of the inputs' second moment an encoder minimises the output error by. Without calibration data there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hessian {
    /// Nothing: the path nearest to the weights.
    #[default]
    None,
    /// All of it: blocks run down the columns, which make up for the errors of those before them.
    Full,
}

/// Options of [`BitShift`](crate::BitShift).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bits per weight. Scales, where they pay, add 1/32.
    pub bits: Int<1, 4>,
    /// How long the register is: `fast` 10 bits, `default` 12, `high` 14, `best` 16.
    pub effort: Effort,
    /// Rotate blocks by random signs and a Hadamard transform before the search, so that heavy tails do not matter.
    pub rotate: bool,
    /// Seed of the signs.
    pub seed: Int<0, 4_294_967_295>,
    /// `full` feeds errors forward by the second moment of the inputs, with calibration data: blocks down the columns, as many bits.
    pub hessian: Hessian,
}

impl Default for Config {
    fn default() -> Self {
        Self { bits: Int::of(2), effort: Effort::Default, rotate: true, seed: Int::of(0), hessian: Hessian::None }
    }
}
