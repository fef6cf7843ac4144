//! Codecs made of others.
//!
//! | codec | what it does |
//! | --- | --- |
//! | `hybrid` | a chain: each codec compresses what those before it left, and any prefix of the layers decodes |
//! | `choice` | the one of several codecs that serves a tensor best, by bits and by the error of its output |
//!
//! Nested codecs are named as everywhere, with their options, and separated by bars: `chain = "bitnet:scale=row | seedlm-paper"`. They
//! may not have a stage of their own; the one behind the whole sees all their segments.

mod chain;
mod choice;
mod nested;

pub use chain::{Hybrid, HybridOptions};
pub use choice::{Choice, ChoiceOptions};
use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Hybrid>().with::<Choice>()
}
