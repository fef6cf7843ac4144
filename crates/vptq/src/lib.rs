//! `vptq`: vectors of weights from learned codebooks, with error feedback.
//!
//! A vector is a few neighbouring outputs of *one* input, so that all its weights count alike in the quadratic form of the layer's output
//! error, and the nearest codeword is the best one at every step of a sweep over the inputs. Codebooks come from k-means, every vector
//! weighted by the mean square of its input; a second codebook may code what the first leaves; the inputs that matter most may have
//! codebooks of their own, at a higher rate. Source: Y. Liu et al., "VPTQ", EMNLP 2024, arXiv 2409.17066.
//!
//! Two things go beyond the paper. Lengths and sizes are chosen so that the *total*, codebooks counted, keeps to the target
//! ([`plan`]): the published names leave codebooks out. And codewords are fitted again after the sweep, by least squares under the quadratic
//! form ([`refit`]), where the paper tunes by gradients. Its tuning end to end is not done here.
//!
//! | module | idea |
//! | --- | --- |
//! | [`plan`] | which columns share codebooks, vector lengths and sizes |
//! | [`encode`] | k-means, the sweep, refits |
//! | [`refit`] | codewords by least squares |
//! | [`stream`] | the bytes |

pub mod encode;
pub mod plan;
pub mod refit;
pub mod stream;

use schemars::JsonSchema;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Number, Registry,
    TensorView,
};
use serde::{Deserialize, Serialize};

/// How much of the second moment of a layer's inputs the encoder uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hessian {
    /// Nothing.
    None,
    /// Its diagonal: weights of k-means.
    Diagonal,
    /// All of it: the sweep and the refits.
    #[default]
    Full,
}

/// Options of [`Vptq`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Target in bits per weight, codebooks included, not to be exceeded.
    pub bits: Number<500, 6000>,
    /// Outputs in a vector; 0 chooses what promises the least error.
    pub vector: Int<0, 16>,
    /// Allow a second codebook for what the first leaves.
    pub residual: bool,
    /// The largest share of the columns that may have a codebook of their own, those that matter most.
    pub outliers: Number<0, 500>,
    /// Groups of the other columns, each with its own codebooks.
    pub groups: Int<1, 16>,
    /// What errors count, where calibration data is given: `none` takes them all alike, `diagonal` weighs those of a column by the mean square
    /// of its input, `full` lets errors of some columns make up for those of others.
    pub hessian: Hessian,
    /// Columns of the largest inputs first.
    pub activation_order: bool,
    /// How often codewords are fitted again after a sweep, and swept with.
    pub refits: Int<0, 8>,
    /// Of the random choices of k-means.
    pub seed: Int<0, 4_294_967_295>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bits: Number::of(2.0),
            vector: Int::of(0),
            residual: true,
            outliers: Number::of(0.5),
            groups: Int::of(1),
            hessian: Hessian::Full,
            activation_order: true,
            refits: Int::of(2),
            seed: Int::of(0),
        }
    }
}

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

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Vptq>()
}
