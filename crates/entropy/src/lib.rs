//! Entropy stages: integer probability models, ANS, zstd and lossless float coding.

pub mod ans;
pub mod binary;
pub mod floats;
pub mod frequencies;
pub mod layout;
pub mod mixing;
pub mod rans;
pub mod stages;

mod classes;
mod frame;
mod plane;

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with_stage(stages::Ans).with_stage(stages::Context).with_stage(stages::PlanesAns).with_stage(stages::Zstd)
}
