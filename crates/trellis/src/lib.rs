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
//! | `codec`, `config`, `effort` | the codec and its options; how hard they make a search |
//! | `rotated` | rows and what is known of their inputs, rotated |
//! | `transformed` | rows through a cosine transform or along their principal directions |
//! | `matrix` | which errors of a matrix count |
//! | `encoder` | the search for a rate, the passes that write |
//! | `pass`, `sweep` | choosing all weights once: as they lie, or column by column with errors fed forward |
//! | [`viterbi`], [`code`] | the cheapest path; the convolutional codes |
//! | `symbols` | from indices to binary decisions |
//! | `classes` | row and column scales as contexts |
//! | `weights` | column weights from calibration |
//! | `layers` | the progressive codec |
//! | `stream` | the bytes and the decoder |

mod classes;
pub mod code;
mod codec;
mod config;
mod effort;
mod encoder;
mod layers;
mod math;
mod matrix;
mod pass;
mod rotated;
mod stream;
mod sweep;
mod symbols;
mod transformed;
pub mod viterbi;
mod weights;

pub use codec::Trellis;
pub use config::{Config, Hessian, Rotation, Transform};
pub use effort::Effort;

use seedpress_codec::Registry;

use crate::layers::Layered;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Trellis>().with::<Layered>()
}
