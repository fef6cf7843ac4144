//! SeedLM as published (arXiv 2410.10714): one seed, one exponent and a few coefficients a block.
//!
//! A block of `C` weights becomes `top 2^((e-7)/n) U(seed) q`: `U` is the paper's `C x P` window of register states, `q` are `P`
//! two's-complement coefficients, `e` a 4-bit exponent in `[-8, 7]`, `top` one `f32` a tensor, and `n = 1` as published. The last
//! block is padded with zeros. The encoder finds the optimum of this format: seed, exponent and coefficients jointly, not one after
//! the other.
//!
//! On Gaussian weights that optimum is a relative squared error of .0141 at 4 bits and .0479 at 3. It is the format's, not the search's:
//! the search is exhaustive over seed, exponent and coefficients (`tests/search.rs` compares it with enumeration), and the one freedom
//! left to a tensor, where its octaves fall (`top` need not be a power of two), moves the error by less than .0002. What costs is the
//! octave itself: half octaves (`n = 2`) reach .0128 and .0461, quarters .0120 and .0451, at the same bits (`examples/grids.rs`).
//!
//! Decoding on one thread, of 64 MiB: 1.6 times the speed of copying as many bytes at 4 bits, 1.8 times at 3 (AVX-512; decoding reads
//! an eighth of what copying reads).
//!
//! | part | layout |
//! | --- | --- |
//! | params | `C` u8, `P` u8, `K` u8, coefficient bits u8, `n` u8, `top` f32 |
//! | seeds | `K` bits a block |
//! | exponents | 4 bits a block, `e + 8` |
//! | coefficients | `P` symbols a block, two's complement |

mod decode;
pub mod encode;
mod fed;
mod kernel;
pub mod search;

use schemars::JsonSchema;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Registry,
    TensorView,
};
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
        Capabilities {
            uses_calibration: self.config.weighted || self.config.hessian != Hessian::None,
            ..Capabilities::default()
        }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        encode::encode(&self.config, tensor, context)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _limits: &mut Limits) -> Result<(), DecodeError> {
        decode::decode(encoded, out)
    }
}

/// What turns centred states into numbers in `[-1, 1]`, as the decoder multiplies it.
fn unit(width: u32) -> f32 {
    1.0 / ((1u32 << (width - 1)) - 1) as f32
}

/// The factor of every exponent code, exactly as the decoder multiplies it: `top 2^((code - 15) / octave)`.
fn factors(top: f32, octave: u8) -> [f32; 16] {
    use std::f64::consts::FRAC_1_SQRT_2;
    /// `2^(-i/n)` by `n - 1` and `i`, as constants: no library's power function decides a weight.
    const FRACTIONS: [[f64; 4]; 4] = [
        [1.0; 4],
        [1.0, FRAC_1_SQRT_2, 1.0, 1.0],
        [1.0, 0.793_700_525_984_099_8, 0.629_960_524_947_436_6, 1.0],
        [1.0, 0.840_896_415_253_714_5, FRAC_1_SQRT_2, 0.594_603_557_501_360_5],
    ];
    std::array::from_fn(|code| {
        let (octaves, fraction) = ((15 - code) / usize::from(octave), (15 - code) % usize::from(octave));
        let scale = FRACTIONS[usize::from(octave) - 1][fraction] / f64::from(1u32 << octaves);
        (f64::from(top) * scale) as f32
    })
}

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<SeedLm>()
}
