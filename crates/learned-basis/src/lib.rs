//! `learned-basis`: what a seed costs against a codebook.
//!
//! Weights are cut into blocks, and each layer writes for every block which of `2^k` unit directions comes nearest to what is left of it, and
//! how long it is along that direction. Directions are learned from the tensor, and their bytes counted, or come from a shift register as
//! those of SeedLM do and cost nothing; everything else is the same code, so that the two can be compared at equal bits.
//!
//! Learning is that of a gain-shape quantiser (spherical k-means whose directions have no sign; M. Sabin, R. Gray, "Product code vector
//! quantizers for waveform and voice coding", IEEE Trans. ASSP 32, 1984), one direction a block: the sparsest case of K-SVD.
//!
//! | bytes | |
//! | --- | --- |
//! | parameters | basis `u8` (0 learned, 1 register), block `u8`, bits of an index `u8`, bits of a coefficient `u8`, layers `u8`, a power of two |
//! | of each layer | directions (learned only: signed bytes, of unit length after division by their norm), levels of coefficients (binary16), indices, numbers of levels |
//!
//! Any prefix of the layers decodes.

mod basis;
mod codec;
mod config;
mod encode;
mod levels;

pub use codec::LearnedBasis;
pub use config::{Basis, Config};

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<LearnedBasis>()
}
