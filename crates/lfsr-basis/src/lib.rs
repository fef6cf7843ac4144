//! Linear-feedback shift registers and the bases that are windows of their sequence.
//!
//! Every basis of SeedLM (arXiv 2410.10714) is a *window* of one cyclic sequence: the states of a maximal register, in the order it
//! visits them. A seed names the window that starts one step behind it.
//!
//! | module | idea |
//! | --- | --- |
//! | `register` | one step, many steps at once, and which taps are maximal |
//! | `sequence` | the cycle as a table: state by position, position by seed, values ready to multiply |
//! | [`subspace`], `screening`, `survivors` | how much of a vector every window captures: exhaustive screening with a proven margin |
//! | `projections`, `passes`, `tiles` | passing over most windows by 8-bit dot products |
//! | `kernel` | the two loops of screening |
//! | `factors` | one window as an orthonormal basis and a triangle |
//! | `expansion` | a window from its seed, for decoding |
//! | [`cache`] | tables that are built once a process, within a budget |
//!
//! # The map from seed to basis
//!
//! `U(seed)` of `rows x columns` is filled row-major with the `rows * columns` states *after* the seed, each mapped from
//! `1 ..= 2^K - 1` to `[-1, 1]` by Eq. 1 of the paper. This is the paper's Algorithm 1; the offset map of its Algorithm 2 names the
//! same windows differently and is not used here.
//!
//! ```
//! use seedpress_lfsr_basis::Sequence;
//!
//! let sequence = Sequence::new(3, None, 1)?;
//! let states: Vec<u32> = sequence.window(4, 8).collect();
//! assert_eq!(states, [2, 5, 6, 7, 3, 1, 4, 2]); // Figure 4 of the paper
//! # Ok::<(), seedpress_lfsr_basis::BasisError>(())
//! ```

pub mod cache;
mod emphasis;
mod expansion;
mod factors;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod passes;
mod projections;
mod register;
mod screening;
mod sequence;
pub mod subspace;
mod survivors;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use emphasis::Emphasis;
pub use expansion::Expansion;
pub use factors::{Factors, dot};
pub use register::{BasisError, PAPER_TAPS, Register};
pub use sequence::Sequence;
pub use subspace::Subspaces;
pub use survivors::Survivors;
