//! Calibrated integer grids, as the checkpoints of today hold them.
//!
//! | codec | what calibration decides | source |
//! | --- | --- | --- |
//! | `gptq` | the codes: the errors of earlier columns are made up for by later ones | E. Frantar et al., ICLR 2023, arXiv 2210.17323 |
//! | `awq` | scales of the inputs, and where grids are clipped | J. Lin et al., MLSys 2024, arXiv 2306.00978 |
//!
//! Both write codes of 2 to 8 bits, a binary16 scale and an integer zero point per group and, where needed, a group index or a binary16
//! scale per input (`stream`): the very numbers of a GPTQ or AWQ checkpoint, so that a conversion loses nothing.

mod awq;
mod gptq;
mod grid;
mod statistics;
mod stream;

pub use awq::{Awq, AwqOptions};
pub use gptq::{Gptq, GptqOptions};

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Gptq>().with::<Awq>()
}
