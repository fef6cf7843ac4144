//! The `.sdp` container: a compressed checkpoint as one file that decodes at any prefix. `docs/format.md` has it byte by byte.
//!
//! ```text
//! magic     "SDPR"
//! version   u8 = 1 or 2
//! coding    u8: 0 the index is stored as it is, 1 it is a zstd frame
//! length    u32, bytes of the index as stored; u32, bytes of it when decoded
//! index     order u8 (0 tensor-major, 1 quality-major)
//!           filler     varint (from version 2 on): zero bytes between index and payload
//!           metadata   varint count; per entry: varint length + key, varint length + value
//!           tensors    varint count; per tensor: varint length + name, kind u8
//!             kind 0   weights: the record's header (see `seedpress_codec::record`), varint length before it
//!             kind 1   kept as it is: varint length + data type, varint rank + dimensions, varint byte count
//!             kind 2   (from version 2 on) the same as another: varint place of that tensor, which is of kind 0, 1 or 3
//!             kind 3   (from version 2 on) weights of another source type: varint length + data type, varint place of the tensor of
//!                      scales + 1 (0: none), u8 1 if the record holds products with them, varint rank + block along each axis,
//!                      then as kind 0
//! crc32c    of everything above, u32
//! filler    zeros
//! payload   quality-major: layer 0 of every tensor in index order, then layer 1 of those that have one, ...
//!           tensor-major: all layers of the first tensor, then of the second, ...
//!           a layer carries its own checksum; the bytes of a kind 1 tensor stand in place of layer 0, with a crc32c
//! ```
//! The index comes first, so a stream that is cut keeps it: whatever is complete decodes, and the reader says what is missing. A
//! quality-major file cut anywhere after its first layers decodes the whole model. The length of this file is a model's size in
//! every report.
//!
//! How much memory a file may ask for follows from its length ([`Limits`](seedpress_codec::Limits)); the writer knows that rule, and
//! adds filler to a file whose tensors compress further than that: all zeros, say.
//!
//! | module | idea |
//! | --- | --- |
//! | [`entry`] | what is stored for one tensor |
//! | [`index`] | what is stored for every tensor, and where |
//! | [`memory`] | a container in memory |
//! | [`file`](mod@file) | a container on disk, one tensor at a time |
//! | [`growing`] | a container that is still arriving |
//! | [`writer`] | a container written one tensor at a time, and taken up again where a killed process left it |
//! | `contents`, `set` | one file of it, and a set of shards |
//! | `spool` | tensors on disk until the index is known |
//! | `order` | the order of layers in the payload |
//! | `text` | counts, texts and shapes of an index as bytes |
//! | [`shards`] | a container in several files and an index that names them |

mod contents;
pub mod entry;
pub mod file;
pub mod growing;
pub mod index;
pub mod memory;
mod order;
mod set;
pub mod shards;
mod spool;
mod text;
pub mod writer;

use std::io::Read;
use std::path::Path;

/// Whether a file begins as a container does, or as the index of one in shards. Streams are not read.
pub fn is_container(path: &Path) -> bool {
    let mut start = Vec::new();
    // A stream would lose what is read of it.
    let Some(file) = Some(path).filter(|path| path.is_file()).and_then(|path| std::fs::File::open(path).ok()) else {
        return false;
    };
    let read = file.take(shards::START).read_to_end(&mut start);
    read.is_ok() && (start.starts_with(index::MAGIC) || shards::is_index(&start))
}

pub use entry::{Entry, IndexEntry, SourceForm, Stored};
pub use file::ContainerFile;
pub use growing::{Arrived, Growing};
pub use index::{Index, Part};
pub use memory::{Container, ContainerView, EntryView};
pub use order::Order;
pub use shards::Shards;
pub use writer::ContainerWriter;
