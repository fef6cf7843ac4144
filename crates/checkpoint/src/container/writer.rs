//! A container written one tensor at a time: memory is bounded by a tensor, not by the model.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use seedpress_codec::{DecodeError, Decoded, Limits, Registry};

use super::contents::{Contents, refused};
use super::entry::{Entry, IndexEntry, Stored};
use super::memory::decode;
use super::order::Order;
use super::set::Set;
use super::shards::{self, Shards};
use super::spool::{Piece, Spool};
use crate::error::CheckpointError;
use crate::output::{Output, Overwrite};

/// A container in the making. The index comes first in the file and is known last, so tensors are spooled to disk as they come.
#[derive(Debug)]
pub struct ContainerWriter {
    output: Output,
    order: Order,
    metadata: BTreeMap<String, String>,
    spool: Spool,
    pieces: Vec<Piece>,
    reused: usize,
    shards: Option<Shards>,
}

impl ContainerWriter {
    /// Begins a container. `job` says what is being written, apart from the tensors' contents: a writer of the same job and output
    /// that was killed has left tensors that [`reuse`](Self::reuse) takes up; what another job left is removed.
    ///
    /// # Errors
    /// Another process that writes the same output; the operating system's.
    pub fn new(
        output: Output,
        order: Order,
        mut metadata: BTreeMap<String, String>,
        job: u128,
    ) -> Result<Self, CheckpointError> {
        let beside = output.is_file().then(|| output.path());
        let spool = Spool::open(beside, job)?;
        metadata.remove(shards::KEY);
        Ok(Self { output, order, metadata, spool, pieces: Vec::new(), reused: 0, shards: None })
    }

    /// Writes shards, with the output as their index ([`shards::index_path`]). What killed runs left of such shards is removed.
    ///
    /// # Errors
    /// An output that is no file; shards of another run that may not be replaced.
    pub fn in_shards(mut self, shards: Shards) -> Result<Self, CheckpointError> {
        let path = self.output.path();
        if !self.output.is_file() {
            let why = "shards are files beside their index, which must be one too".to_owned();
            return Err(CheckpointError::Unusable { path: path.to_owned(), why });
        }
        // The output's own temporary file is locked: nobody else writes these.
        shards::named_like(path, true).iter().for_each(|left| drop(std::fs::remove_file(left)));
        // Where a killed run of this job left tensors, shards may be its own: that is known at the end.
        let there = shards::named_like(path, false).into_iter().next();
        if let Some(there) = there.filter(|_| shards.overwrite == Overwrite::Refuse && !self.spool.has_left()) {
            return Err(refused(&there));
        }
        self.shards = Some(shards);
        Ok(self)
    }

    /// Where the container will be.
    pub fn path(&self) -> &Path {
        self.output.path()
    }

    /// Tensors so far.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is no tensor yet.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Tensors that were taken up from a writer that was killed.
    pub fn reused(&self) -> usize {
        self.reused
    }

    /// What is stored for the tensors so far.
    pub fn stored(&self) -> impl Iterator<Item = &IndexEntry> {
        self.pieces.iter().map(|piece| &piece.entry)
    }

    /// Whether a killed writer left a tensor of this name under `key`.
    pub fn left(&self, name: &str, key: u128) -> bool {
        self.spool.left(key).is_some_and(|piece| piece.entry.name == name)
    }

    /// Bytes of the last tensor added, without the index.
    pub fn last_len(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.entry.stored.part_lens().iter().sum())
    }

    /// Adds the next tensor as a killed writer left it under `key`; whether there was one.
    pub fn reuse(&mut self, name: &str, key: u128) -> bool {
        let Some(piece) = self.spool.take(key).filter(|piece| piece.entry.name == name) else { return false };
        self.pieces.push(piece);
        self.reused += 1;
        true
    }

    /// Adds the next tensor, under a `key` that says everything its bytes depend on. `memory` is what decoding it takes.
    ///
    /// # Errors
    /// The operating system's.
    pub fn push(&mut self, name: &str, content: &Entry, key: u128, memory: u64) -> Result<(), CheckpointError> {
        let entry = IndexEntry { name: name.to_owned(), stored: Stored::from(content) };
        let fault = CheckpointError::io(self.output.path());
        let piece = self.spool.push(key, entry, content, memory).map_err(fault)?;
        self.pieces.push(piece);
        Ok(())
    }

    /// Decodes a tensor that was added, from the bytes that were written.
    ///
    /// # Errors
    /// Whatever decoding returns; the operating system's.
    pub fn decode(&mut self, entry: usize, registry: &Registry) -> Result<Decoded, CheckpointError> {
        let path = self.output.path().to_owned();
        let piece = &self.pieces[entry];
        let fault = |error: DecodeError| CheckpointError::container(&path)(error.in_tensor(&piece.entry.name));
        let Some(header) = piece.entry.stored.record() else {
            return Err(fault(DecodeError::corrupt("this tensor holds no weights")));
        };
        let lens = piece.entry.stored.part_lens();
        let total: u64 = lens.iter().sum();
        let bytes = self.spool.read(piece.offset, total as usize).map_err(CheckpointError::io(&path))?;
        let mut rest = bytes.as_slice();
        let mut parts = Vec::with_capacity(lens.len());
        for len in lens {
            let (part, tail) = rest.split_at(len as usize);
            parts.push(part);
            rest = tail;
        }
        decode(header, &parts, registry, None, &mut Limits::new(u64::MAX)).map_err(fault)
    }

    /// Leaves what is finished for a later run of the same job, where this one does not come to its end.
    pub fn keep(&mut self) {
        self.spool.keep(true);
    }

    /// Writes the file and puts it in its place; returns its length, or that of all shards with their index. `go_on` is asked now and then
    /// whether to.
    ///
    /// # Errors
    /// The operating system's; more tensors than an index holds; an error of kind `Interrupted` where `go_on` says no.
    pub fn finish(mut self, go_on: &dyn Fn() -> bool) -> Result<u64, CheckpointError> {
        let len = match self.shards.take() {
            None => {
                let contents = Contents {
                    pieces: self.pieces.iter().collect(),
                    entries: self.pieces.iter().map(|piece| piece.entry.clone()).collect(),
                    metadata: &self.metadata,
                    order: self.order,
                };
                contents.write(&mut self.spool, &mut self.output, go_on)?;
                self.output.finish()?
            }
            Some(shards) => {
                let Self { output, order, metadata, pieces, spool, .. } = &mut self;
                let set = Set { output: output.path(), order: *order, metadata, pieces, spool, shards: &shards };
                let made = set.write(go_on)?;
                self.output.write_all(&made.index).map_err(CheckpointError::io(self.output.path()))?;
                made.place(self.output)?
            }
        };
        self.spool.keep(false);
        Ok(len)
    }
}
