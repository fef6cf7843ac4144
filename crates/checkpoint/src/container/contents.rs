//! One file of a container: all tensors, or those of a shard.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::entry::IndexEntry;
use super::index::{Index, MAX_INDEX, filler, preamble};
use super::order::{Order, payload_order};
use super::spool::{Piece, Spool};
use crate::error::CheckpointError;
use crate::output::Output;

/// An output that is there and may not be replaced.
pub(super) fn refused(path: &Path) -> CheckpointError {
    let why = "it is there already: --force replaces it".to_owned();
    CheckpointError::Unusable { path: path.to_owned(), why }
}

/// What goes into one file: all pieces, or those of a shard.
pub(super) struct Contents<'a> {
    pub(super) pieces: Vec<&'a Piece>,
    /// Of each piece, references by places in this list.
    pub(super) entries: Vec<IndexEntry>,
    pub(super) metadata: &'a BTreeMap<String, String>,
    pub(super) order: Order,
}

impl Contents<'_> {
    /// Writes it as a container.
    pub(super) fn write(
        &self,
        spool: &mut Spool,
        output: &mut Output,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), CheckpointError> {
        let Self { pieces, entries, metadata, order } = self;
        let lens: Vec<Vec<u64>> = entries.iter().map(|entry| entry.stored.part_lens()).collect();
        let payload: u64 = lens.iter().flatten().sum();
        let memory = pieces.iter().map(|piece| piece.memory).max().unwrap_or(0);
        let mut head = preamble(*order, metadata, entries, 0);
        if head.len() > MAX_INDEX {
            let why = "its index would be longer than any reader accepts".to_owned();
            return Err(CheckpointError::Unusable { path: output.path().to_owned(), why });
        }
        let missing = filler(head.len() as u64 + payload, entries, memory);
        if missing > 0 {
            head = preamble(*order, metadata, entries, missing);
        }
        let path = output.path().to_owned();
        let fault = CheckpointError::io(&path);
        // The reader's own rules, before anything is in its place.
        let refused = CheckpointError::container(&path);
        let index = Index::parse(&head).map_err(&refused)?;
        index.check_declared(index.whole_len).map_err(&refused)?;
        output.write_all(&head).map_err(&fault)?;
        let counts: Vec<usize> = lens.iter().map(Vec::len).collect();
        for (entry, part) in payload_order(*order, &counts) {
            if !go_on() {
                return Err(fault(std::io::ErrorKind::Interrupted.into()));
            }
            let before: u64 = lens[entry][..part].iter().sum();
            let offset = pieces[entry].offset + before;
            spool.copy(offset, lens[entry][part], output).map_err(&fault)?;
        }
        Ok(())
    }
}
