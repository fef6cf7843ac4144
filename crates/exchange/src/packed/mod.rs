//! Quantised weights in safetensors: the layouts engines load, in and out.
//!
//! All four hold a [`Grid`]: integer codes, and a scale and a zero point (or a bias) for a group of weights along a row. They differ in
//! how codes lie in 32-bit words and in what the parts are called.
//!
//! | layout | codes | in the direction of | beside them |
//! | --- | --- | --- | --- |
//! | [`compressed_tensors`] | `X.weight_packed` int32 `[out, in * bits / 32]` | inputs | `weight_scale`, `weight_shape`, asymmetric `weight_zero_point` |
//! | [`gptq`] | `X.qweight` int32 `[in * bits / 32, out]` | inputs, down the columns | `qzeros`, `scales`, `g_idx` |
//! | [`awq`] | `X.qweight` int32 `[in, out / 8]` | outputs, interleaved | `qzeros`, `scales` |
//! | [`mlx`] | `X.weight` uint32 `[out, in * bits / 32]` | inputs | `scales`, `biases` |
//!
//! [`streams`] takes grids out of our own codecs' streams. [`checkpoint`] reads a folder whose `config.json` names one of them.

pub mod awq;
pub mod checkpoint;
pub mod compressed_tensors;
pub mod config;
pub(crate) mod experts;
pub mod gptq;
pub mod grid;
pub mod mlx;
pub mod parts;
pub mod streams;
pub mod words;

pub use checkpoint::PackedCheckpoint;
pub use config::Layout;
pub use grid::{Grid, Zeros};
pub use parts::{Parts, Written};
