//! A container on disk, or the beginning of one: the index is read when it is opened, a tensor when it is asked for.

use std::io::Read;
use std::path::{Path, PathBuf};

use seedpress_codec::{DecodeError, Decoded, Limits, Registry};

use super::entry::{Stored, unchecked};
use super::index::{FIXED, Index, Part};
use super::memory::decode;
use crate::error::CheckpointError;
use crate::input::{self, Input, Opened};

/// Bytes of filler that are looked at together.
const FILLER: usize = 1 << 16;

/// An open container. Reads of several threads do not disturb each other.
#[derive(Debug)]
pub struct ContainerFile {
    path: PathBuf,
    input: Input,
    index: Index,
    at_hand: u64,
}

impl ContainerFile {
    /// Opens a container, and reads its index. `max_bytes` takes the beginning of the file for all there is. Standard input (`-`) and
    /// FIFOs are copied to a temporary file as far as their index says.
    ///
    /// # Errors
    /// The operating system's; truncated where the index is not complete; corrupt where it lies or bytes follow the payload.
    pub fn open(path: &Path, max_bytes: Option<u64>) -> Result<Self, CheckpointError> {
        let limit = max_bytes.unwrap_or(u64::MAX);
        let fault = CheckpointError::container(path);
        let (input, head) = match input::open(path)? {
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
        let index = Index::parse(&head).map_err(&fault)?;
        let at_hand = input.len().min(limit);
        index.check_length(at_hand).map_err(&fault)?;
        let file = Self { path: path.to_owned(), input, index, at_hand };
        file.check_filler()?;
        Ok(file)
    }

    fn check_filler(&self) -> Result<(), CheckpointError> {
        let start = self.index.filler_start();
        let end = self.at_hand.min(self.index.index_len as u64) as usize;
        let mut zero = true;
        for at in (start..end).step_by(FILLER) {
            let bytes = self.input.bytes(at as u64, FILLER.min(end - at))?;
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
        self.input.bytes(part.offset, len)
    }

    fn fault(&self, error: DecodeError) -> CheckpointError {
        CheckpointError::container(&self.path)(error)
    }
}

/// Bytes of fixed header, index and checksum.
fn head_len(start: &[u8]) -> Result<u64, DecodeError> {
    match <&[u8; FIXED]>::try_from(start) {
        Ok(fixed) => Index::stored_len(fixed).map(|len| len as u64),
        // Too short for any container: parsing says what is missing, or that this is none.
        Err(_) => Index::parse(start).map(|index| index.index_len as u64),
    }
}
