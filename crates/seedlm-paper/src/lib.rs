//! SeedLM as published (arXiv 2410.10714): one seed, one exponent and a few coefficients a block.
//!
//! A block of `C` weights becomes `top 2^((e-7)/n) U(seed) q`: `U` is the paper's `C x P` window of register states, `q` are `P`
//! two's-complement coefficients, `e` a 4-bit exponent in `[-8, 7]`, `top` one `f32` a tensor, and `n = 1` as published. The last
//! block is padded with zeros. The encoder finds the optimum of this format: seed, exponent and coefficients jointly, not one after
//! the other.
//!
//! On Gaussian weights that optimum is a relative squared error of .0141 at 4 bits and .0479 at 3. It is the format's, not the search's:
//! the search is exhaustive over seed, exponent and coefficients (`tests/search.rs` compares it with enumeration), and the one freedom
//! left to a tensor, where its octaves fall (`top` need not be a power of two), moves the error by less than .0002. What costs is the
//! octave itself: half octaves (`n = 2`) reach .0128 and .0461, quarters .0120 and .0451, at the same bits (`examples/grids.rs`).
//!
//! Decoding on one thread, of 64 MiB: 1.6 times the speed of copying as many bytes at 4 bits, 1.8 times at 3 (AVX-512; decoding reads
//! an eighth of what copying reads).
//!
//! | part | layout |
//! | --- | --- |
//! | params | `C` u8, `P` u8, `K` u8, coefficient bits u8, `n` u8, `top` f32 |
//! | seeds | `K` bits a block |
//! | exponents | 4 bits a block, `e + 8` |
//! | coefficients | `P` symbols a block, two's complement |

mod codec;
mod config;
mod decode;
pub mod encode;
mod fed;
pub mod grid;
mod kernel;
pub mod search;

pub use codec::SeedLm;
pub use config::{Config, Hessian};

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<SeedLm>()
}
