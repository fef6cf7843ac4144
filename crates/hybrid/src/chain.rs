//! `hybrid`: each codec of a chain compresses what those before it left of the weights.
//!
//! Parameters: the number of codecs `u8`, then a [head](crate::nested) for each. Layers: those of the first codec, of the second, and so
//! on. Whatever arrives decodes to the sum of what is complete.

use schemars::JsonSchema;
use seedpress_codec::wire::Reader;
use seedpress_codec::{
    Capabilities, Codec, ConfigError, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Registry,
    TensorView,
};
use serde::{Deserialize, Serialize};

use crate::nested::{Head, Nested, write_head};

/// Most codecs in a chain.
const LONGEST: usize = 16;

/// Options of [`Hybrid`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HybridOptions {
    /// Codecs with their options, separated by bars: the first compresses the weights, each further one what those before it left.
    pub chain: String,
}

impl Default for HybridOptions {
    fn default() -> Self {
        Self { chain: "bitnet:scale=row,threshold=mse | seedlm-paper:block=12,coefficients=4".to_owned() }
    }
}

/// A residual chain.
#[derive(Debug, Clone)]
pub struct Hybrid {
    config: HybridOptions,
    nested: Nested,
}

impl Codec for Hybrid {
    const ID: &'static str = "hybrid";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "a chain of codecs, each on what those before it left: a ternary base with seeds on top, for one";
    type Config = HybridOptions;

    fn new(config: HybridOptions) -> Self {
        Self { config, nested: Nested::default() }
    }

    fn with_codecs(config: HybridOptions, codecs: &Registry) -> Result<Self, ConfigError> {
        let nested = Nested::parse(&config.chain, &["hybrid", "choice"], codecs)?;
        if nested.codecs.len() > LONGEST {
            return Err(ConfigError::new(format!("a chain of {} codecs: {LONGEST} are legal", nested.codecs.len())));
        }
        Ok(Self { config, nested })
    }

    fn config(&self) -> &HybridOptions {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        let codecs = &self.nested.codecs;
        Capabilities {
            uses_calibration: codecs.iter().any(|codec| codec.capabilities().uses_calibration),
            progressive: codecs.len() > 1 || codecs.iter().any(|codec| codec.capabilities().progressive),
            ..Capabilities::default()
        }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let (codecs, shape) = (&self.nested.codecs, tensor.shape());
        if codecs.is_empty() {
            return Err(EncodeError::Internal("a chain built without codecs".to_owned()));
        }
        let mut chain = Encoded { params: vec![codecs.len() as u8], layers: Vec::new() };
        let mut left = tensor.values().to_vec();
        // Progress is that of the chain as a whole.
        let quiet = EncodeContext { progress: None, ..*context };
        for (at, codec) in codecs.iter().enumerate() {
            context.check_cancelled()?;
            let residual = TensorView::new(tensor.name(), shape, &left, tensor.dtype())
                .map_err(|error| EncodeError::Internal(error.to_string()))?;
            let encoded = Nested::encode(codec, &residual, &quiet)?;
            if at + 1 < codecs.len() {
                let decoded = self.nested.decode(codec, &encoded, shape)?;
                left.iter_mut().zip(decoded).for_each(|(left, decoded)| *left = within(*left - decoded));
            }
            write_head(codec, &encoded, &mut chain.params);
            chain.layers.extend(encoded.layers);
        }
        context.advance(tensor.len());
        Ok(chain)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let mut params = Reader::new(encoded.params);
        let count = usize::from(params.u8()?);
        if !(1..=LONGEST).contains(&count) {
            return Err(DecodeError::corrupt("no such chain of codecs").at_offset(0));
        }
        let heads = (0..count).map(|_| Head::read(&mut params)).collect::<Result<Vec<_>, _>>()?;
        params.finish()?;
        let total = heads.iter().try_fold(0usize, |sum, head| sum.checked_add(head.layers));
        if total.is_none_or(|total| encoded.layers.len() > total) {
            return Err(DecodeError::corrupt("more layers than the codecs of the chain have"));
        }
        let mut first = 0;
        let mut part: Vec<f32> = Vec::new();
        for (at, head) in heads.iter().enumerate() {
            let have = head.layers.min(encoded.layers.len() - first);
            if have == 0 {
                break;
            }
            let layers = &encoded.layers[first..first + have];
            // Errors name the layer of the whole.
            let placed = |error: DecodeError| DecodeError { layer: error.layer.map(|layer| layer + first), ..error };
            if at == 0 {
                head.decode(encoded, layers, out, limits).map_err(placed)?;
            } else {
                if part.is_empty() {
                    part = limits.filled(out.len(), 0f32)?;
                }
                part.fill(0.0);
                head.decode(encoded, layers, &mut part, limits).map_err(placed)?;
                out.iter_mut().zip(&part).for_each(|(sum, &part)| *sum = within(*sum + part));
            }
            first += have;
        }
        Ok(())
    }
}

/// What would overflow becomes the largest finite value; a NaN, which no codec decodes to, stays one and is refused by the record.
fn within(value: f32) -> f32 {
    value.clamp(f32::MIN, f32::MAX)
}
