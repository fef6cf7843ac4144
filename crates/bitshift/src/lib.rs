//! A fixed-rate trellis: exactly `k` bits a weight, decoded at random access and without tables.
//!
//! The code is a shift register of `L` bits. Each weight shifts in `k` new ones, and a few integer operations turn the register into a
//! nearly normal number ([`code`]); the encoder searches the path whose numbers are nearest to the weights ([`search`]). Blocks of 256
//! weights are circular, so that the register needs no start. Normal weights are a must: [`seedpress_rotation`] makes any weights look normal.
//! Sources: A. Tseng, Q. Sun, D. Hou, C. De Sa, "QTIP: Quantization with Trellises and Incoherence Processing", NeurIPS 2024 (bit-shift
//! trellis, computed codes, tail-biting in two searches); M. Marcellin, T. Fischer, IEEE Trans. Comm. 38 (1), 1990.
//!
//! With calibration data blocks run down the columns instead of along the rows (`columns`), so that each column can make up for the
//! errors of those before it.
//!
//! Beside the entropy-coded codec `trellis` it gives up rate flexibility and, on weights that are not normal, distortion; it gains
//! random access and a decoder without state from block to block.

mod block;
pub mod code;
mod codec;
mod columns;
mod config;
mod header;
mod rows;
pub mod search;
mod stream;
mod trellis;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod wide;

pub use codec::BitShift;
pub use config::{Config, Effort, Hessian};
pub use header::Settings;

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<BitShift>()
}
