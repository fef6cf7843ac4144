//! One GGUF file from a model of Hugging Face.
//!
//! | module | idea |
//! | --- | --- |
//! | [`metadata`] | what llama.cpp must know of the model, from `config.json` |
//! | [`different`] | what of a configuration llama.cpp computes otherwise: refused, or noted |
//! | [`vocabulary`] | its tokens, from `tokenizer.json` |
//! | [`types`] | which type each tensor gets, and llama.cpp's fallback where a row is no whole number of blocks |
//! | [`write`](mod@write) | the file |

pub mod different;
pub mod metadata;
pub mod types;
pub mod vocabulary;
pub mod write;

pub use write::{GgufOptions, write_gguf};
