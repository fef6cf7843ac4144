//! `vptq`: vectors of weights from learned codebooks, with error feedback.
//!
//! A vector is a few neighbouring outputs of *one* input, so that all its weights count alike in the quadratic form of the layer's output
//! error, and the nearest codeword is the best one at every step of a sweep over the inputs. Codebooks come from k-means, every vector
//! weighted by the mean square of its input; a second codebook may code what the first leaves; the inputs that matter most may have
//! codebooks of their own, at a higher rate. Source: Y. Liu et al., "VPTQ", EMNLP 2024, arXiv 2409.17066.
//!
//! Two things go beyond the paper. Lengths and sizes are chosen so that the *total*, codebooks counted, keeps to the target
//! (`plan`): the published names leave codebooks out. And codewords are fitted again after the sweep, by least squares under the quadratic
//! form (`refit`), where the paper tunes by gradients. Its tuning end to end is not done here.
//!
//! | module | idea |
//! | --- | --- |
//! | `plan` | which columns share codebooks, vector lengths and sizes |
//! | `encode` | k-means, the sweep, refits |
//! | `refit` | codewords by least squares |
//! | `stream` | the bytes |

mod codec;
mod config;
mod encode;
mod matrix;
mod plan;
mod refit;
mod stream;

pub use codec::Vptq;
pub use config::{Config, Hessian};

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Vptq>()
}
