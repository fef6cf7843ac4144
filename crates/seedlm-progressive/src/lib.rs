//! Layered SeedLM: every layer refines the residual of the layers before it.

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry
}
