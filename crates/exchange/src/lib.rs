//! Other people's file formats: weights in from what exists, weights out into what engines load.
//!
//! `open` takes any file or folder that holds weights and gives a [`TensorSource`]: a list of tensors, loaded one at a time, with the
//! names of Hugging Face. A file of another kind is an error that says what it is. Nothing in a file is ever executed, and no file can
//! ask for more memory than its length justifies.
//!
//! ```
//! let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/llama.gguf");
//! let file = seedpress_exchange::open(path.as_ref())?;
//! assert_eq!(file.format(), "GGUF v3");
//! assert_eq!(file.tensors()[0].name, "model.embed_tokens.weight");
//! let weights = file.load(0)?;
//! # Ok::<(), seedpress_exchange::ExchangeError>(())
//! ```
//!
//! | item | format |
//! | --- | --- |
//! | [`gguf`] | GGUF, every type |
//! | `pytorch` | .pt, .pth, .bin: zip and legacy |
//! | `numpy` | .npy, .npz |
//! | [`packed`] | safetensors, plain or as compressed-tensors, GPTQ, AWQ or MLX |
//! | `kind` | which of these a file is, or what else |
//! | [`Plain`] | any of them as plain safetensors, to be mapped |
//! | [`export`] | weights out: a folder or a GGUF file |
//! | `source` | what all of them look like once open |

mod cursor;
mod error;
pub mod export;
pub mod gguf;
mod kind;
mod mapped;
mod numpy;
mod open;
pub mod packed;
mod plain;
mod pytorch;
mod scalar;
mod source;
mod strided;

pub use error::ExchangeError;
pub use export::{FileSupply, Form, ModelFiles, SdpSupply, Supply, Weights};
pub use gguf::Gguf;
pub use kind::{Kind, recognise};
pub use numpy::{Npy, Npz};
pub use open::open;
pub use packed::PackedCheckpoint;
pub use plain::Plain;
pub use pytorch::PyTorch;
pub use source::{Loaded, TensorEntry, TensorSource};
