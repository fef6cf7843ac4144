//! Checkpoints on disk: safetensors in and out, and the `.sdp` container.
//!
//! | module | idea |
//! | --- | --- |
//! | [`source`] | safetensors files, single or sharded by an index, memory-mapped, one tensor at a time |
//! | [`sink`] | safetensors out |
//! | [`container`] | a compressed checkpoint as one file that decodes at any prefix |
//! | [`atomic`] | a file appears whole or not at all |
//! | [`error`] | what is wrong with which file |

pub mod atomic;
pub mod container;
pub mod error;
pub mod sink;
pub mod source;

pub use atomic::write_atomic;
pub use container::{Container, ContainerView, Entry, EntryView, Order, StoredView};
pub use error::CheckpointError;
pub use sink::{SavedTensor, save_safetensors};
pub use source::{Checkpoint, Content, TensorInfo};
