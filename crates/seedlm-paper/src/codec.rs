//! The codec.

use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, TensorView,
};

use crate::config::{Config, Hessian};
use crate::{decode, encode};

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
