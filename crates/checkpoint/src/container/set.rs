//! Writing a container in shards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::contents::{Contents, refused};
use super::entry::{CHECKSUM, IndexEntry};
use super::file::ContainerFile;
use super::order::Order;
use super::shards::{self, SetIndex, ShardLine, Shards};
use super::spool::{Piece, Spool};
use crate::error::CheckpointError;
use crate::output::{Output, Overwrite, Shelved};

/// A set of shards in the making.
pub(super) struct Set<'a> {
    /// The index.
    pub(super) output: &'a Path,
    pub(super) order: Order,
    pub(super) metadata: &'a BTreeMap<String, String>,
    pub(super) pieces: &'a [Piece],
    pub(super) spool: &'a mut Spool,
    pub(super) shards: &'a Shards,
}

/// Shards that are on disk and have no names yet.
pub(super) struct Made {
    pub(super) index: Vec<u8>,
    shelved: Vec<Shelved>,
    /// Shards that the index before named and this one does not.
    surplus: Vec<PathBuf>,
}

impl Made {
    /// Gives every shard its name, then the index, which makes them findable; returns the bytes of all.
    pub(super) fn place(self, index: Output) -> Result<u64, CheckpointError> {
        let mut total = 0;
        for shard in self.shelved {
            total += shard.place()?;
        }
        total += index.finish()?;
        self.surplus.iter().for_each(|path| drop(std::fs::remove_file(path)));
        Ok(total)
    }
}

impl Set<'_> {
    /// Writes every shard, none of them in its place.
    pub(super) fn write(mut self, go_on: &dyn Fn() -> bool) -> Result<Made, CheckpointError> {
        let entries: Vec<IndexEntry> = self.pieces.iter().map(|piece| piece.entry.clone()).collect();
        let memory: Vec<u64> = self.pieces.iter().map(|piece| piece.memory).collect();
        let cut = shards::partition(&entries, &memory, self.metadata, self.shards.size);
        let count = cut.len();
        shards::check_count(self.output, count)?;
        let set = format!("{:032x}", self.identity()?);
        let names: Vec<String> = (1..=count).map(|number| shards::name(self.output, number, count)).collect();
        for (number, name) in names.iter().enumerate() {
            self.check_target(&self.output.with_file_name(name), &shards::mark(number + 1, count, &set))?;
        }
        let inputs: Vec<&Path> = self.shards.inputs.iter().map(PathBuf::as_path).collect();
        let (mut shelved, mut lines, mut weight_map) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (number, (name, places)) in names.iter().zip(&cut).enumerate() {
            let mut metadata = if number == 0 { self.metadata.clone() } else { BTreeMap::new() };
            metadata.insert(shards::KEY.to_owned(), shards::mark(number + 1, count, &set));
            let mut output = Output::create(&self.output.with_file_name(name), Overwrite::Allow, &inputs)?;
            let contents = Contents {
                pieces: places.iter().map(|&place| &self.pieces[place]).collect(),
                entries: shards::localised(&entries, places),
                metadata: &metadata,
                order: self.order,
            };
            contents.write(self.spool, &mut output, go_on)?;
            let shard = output.shelve()?;
            lines.push(ShardLine { file: name.clone(), bytes: shard.len() });
            shelved.push(shard);
            weight_map.extend(places.iter().map(|&place| (entries[place].name.clone(), name.clone())));
        }
        let surplus = self.surplus(&names);
        Ok(Made { index: SetIndex::new(&set, lines, weight_map).to_bytes(), shelved, surplus })
    }

    /// Shards that the index to be replaced names, by names that only shards have, and that are not among the new ones.
    fn surplus(&self, names: &[String]) -> Vec<PathBuf> {
        let named = SetIndex::files(self.output);
        let mut surplus = shards::named_like(self.output, false);
        surplus.retain(|path| {
            let new = names.iter().any(|name| path.file_name().is_some_and(|file| file == name.as_str()));
            let same = |other: &PathBuf| other.file_name() == path.file_name();
            !new && named.iter().any(same) && !self.shards.inputs.iter().any(same)
        });
        surplus
    }

    /// What tells this set from all others: everything that its shards hold.
    fn identity(&mut self) -> Result<u128, CheckpointError> {
        let fault = CheckpointError::io(self.output);
        let mut hash = Xxh3::new();
        hash.update(format!("{:?} {} {:?}", self.order, self.shards.size, self.metadata).as_bytes());
        for piece in self.pieces {
            let mut line = Vec::new();
            piece.entry.put(&mut line);
            hash.update(&line);
            let mut end = piece.offset;
            for len in piece.entry.stored.part_lens() {
                end += len;
                hash.update(&self.spool.read(end - CHECKSUM as u64, CHECKSUM).map_err(&fault)?);
            }
        }
        Ok(hash.digest128())
    }

    /// A shard may be replaced where that is asked for, or where it is this very one: a run that was killed between two names left it.
    fn check_target(&self, path: &Path, mark: &str) -> Result<(), CheckpointError> {
        if self.shards.overwrite == Overwrite::Allow || !path.exists() {
            return Ok(());
        }
        match ContainerFile::open(path, None) {
            Ok(there) if there.mark() == Some(mark) => Ok(()),
            _ => Err(refused(path)),
        }
    }
}
