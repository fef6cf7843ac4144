//! What people use today: the reference rows every new method is measured against.
//!
//! | codec | what it stores | bits a weight |
//! | --- | --- | --- |
//! | `raw` | the source's own bytes | 32 or 16 |
//! | `zeros` | nothing | 0 |
//! | `f16`, `bf16` | a cast | 16 |
//! | `rtn` | round-to-nearest codes, a scale and (asymmetric) a zero point per group | bits + 16/group, or bits + (16 + bits)/group |
//! | `nf4` | 4-bit codes on normal quantiles and a maximum per block | 4.5, or 4.13 |
//! | `q8_0` ... `tq2_0` | GGUF blocks, byte for byte | see `gguf` |
//!
//! Group and block scales are 16-bit floats in the formats people use, too narrow for a tensor of standard deviation 1e-6 or 1e6.
//! Where that matters a [`PowerOfTwo`](seedpress_codec::PowerOfTwo) for the whole tensor is kept in the parameters.

mod cast;
mod codes;
mod feedback;
mod gguf;
mod nf4;
mod no_options;
mod raw;
mod rtn;
mod units;
mod zeros;

pub use cast::{Bf16, F16};
pub use feedback::Hessian;
pub use nf4::{Nf4, Nf4Options};
pub use no_options::NoOptions;
pub use raw::Raw;
pub use rtn::{Rtn, RtnOptions};
pub use zeros::Zeros;

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    gguf::register(registry.with::<Raw>().with::<Zeros>().with::<F16>().with::<Bf16>().with::<Rtn>().with::<Nf4>())
}
