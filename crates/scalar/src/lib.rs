//! Scalar quantisers: entropy-coded with a dead zone, and Lloyd-Max.

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry
}
