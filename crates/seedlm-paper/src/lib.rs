//! SeedLM as published: one seed, one exponent and a few coefficients a block.

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry
}
