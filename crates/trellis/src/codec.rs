//! The codec: what becomes of rows before they are searched.

use seedpress_codec::{
    Capabilities, Codec, ConfigError, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Registry,
    TensorView,
};

use crate::config::{Config, Hessian, Rotation, Transform};
use crate::matrix::{self, Preparation};
use crate::rotated::Rotated;
use crate::{stream, transformed};

/// The codec.
#[derive(Debug, Clone)]
pub struct Trellis {
    config: Config,
}

impl Codec for Trellis {
    const ID: &'static str = "trellis";
    const FORMAT: u32 = stream::FORMAT;
    const SUMMARY: &'static str = "entropy-coded trellis quantisation, 4 to 256 states, any fractional rate";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self { config }
    }

    fn with_codecs(config: Config, _: &Registry) -> Result<Self, ConfigError> {
        if config.slope.get() > 0.0 && config.bits != Config::default().bits {
            return Err(ConfigError::new("`slope` decides the rate: leave `bits` out, or set `slope` to 0"));
        }
        if config.transform != Transform::None && config.rotation != Rotation::None {
            return Err(ConfigError::new("`rotation` hides what `transform` finds: set one of them to \"none\""));
        }
        Ok(Self::new(config))
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            targets_bits: self.config.slope.get() == 0.0,
            uses_calibration: self.config.hessian != Hessian::None,
            one_step: self.config.hessian != Hessian::None,
            ..Capabilities::default()
        }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        if self.config.transform != Transform::None {
            return transformed::encode(&self.config, tensor, context);
        }
        let seed = self.config.seed.get() as u32;
        let rotated = match self.config.rotation {
            Rotation::None => None,
            Rotation::Hadamard => Rotated::new(tensor, context.calibration, seed),
        };
        match rotated {
            None => matrix::encode(&self.config, tensor, tensor, context, Preparation::None),
            Some(rotated) => {
                let turned = TensorView::new(tensor.name(), tensor.shape(), &rotated.values, tensor.dtype());
                let turned = turned.map_err(|error| EncodeError::Internal(error.to_string()))?;
                let context = EncodeContext { calibration: rotated.calibration.as_ref(), ..*context };
                matrix::encode(&self.config, &turned, tensor, &context, Preparation::Rotated(seed))
            }
        }
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        transformed::decode(encoded, out, limits)
    }
}
