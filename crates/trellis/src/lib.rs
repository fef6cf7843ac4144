//! Trellis-coded quantisation with an adaptive entropy code.
//!
//! Two quantisers with doubled spacing take turns; a convolutional code says whose turn it is, so that the decoder follows from the
//! parities of the indices while the encoder searches all paths (Viterbi) for the least `distortion + lambda x bits`. This buys most of
//! the 1.53 dB of granular gain that a scalar quantiser leaves on the table, at any rate, for the price of a scalar decoder.
//! Sources: M. W. Marcellin, T. R. Fischer, "Trellis coded quantization of memoryless and Gauss-Markov sources", IEEE Trans. Comm. 38
//! (1), 1990; T. R. Fischer, M. Wang, "Entropy-constrained trellis-coded quantization", IEEE Trans. Inf. Theory 38 (2), 1992; the
//! dependent quantisation of ISO/IEC 15938-17, whose second quantiser keeps zero as we do.
//!
//! | module | idea |
//! | --- | --- |
//! | [`code`] | the convolutional codes |
//! | [`viterbi`] | the search |
//! | [`symbols`] | from indices to binary decisions |
//! | [`classes`] | row and column scales as contexts |
//! | [`weights`] | column weights from calibration |
//! | [`rotated`] | rows and what is known of their inputs, rotated |
//! | [`transformed`] | rows through a cosine transform or along their principal directions |
//! | [`pass`], [`sweep`] | choosing all weights once: as they lie, or column by column with errors fed forward |
//! | [`encoder`] | statistics, rate search |
//! | [`layers`] | the progressive codec |
//! | [`stream`] | the bytes and the decoder |

pub mod classes;
pub mod code;
pub mod encoder;
pub mod layers;
mod math;
pub mod pass;
pub mod rotated;
pub mod stream;
pub mod sweep;
pub mod symbols;
mod transformed;
pub mod viterbi;
pub mod weights;

use schemars::JsonSchema;
use seedpress_codec::{
    Capabilities, Codec, ConfigError, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits,
    Number, Registry, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::encoder::{Aim, Weighing};
use crate::layers::Layered;
use crate::rotated::Rotated;

/// How hard the encoder searches. The decoder's speed is the same for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// 8 states.
    Fast,
    /// 16 states; 32 from 2.2 and 256 from 2.75 bits on, where the search for a rate is short and other codecs come closest.
    #[default]
    Default,
    /// 64 states, 256 from 2.75 bits on.
    High,
    /// 256 states: within about 0.3 dB of the rate-distortion function at high rates.
    Best,
}

impl Effort {
    /// The search for a layer of several, which looks at the next one: `2^(2 memory)` states.
    fn layered(self, rate: f64, count: usize) -> encoder::Search {
        let memory = match self {
            Effort::Fast => 5,
            Effort::Default => 6,
            Effort::High => 7,
            Effort::Best => 8,
        };
        encoder::Search { memory, ..self.search(rate, count) }
    }

    /// The search at a rate in bits per weight for a number of weights.
    fn search(self, rate: f64, count: usize) -> encoder::Search {
        let memory = match self {
            Effort::Fast => 3,
            Effort::Default if rate < 2.2 => 4,
            Effort::Default if rate < 2.75 => 5,
            Effort::High if rate < 2.75 => 6,
            Effort::Default | Effort::High | Effort::Best => 8,
        };
        let passes = if count < stream::CHUNK { 12 } else { 6 };
        let (sample, tolerance) = match self {
            Effort::Fast => (1 << 14, 0.008),
            // The passes over the sample would be nearly all of the time.
            Effort::Default if count <= stream::CHUNK => (1 << 13, 0.005),
            Effort::Default => (1 << 14, 0.005),
            Effort::High | Effort::Best => (1 << 16, 0.004),
        };
        encoder::Search { memory, passes, sample, tolerance, contexts: true, rotation: None, spread: false }
    }
}

/// Options of [`Trellis`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Target in bits per weight, everything the codec writes included; the header of the record (name, shape, options, checksum: about
    /// 40 bytes) comes on top.
    pub bits: Number<100, 12000>,
    /// How hard to search: `fast`, `default`, `high` or `best`.
    pub effort: Effort,
    /// What errors count, where calibration data is given: `none` takes them all alike (least plain error), `diagonal` weighs those of
    /// a column by the mean square of its input, `full` minimises the error of the layer's output, errors of some columns making up for
    /// those of others. Without calibration data all three are `none`.
    pub hessian: Hessian,
    /// Where not 0, each tensor gets the rate at which one more bit for all of it would lower its relative error (that of the output with
    /// `hessian`) by `2^-slope`, instead of `bits`. One slope for a whole model shares its bits among the tensors.
    pub slope: Number<0, 64_000>,
    /// Row and column scales as contexts of the entropy code, where they pay. Off only to measure what they save.
    pub contexts: bool,
    /// What becomes of rows before the search: `none`, or `hadamard` for random signs and a Hadamard transform of up to 256 neighbours
    /// at a time. The entropy code gains more from heavy tails than a rotation that hides them: it rarely pays (`docs/findings.md`).
    pub rotation: Rotation,
    /// Seed of the rotation's signs.
    pub seed: Int<0, 4_294_967_295>,
    /// What takes out what the columns of a row have in common: `dct` a cosine transform, which takes no bytes, `klt` the principal
    /// directions of the tensor, whose bytes count (of at most 1,024 columns), `auto` whichever of these and `none` comes out best in bytes
    /// written and decoded.
    pub transform: Transform,
}

