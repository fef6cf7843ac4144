//! Ternary codecs: BitNet b1.58 absmean and its post-training variants.

mod codec;
mod fit;
mod level;

pub use codec::{Bitnet, BitnetOptions, Scope};
pub use fit::Rule;
use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Bitnet>()
}
