//! SeedLM as published (arXiv 2410.10714): one seed, one exponent and a few coefficients a block.
//!
//! A block of `C` weights becomes `top 2^(e-7) U(seed) q`: `U` is the paper's `C x P` window of register states, `q` are `P`
//! two's-complement coefficients, `e` a 4-bit exponent in `[-8, 7]`, `top` one `f32` a tensor. The last block is padded with zeros.
//! The encoder finds the optimum of this format: seed, exponent and coefficients jointly, not one after the other.
//!
//! | part | layout |
//! | --- | --- |
//! | params | `C` u8, `P` u8, `K` u8, coefficient bits u8, `top` f32 |
//! | seeds | `K` bits a block |
//! | exponents | 4 bits a block, `e + 8` |
//! | coefficients | `P` symbols a block, two's complement |

mod decode;
pub mod encode;
pub mod search;

use schemars::JsonSchema;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Registry,
    TensorView,
};
use serde::{Deserialize, Serialize};

/// Options of [`SeedLm`]. The defaults are the paper's 4-bit setting; block 12, coefficients 4 is its 3-bit setting.
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
            candidates: Int::of(0),
        }
    }
}

/// The codec.
#[derive(Debug, Clone, Default)]
pub struct SeedLm {
    config: Config,
}

impl Codec for SeedLm {
    const ID: &'static str = "seedlm-paper";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "SeedLM as published: a seed, an exponent and few coefficients a block (arXiv 2410.10714)";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self { config }
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        encode::encode(&self.config, tensor, context)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        decode::decode(encoded, out, limits)
    }
}

/// The factor of every exponent code, exactly as the decoder multiplies it: `top 2^(code - 15)`.
fn factors(top: f32) -> [f32; 16] {
    std::array::from_fn(|code| top * 2f32.powi(code as i32 - 15))
}

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<SeedLm>()
}
