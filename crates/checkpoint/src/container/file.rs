//! A container on disk, whole, in shards, or the beginning of one: the index is read when it is opened, a tensor when it is asked for.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use seedpress_codec::text::printable;
use seedpress_codec::{DecodeError, Decoded, Limits, Registry};

use super::entry::{Stored, unchecked};
use super::index::{FIXED, Index, MAX_INDEX, Part};
use super::memory::decode;
use super::shards::{self, SetIndex};
use crate::error::CheckpointError;
use crate::input::{self, Input, Opened};

/// Bytes of filler that are looked at together.
const FILLER: usize = 1 << 16;

/// An open container. Reads of several threads do not disturb each other.
#[derive(Debug)]
pub struct ContainerFile {
    path: PathBuf,
    /// The file, or its shards one after another.
    files: Vec<Piece>,
    index: Index,
    at_hand: u64,
    /// What a shard that was opened alone says of itself.
    mark: Option<String>,
}

/// A file and where it begins among those that make the container.
#[derive(Debug)]
struct Piece {
    start: u64,
    path: PathBuf,
    input: Input,
}

impl ContainerFile {
    /// Opens a container or the index of one in shards, and reads its index. `max_bytes` takes the beginning of the file for all there is.
    /// Standard input (`-`) and FIFOs are copied to a temporary file as far as their index says.
    ///
    /// # Errors
    /// The operating system's; truncated where the index is not complete; corrupt where it lies or bytes follow the payload. Of shards
    /// one that is missing, cut, of another run or not what the index says; `max_bytes`, as shards have no beginning.
    pub fn open(path: &Path, max_bytes: Option<u64>) -> Result<Self, CheckpointError> {
        match input::open(path)? {
            Opened::File(input) if shards::is_index(&input.bytes(0, input.len().min(shards::START) as usize)?) => {
                Self::open_shards(path, &input, max_bytes)
            }
            opened => Self::open_one(path, opened, max_bytes),
        }
    }

    pub(super) fn open_one(path: &Path, opened: Opened, max_bytes: Option<u64>) -> Result<Self, CheckpointError> {
        let limit = max_bytes.unwrap_or(u64::MAX);
        let fault = CheckpointError::container(path);
        let (input, head) = match opened {
            Opened::File(input) => {
                let at_hand = input.len().min(limit);
                let fixed = input.bytes(0, at_hand.min(FIXED as u64) as usize)?;
                let len = head_len(&fixed).map_err(&fault)?;
                let head = input.bytes(0, at_hand.min(len) as usize)?;
                (input, head)
            }
            Opened::Stream(stream) => {
                let mut stream = stream.take(limit);
                let io = CheckpointError::io(path);
                let mut head = Vec::new();
                (&mut stream).take(FIXED as u64).read_to_end(&mut head).map_err(&io)?;
                let len = head_len(&head).map_err(&fault)?;
                (&mut stream).take(len - head.len() as u64).read_to_end(&mut head).map_err(&io)?;
                let rest = Index::parse(&head).map_err(&fault)?.whole_len - head.len() as u64;
                (Input::spool(path, &head, &mut stream, rest)?, head)
            }
        };
        let mut index = Index::parse(&head).map_err(&fault)?;
        let at_hand = input.len().min(limit);
        index.check_length(at_hand).map_err(&fault)?;
        let mark = index.metadata.remove(shards::KEY);
        let files = vec![Piece { start: 0, path: path.to_owned(), input }];
        let file = Self { path: path.to_owned(), files, index, at_hand, mark };
        file.check_filler()?;
        Ok(file)
    }

    /// Opens all shards of an index. Each must be what the index says, and the index must say of every tensor where it is.
    fn open_shards(path: &Path, input: &Input, max_bytes: Option<u64>) -> Result<Self, CheckpointError> {
        let fault = |why: String| CheckpointError::ShardIndex { path: path.to_owned(), why };
        if max_bytes.is_some() {
            return Err(fault("the first bytes of a file in shards are no part of it that decodes".to_owned()));
        }
        if input.len() > MAX_INDEX as u64 {
            return Err(fault("it is longer than any index".to_owned()));
        }
        let set = SetIndex::parse(path, &input.bytes(0, input.len() as usize)?)?;
        let mut files = Vec::with_capacity(set.shards.len());
        let (mut indices, mut names, mut start) = (Vec::new(), BTreeMap::new(), 0u64);
        for (number, line) in set.shards.iter().enumerate() {
            let shard = path.with_file_name(&line.file);
            let fault = |why: &str| fault(format!("shard `{}` {why}", printable(&line.file)));
            let opened = match input::open(&shard) {
                Err(CheckpointError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    return Err(fault("is missing"));
                }
                opened => opened?,
            };
            if !matches!(opened, Opened::File(_)) {
                return Err(fault("is no file"));
            }
            let one = Self::open_one(&shard, opened, None)?;
            if one.mark() != Some(shards::mark(number + 1, set.shards.len(), &set.set).as_str()) {
                return Err(fault("is of another run, or not the shard that the index means"));
            }
            if one.at_hand != line.bytes || !one.is_complete() {
                return Err(fault(&format!("has {} bytes where {} belong", one.at_hand, line.bytes)));
            }
            names.extend(one.index.entries.iter().map(|entry| (entry.name.clone(), number)));
            indices.push(one.index);
            files.extend(one.files.into_iter().map(|file| Piece { start, ..file }));
            start = start.saturating_add(line.bytes);
        }
        let index = Index::joined(indices).map_err(CheckpointError::container(path))?;
        for (name, &number) in &names {
            if set.weight_map.get(name) != Some(&set.shards[number].file) {
                return Err(fault(format!("it does not say that `{}` is in its shard", printable(name))));
            }
        }
        if let Some(name) = set.weight_map.keys().find(|name| !names.contains_key(*name)) {
            return Err(fault(format!("its shards hold no tensor named `{}`", printable(name))));
        }
        Ok(Self { path: path.to_owned(), files, index, at_hand: start, mark: None })
    }

