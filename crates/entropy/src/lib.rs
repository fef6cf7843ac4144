//! Entropy stages: integer probability models, ANS, zstd and lossless float coding.

pub mod binary;
pub mod layout;
pub mod stages;

mod frame;

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with_stage(stages::Zstd)
}
