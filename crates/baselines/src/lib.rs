//! What people use today: casts, round-to-nearest, NF4 and GGUF block formats.

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry
}