/// What takes out what the columns of a row have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transform {
    /// Nothing.
    #[default]
    None,
    /// A cosine transform along the inputs.
    Dct,
    /// The principal directions of the tensor's rows.
    Klt,
    /// The best of these.
    Auto,
}

/// What becomes of rows before the search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// Nothing.
    #[default]
    None,
    /// Random signs and Hadamard transforms along the inputs.
    Hadamard,
}

/// How much of the second moment of a layer's inputs the encoder uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hessian {
    /// Nothing.
    #[default]
    None,
    /// Its diagonal.
    Diagonal,
    /// All of it.
    Full,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bits: Number::of(3.0),
            effort: Effort::Default,
            hessian: Hessian::None,
            slope: Number::of(0.0),
            contexts: true,
            rotation: Rotation::None,
            seed: Int::of(0),
            transform: Transform::None,
        }
    }
}

/// The codec.
#[derive(Debug, Clone)]
pub struct Trellis {
    config: Config,
}

impl Codec for Trellis {
    const ID: &'static str = "trellis";
    const FORMAT: u32 = 2;
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
            ..Capabilities::default()
        }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        if self.config.transform != Transform::None {
            return transformed::encode(self, tensor, context);
        }
        let seed = self.config.seed.get() as u32;
        let rotated = match self.config.rotation {
            Rotation::None => None,
            Rotation::Hadamard => Rotated::new(tensor, context.calibration, seed),
        };
        match rotated {
            None => self.encode_rows(tensor, tensor, context, None, false),
            Some(rotated) => {
                let turned = TensorView::new(tensor.name(), tensor.shape(), &rotated.values, tensor.dtype());
                let turned = turned.map_err(|error| EncodeError::Internal(error.to_string()))?;
                let context = EncodeContext { calibration: rotated.calibration.as_ref(), ..*context };
                self.encode_rows(&turned, tensor, &context, Some(seed), false)
            }
        }
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        stream::decode(encoded, out, limits)
    }
}

impl Trellis {
    /// Compresses a tensor that is `original`, its rotation by a seed, or coefficients of it whose scales are `spread`.
    fn encode_rows(
        &self,
        tensor: &TensorView<'_>,
        original: &TensorView<'_>,
        context: &EncodeContext<'_>,
        rotation: Option<u32>,
        spread: bool,
    ) -> Result<Encoded, EncodeError> {
        let rate = if self.config.slope.get() > 0.0 { 1.5 } else { self.config.bits.get() };
        let search = self.config.effort.search(rate, tensor.len());
        // Under a quadratic form a sample of columns stands for errors that reach all others: a small one is no gain there (a tenth more KL
        // divergence on a transformer at 0.93 bits).
        let sample = if self.config.hessian == Hessian::None { search.sample } else { search.sample.max(1 << 14) };
        let search = encoder::Search { sample, contexts: self.config.contexts, rotation, spread, ..search };
        let (columns, values) = (tensor.columns(), tensor.values());
        let aim = match self.config.slope.get() {
            0.0 => Aim::Bits(self.config.bits.get()),
            slope => Aim::Slope(slope),
        };
        let calibration = context.calibration;
        let full = calibration.filter(|_| self.config.hessian == Hessian::Full);
        // Where inputs say little of a direction, errors there count little and may outgrow the weights; damping holds them back.
        for damping in DAMPING {
            let Some(form) = full.and_then(|calibration| Weighing::form(calibration, values, columns, damping)) else {
                break;
            };
            let encoded = encoder::encode(tensor, context, form, aim, search)?;
            if keeps_something(original, &encoded)? || damping == DAMPING[DAMPING.len() - 1] {
                return Ok(encoded);
            }
        }
        let weights = calibration
            .filter(|_| self.config.hessian != Hessian::None)
            .and_then(|calibration| weights::Weights::from_calibration(calibration, columns));
        let weighing = weights.as_ref().map_or(Weighing::Plain, Weighing::Columns);
        encoder::encode(tensor, context, weighing, aim, search)
    }
}

/// What is tried, in this order, as additions to the diagonal of the Hessian, in parts of its mean: calibration data is finite.
const DAMPING: [f64; 3] = [0.01, 0.1, 1.0];

/// Whether the weights themselves, not only the outputs, come back nearer than zeros would.
fn keeps_something(tensor: &TensorView<'_>, encoded: &Encoded) -> Result<bool, EncodeError> {
    let mut decoded = vec![0f32; tensor.len()];
    stream::decode(&encoded.view(Trellis::FORMAT, tensor.shape()), &mut decoded, &mut Limits::new(u64::MAX))
        .map_err(|error| EncodeError::Internal(format!("a fresh stream does not decode: {error}")))?;
    let squared = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let error = squared(&mut tensor.values().iter().zip(&decoded).map(|(w, v)| f64::from(*w) - f64::from(*v)));
    Ok(error < squared(&mut tensor.values().iter().map(|w| f64::from(*w))))
}

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Trellis>().with::<Layered>()
}
