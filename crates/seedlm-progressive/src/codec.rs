//! The codec.

use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, TensorView,
};

use crate::config::{Config, Hessian};

/// Layered SeedLM.
#[derive(Debug, Clone)]
pub struct SeedlmProgressive {
    config: Config,
}

impl Codec for SeedlmProgressive {
    const ID: &'static str = "seedlm-progressive";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "layers of signed windows of decimated register sequences, each on the residual of the layers before (after SeedLM)";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self { config }
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            progressive: self.config.shape().layers > 1,
            targets_bits: true,
            uses_calibration: self.config.weighted || self.config.hessian != Hessian::None,
            ..Capabilities::default()
        }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        crate::encode::encode(&self.config, tensor, context)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        crate::decode::decode(encoded, out, limits)
    }
}
