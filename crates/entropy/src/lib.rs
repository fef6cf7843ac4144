//! Entropy stages: integer probability models, ANS, zstd and lossless float coding.
//!
//! A codec packs symbols into bytes; a stage (`then = ".."` in TOML) recodes those bytes without loss. It sees what a segment
//! declares its symbols to be, so it models symbols, not bytes, and it writes all that restoring the bytes takes.
//!
//! | stage | model | decodes |
//! | --- | --- | --- |
//! | `ans` | one integer table a symbol position | fastest |
//! | `planes+ans` | floats by their fields, tables a class of rows and columns; else as `ans`; zstd where data repeats | fast |
//! | `context` | `planes+ans`, or indices and exponents bit by bit under mixed contexts | slow |
//! | `range` | constriction's range coder: categorical, Laplace or Gaussian models of groups of rows | medium |
//! | `zstd` | level 19 on the best of several layouts | fast; encodes slowly |
//!
//! | module | idea |
//! | --- | --- |
//! | `layout` | packed bytes to symbols and back, exactly |
//! | `narrow` | the same for symbols of up to eight bits, eight at a time |
//! | [`frequencies`] | static tables with integer probabilities |
//! | `rans` | the interleaved coder and its vector kernels |
//! | [`ans`] | coded streams: table, jump table, blocks that decode in parallel |
//! | `plane` | symbols of one width: stored, ANS or zstd |
//! | `classes` | rows and columns that share a table |
//! | `floats` | lossless floats |
//! | `grouped` | symbols moved to groups of equal keys and back |
//! | [`binary`] | adaptive binary range coding, for codecs that model their own symbols |
//! | `models` | quantised distributions for constriction's coder |
//! | [`mixing`] | symbols bit by bit under mixed contexts |
//! | `stages` | what the registry offers |
//!
//! Tables and predictions are integers or come from IEEE operations in one order, never from library logarithms: a stream written on
//! one machine decodes on any other. Vector kernels stand beside a portable path with the same bytes. Decoders take every allocation
//! from [`Limits`](seedpress_codec::Limits) first, and their work is proportional to input and output; ANS itself decodes any
//! garbage, so blocks must end in their start state with every word used, and records carry checksums above that.

pub mod ans;
pub mod binary;
mod floats;
pub mod frequencies;
mod layout;
pub mod mixing;
mod models;
mod rans;
mod stages;

mod classes;
mod frame;
mod grouped;
mod narrow;
mod plane;

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry
        .with_stage(stages::Ans)
        .with_stage(stages::Context)
        .with_stage(stages::PlanesAns)
        .with_stage(stages::Range)
        .with_stage(stages::Zstd)
}
