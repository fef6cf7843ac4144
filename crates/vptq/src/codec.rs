//! The codec.

use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, TensorView,
};

use crate::config::{Config, Hessian};
use crate::{encode, stream};

/// The codec.
#[derive(Debug, Clone)]
pub struct Vptq(Config);

impl Codec for Vptq {
    const ID: &'static str = "vptq";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "vectors from learned codebooks with error feedback (VPTQ), codebooks counted";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self(config)
    }

    fn config(&self) -> &Config {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            targets_bits: true,
            uses_calibration: self.0.hessian != Hessian::None,
            ..Capabilities::default()
        }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        encode::encode(tensor, context, &self.0)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        stream::decode(encoded, out, limits)
    }
}
