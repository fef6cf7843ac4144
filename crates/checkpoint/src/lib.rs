//! Checkpoints on disk: safetensors in and out, and the `.sdp` container.
//!
//! | module | idea |
//! | --- | --- |
//! | `source` | safetensors files, single or sharded by an index, one tensor at a time |
//! | `sink` | safetensors out, one tensor at a time |
//! | [`container`] | a compressed checkpoint as one file that decodes at any prefix |
//! | [`companions`] | files beside the weights that a container carries |
//! | `output`, `blocks` | where a result goes: whole or not at all, large ones past the page cache |
//! | `error` | what is wrong with which file |

mod blocks;
pub mod companions;
pub mod container;
mod error;
mod input;
mod output;
mod sink;
mod source;

pub use container::{
    Container, ContainerFile, ContainerView, ContainerWriter, Entry, EntryView, Index, IndexEntry, Order, Part, Shards,
    SourceForm, Stored,
};
pub use error::CheckpointError;
pub use output::{Output, Overwrite, Unnamed, remove_temporaries, write_atomic};
pub use sink::{Declared, SafetensorsWriter, SavedTensor, save_safetensors, save_unnamed};
pub use source::{Checkpoint, Content, TensorInfo};
