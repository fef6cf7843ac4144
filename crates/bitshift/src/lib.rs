//! A fixed-rate trellis: exactly `k` bits a weight, decoded at random access and without tables.
//!
//! The code is a shift register of `L` bits. Each weight shifts in `k` new ones, and a few integer operations turn the register into a
//! nearly normal number ([`code`]); the encoder searches the path whose numbers are nearest to the weights ([`search`]). Blocks of 256
//! weights are circular, so that the register needs no start. Normal weights are a must: [`seedpress_rotation`] makes any weights look normal.
//! Sources: A. Tseng, Q. Sun, D. Hou, C. De Sa, "QTIP: Quantization with Trellises and Incoherence Processing", NeurIPS 2024 (bit-shift
//! trellis, computed codes, tail-biting in two searches); M. Marcellin, T. Fischer, IEEE Trans. Comm. 38 (1), 1990.
//!
//! With calibration data blocks run down the columns instead of along the rows ([`columns`]), so that each column can make up for the
//! errors of those before it.
//!
//! Beside the entropy-coded codec `trellis` it gives up rate flexibility and, on weights that are not normal, distortion; it gains
//! random access and a decoder without state from block to block.

pub mod code;
mod columns;
mod header;
pub mod search;
pub mod stream;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod wide;

use schemars::JsonSchema;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Registry,
    TensorView,
};
use serde::{Deserialize, Serialize};

pub use crate::header::Settings;

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

/// Options of [`BitShift`].
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

/// The codec.
#[derive(Debug, Clone)]
pub struct BitShift {
    config: Config,
}

impl Codec for BitShift {
    const ID: &'static str = "bitshift";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "fixed-rate bit-shift trellis with a computed code (QTIP), 1 to 4 bits, random access";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self { config }
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { uses_calibration: self.config.hessian != Hessian::None, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let state_bits = match self.config.effort {
            Effort::Fast => 10,
            Effort::Default => 12,
            Effort::High => 14,
            Effort::Best => 16,
        };
        let seed = self.config.rotate.then(|| self.config.seed.get() as u32);
        let settings = Settings { bits: self.config.bits.get() as u32, state_bits, seed };
        let calibration = context.calibration.filter(|_| self.config.hessian == Hessian::Full);
        if let Some(statistics) = calibration
            && let Some(encoded) = columns::encode(tensor, context, settings, statistics)?
        {
            return Ok(encoded);
        }
        stream::encode(tensor, context, settings)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        stream::decode(encoded, out, limits)
    }
}

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<BitShift>()
}
