//! The codec: blocks down the columns where there are statistics to feed errors forward by, along the rows otherwise.

use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, TensorView,
};

use crate::config::{Config, Effort, Hessian};
use crate::header::Settings;
use crate::{columns, rows, stream};

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
        rows::encode(tensor, context, settings)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        stream::decode(encoded, out, limits)
    }
}