    fn check_filler(&self) -> Result<(), CheckpointError> {
        let start = self.index.filler_start();
        let end = self.at_hand.min(self.index.index_len as u64) as usize;
        let mut zero = true;
        for at in (start..end).step_by(FILLER) {
            let bytes = self.files[0].input.bytes(at as u64, FILLER.min(end - at))?;
            zero &= bytes.iter().all(|&byte| byte == 0);
        }
        let fault = || self.fault(DecodeError::corrupt("the filler is not zero").at_offset(start));
        if zero { Ok(()) } else { Err(fault()) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Every file it consists of, an index of shards apart.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Which shard of how many this is, where one of several was opened alone: it holds some of the tensors.
    pub fn shard(&self) -> Option<(usize, usize)> {
        self.mark().and_then(shards::read_mark).filter(|(_, count)| *count > 1)
    }

    pub(super) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// Bytes at hand.
    pub fn at_hand(&self) -> u64 {
        self.at_hand
    }

    /// Whether the whole file is at hand.
    pub fn is_complete(&self) -> bool {
        self.at_hand == self.index.whole_len
    }

    /// Layers of an entry at hand and in the whole file; of an alias, those of the tensor it stands for.
    pub fn layers(&self, entry: usize) -> (usize, usize) {
        (self.index.present(entry, self.at_hand), self.index.parts[self.index.target(entry)].len())
    }

    /// What is stored for an entry; of an alias, for the tensor it stands for.
    pub fn stored(&self, entry: usize) -> &Stored {
        &self.index.entries[self.index.target(entry)].stored
    }

    /// Decodes the weights of an entry from the first `layers` layers, or all at hand. A narrow entry gives the numbers.
    ///
    /// # Errors
    /// Truncated where layer 0 is not at hand; whatever decoding returns; corrupt for tensors that hold no weights.
    pub fn decode(
        &self,
        entry: usize,
        registry: &Registry,
        layers: Option<usize>,
        limits: &mut Limits,
    ) -> Result<Decoded, CheckpointError> {
        let fault = |error: DecodeError| self.fault(error.in_tensor(&self.index.entries[entry].name));
        let header = self.stored(entry).record();
        let header = header.ok_or_else(|| fault(DecodeError::corrupt("this tensor holds no weights")))?;
        let count = self.layers(entry).0.min(layers.unwrap_or(usize::MAX).max(1));
        if count == 0 {
            return Err(fault(self.missing(entry)));
        }
        let parts = &self.index.parts[self.index.target(entry)][..count];
        let parts = parts.iter().map(|&part| self.read(part)).collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        decode(header, &parts, registry, None, limits).map_err(fault)
    }

    /// The layers of an entry that are at hand, as stored: what a reader of one codec's own bytes needs.
    ///
    /// # Errors
    /// The operating system's; truncated where layer 0 is not at hand.
    pub fn layer_bytes(&self, entry: usize) -> Result<Vec<Vec<u8>>, CheckpointError> {
        let count = self.layers(entry).0;
        if count == 0 {
            return Err(self.fault(self.missing(entry).in_tensor(&self.index.entries[entry].name)));
        }
        self.index.parts[self.index.target(entry)][..count].iter().map(|&part| self.read(part)).collect()
    }

    /// The bytes of a tensor that holds no weights, verified.
    ///
    /// # Errors
    /// Truncated where they are not at hand, corrupt where the checksum differs.
    pub fn opaque_bytes(&self, entry: usize) -> Result<Vec<u8>, CheckpointError> {
        let fault = |error: DecodeError| self.fault(error.in_tensor(&self.index.entries[entry].name));
        let Stored::Opaque { .. } = self.stored(entry) else {
            return Err(fault(DecodeError::corrupt("this tensor is compressed")));
        };
        if self.layers(entry).0 == 0 {
            return Err(fault(self.missing(entry)));
        }
        let mut bytes = self.read(self.index.parts[self.index.target(entry)][0])?;
        let len = unchecked(&bytes).map_err(fault)?.len();
        bytes.truncate(len);
        Ok(bytes)
    }

    /// The first part of an entry lies beyond what is at hand: how far the file must reach.
    fn missing(&self, entry: usize) -> DecodeError {
        let part = self.index.parts[self.index.target(entry)][0];
        DecodeError::truncated((part.offset + part.len) as usize, self.at_hand as usize)
    }

    fn read(&self, part: Part) -> Result<Vec<u8>, CheckpointError> {
        let len = usize::try_from(part.len)
            .map_err(|_| self.fault(DecodeError::corrupt("a length does not fit this machine")))?;
        let place = self.files.partition_point(|file| file.start <= part.offset).saturating_sub(1);
        let file = &self.files[place];
        file.input.bytes(part.offset - file.start, len)
    }

    fn fault(&self, error: DecodeError) -> CheckpointError {
        CheckpointError::container(&self.path)(error)
    }
}

/// Bytes of fixed header, index and checksum.
pub(super) fn head_len(start: &[u8]) -> Result<u64, DecodeError> {
    match <&[u8; FIXED]>::try_from(start) {
        Ok(fixed) => Index::stored_len(fixed).map(|len| len as u64),
        // Too short for any container: parsing says what is missing, or that this is none.
        Err(_) => Index::parse(start).map(|index| index.index_len as u64),
    }
}
