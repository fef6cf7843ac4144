//! `choice`: every tensor in the codec that serves it best.
//!
//! All candidates compress the tensor. The one of the least `10 log10 D + trade * R` is kept, `D` being the error at the layer's output in
//! parts of the output's power (of the weights themselves where there is no calibration data) and `R` the bits a weight really written.
//! With the default trade, 6.02 dB a bit, this is the codec nearest to the slope of every rate-distortion function at high rates; less
//! favours quality, more favours size.
//!
//! Parameters: a [head](crate::nested). Layers: those of the codec chosen.

use schemars::JsonSchema;
use seedpress_calibration::output_error;
use seedpress_codec::wire::Reader;
use seedpress_codec::{
    Capabilities, Codec, ConfigError, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Number,
    Registry, TensorView,
};
use seedpress_entropy::binary::log2;
use serde::{Deserialize, Serialize};

use crate::nested::{Head, Nested, write_head};

/// Options of [`Choice`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChoiceOptions {
    /// Codecs with their options, separated by bars.
    pub of: String,
    /// Decibels of error that a bit a weight is worth.
    pub trade: Number<0, 100_000>,
}

impl Default for ChoiceOptions {
    fn default() -> Self {
        Self { of: "q4_k | nf4 | bitnet:scale=row,threshold=mse".to_owned(), trade: Number::of(6.02) }
    }
}

/// The best of several codecs.
#[derive(Debug, Clone)]
pub struct Choice {
    config: ChoiceOptions,
    nested: Nested,
}

/// Errors below this part of the power (-200 dB) are all the same.
const LEAST: f64 = 1e-20;
/// Decibels of a doubling.
const DOUBLING: f64 = 3.010_299_956_639_812;

impl Codec for Choice {
    const ID: &'static str = "choice";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "for each tensor the one of several codecs that trades bits for output error best";
    type Config = ChoiceOptions;

    fn new(config: ChoiceOptions) -> Self {
        Self { config, nested: Nested::default() }
    }

    fn with_codecs(config: ChoiceOptions, codecs: &Registry) -> Result<Self, ConfigError> {
        let nested = Nested::parse(&config.of, &["choice"], codecs)?;
        Ok(Self { config, nested })
    }

    fn config(&self) -> &ChoiceOptions {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        let any = |has: fn(Capabilities) -> bool| self.nested.codecs.iter().any(|codec| has(codec.capabilities()));
        Capabilities {
            // Choosing itself weighs errors at the output.
            uses_calibration: true,
            progressive: any(|codec| codec.progressive),
            local_scales: !any(|codec| !codec.local_scales),
            keeps_zeros: !any(|codec| !codec.keeps_zeros),
            ..Capabilities::default()
        }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let quiet = EncodeContext { progress: None, ..*context };
        let mut best: Option<(f64, &seedpress_codec::AnyCodec, Encoded)> = None;
        for codec in &self.nested.codecs {
            context.check_cancelled()?;
            let encoded = Nested::encode(codec, tensor, &quiet)?;
            let decoded = self.nested.decode(codec, &encoded, tensor.shape())?;
            let bytes: usize = encoded.layers.iter().flat_map(|layer| &layer.segments).map(|s| s.bytes.len()).sum();
            let bits = 8.0 * (bytes + encoded.params.len()) as f64 / tensor.len() as f64;
            let loss = DOUBLING * log2(error(tensor, &decoded, context).clamp(LEAST, f64::MAX));
            let score = loss + self.config.trade.get() * bits;
            if best.as_ref().is_none_or(|best| score < best.0) {
                best = Some((score, codec, encoded));
            }
        }
        let Some((_, codec, encoded)) = best else {
            return Err(EncodeError::Internal("a choice built without codecs".to_owned()));
        };
        context.advance(tensor.len());
        let mut params = Vec::new();
        write_head(codec, &encoded, &mut params);
        Ok(Encoded { params, layers: encoded.layers })
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let mut params = Reader::new(encoded.params);
        let head = Head::read(&mut params)?;
        params.finish()?;
        if encoded.layers.len() > head.layers {
            return Err(DecodeError::corrupt("more layers than the codec has"));
        }
        head.decode(encoded, &encoded.layers, out, limits)
    }
}

/// The error in parts of the power: of the layer's output where calibration data fits the tensor, else of the weights.
fn error(tensor: &TensorView<'_>, decoded: &[f32], context: &EncodeContext<'_>) -> f64 {
    let statistics = context.calibration.filter(|statistics| statistics.columns() == tensor.columns());
    if let Some(found) = statistics.and_then(|s| output_error(tensor.values(), decoded, s).ok())
        && found.power > 0.0
    {
        return found.relative();
    }
    let square = |value: f32| f64::from(value) * f64::from(value);
    let power: f64 = tensor.values().iter().map(|&value| square(value)).sum();
    let missed: f64 = tensor.values().iter().zip(decoded).map(|(&w, &v)| square(w - v)).sum();
    if missed == 0.0 { 0.0 } else { missed / power.max(f64::MIN_POSITIVE) }
}
