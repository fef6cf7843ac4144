//! GGUF, llama.cpp's file: metadata, a vocabulary and tensors in one.
//!
//! ```text
//! magic     "GGUF", version u32 = 3, tensors u64, metadata entries u64
//! metadata  key (u64 length + text), type u32, value
//! tensors   name, rank u32, dimensions u64 (innermost first), type u32, offset u64 from where values begin
//! padding   to a multiple of general.alignment (32)
//! values    each tensor at such a multiple
//! ```
//!
//! | module | idea |
//! | --- | --- |
//! | [`file`] | the header, and tensors under the names of Hugging Face |
//! | `names` | names on both sides |
//! | `change` | what llama.cpp does to values between them |
//! | `types` | numbers, names and block sizes of the types |
//! | `dequantise`, `iquants` | blocks into weights |
//! | `value` | metadata |

pub(crate) mod change;
mod dequantise;
pub(crate) mod file;
mod iquants;
pub(crate) mod names;
pub(crate) mod types;
pub(crate) mod value;

pub use file::Gguf;
pub use names::Names;
pub use types::{TYPES, TypeInfo, by_name};
pub use value::{Array, Value};
