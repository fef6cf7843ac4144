//! Scalar quantisers: entropy-coded with a dead zone, and Lloyd-Max.
//!
//! They are the reference every vector and trellis quantiser has to beat: at high rate an entropy-coded scalar quantiser is 1.53 dB
//! from the Shannon limit of any smooth source (Gish and Pierce, 1968).

mod ecsq;
mod lloyd_max;

pub use ecsq::{Ecsq, EcsqConfig};
pub use lloyd_max::{LloydMax, LloydMaxConfig};

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Ecsq>().with::<LloydMax>()
}
