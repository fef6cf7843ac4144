//! Parts of a container on their way: written as tensors are encoded, in any order of payload, read back when the index is known.
//!
//! Beside an output on disk the parts lie in `.NAME.seedpress-parts`, locked. Every tensor is one complete piece there,
//!
//! ```text
//! length u32 of the entry's bytes, key u128, memory u64, the entry as the index has it, crc32c u32 of all that, its parts
//! ```
//! so that what a killed process left is taken up: a piece counts if it is whole, its checksums fit and its key is asked for. For any
//! other output the parts lie in an unnamed temporary file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use seedpress_codec::wire::Reader;

use super::entry::{CHECKSUM, Entry, IndexEntry, unchecked};
use crate::error::CheckpointError;
use crate::input::read_exact_at;
use crate::output::Temporary;

const SUFFIX: &str = "seedpress-parts";
const BUFFER: usize = 1 << 20;
/// Length, key and memory.
const HEAD: usize = 4 + 16 + 8;
/// Entries are as long as their names and shapes: longer ones are no entries.
const MAX_ENTRY: usize = 64 << 20;
/// The newest version of an index entry.
const VERSION: u8 = u8::MAX;

/// A tensor in the spool.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) entry: IndexEntry,
    /// Where its parts begin.
    pub(super) offset: u64,
    /// Bytes that decoding it takes.
    pub(super) memory: u64,
}

#[derive(Debug)]
pub(super) struct Spool {
    writer: BufWriter<File>,
    end: u64,
    temporary: Option<Temporary>,
    left: HashMap<u128, Piece>,
}

impl Spool {
    /// Opens the spool of an output on disk, with what is left of one that was killed, or an unnamed one.
    pub(super) fn open(output: Option<&Path>, job: u128) -> Result<Self, CheckpointError> {
        let Some(path) = output else {
            let file = tempfile::tempfile().map_err(CheckpointError::io(Path::new("temporary file")))?;
            let writer = BufWriter::with_capacity(BUFFER, file);
            return Ok(Self { writer, end: 0, temporary: None, left: HashMap::new() });
        };
        let fault = CheckpointError::io(path);
        let temporary = Temporary::lock(path, SUFFIX)?;
        let mut file = temporary.file.try_clone().map_err(&fault)?;
        let (left, end) = scan(&mut file, job).map_err(&fault)?;
        file.set_len(end).map_err(&fault)?;
        file.seek(SeekFrom::Start(end)).map_err(&fault)?;
        let mut spool = Self { writer: BufWriter::with_capacity(BUFFER, file), end, temporary: Some(temporary), left };
        if spool.end == 0 {
            spool.append(&job.to_le_bytes()).map_err(&fault)?;
        }
        Ok(spool)
    }

    /// A piece that a killed process left.
    pub(super) fn left(&self, key: u128) -> Option<&Piece> {
        self.left.get(&key)
    }

    /// Whether a killed process left anything.
    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Takes a piece that a killed process left.
    pub(super) fn take(&mut self, key: u128) -> Option<Piece> {
        self.left.remove(&key)
    }

    /// Writes a piece.
    pub(super) fn push(
        &mut self,
        key: u128,
        entry: IndexEntry,
        content: &Entry,
        memory: u64,
    ) -> std::io::Result<Piece> {
        let head = head(key, &entry, memory);
        self.append(&head)?;
        let offset = self.end;
        for part in 0..entry.stored.part_lens().len() {
            self.append(&content.part(part))?;
        }
        if self.temporary.is_some() {
            // What is written survives the process.
            self.writer.flush()?;
        }
        Ok(Piece { entry, offset, memory })
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Whether the file stays for a later run when this is dropped.
    pub(super) fn keep(&mut self, keep: bool) {
        if let Some(temporary) = &mut self.temporary {
            temporary.keep(keep);
        }
    }

    /// Bytes of the spool.
    pub(super) fn read(&mut self, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
        self.writer.flush()?;
        let mut bytes = vec![0; len];
        read_exact_at(self.writer.get_ref(), &mut bytes, offset)?;
        Ok(bytes)
    }

    /// Copies bytes of the spool, a block at a time.
    pub(super) fn copy(&mut self, mut offset: u64, mut len: u64, to: &mut dyn Write) -> std::io::Result<()> {
        while len > 0 {
            let block = self.read(offset, len.min(BUFFER as u64) as usize)?;
            to.write_all(&block)?;
            offset += block.len() as u64;
            len -= block.len() as u64;
        }
        Ok(())
    }
}

fn head(key: u128, entry: &IndexEntry, memory: u64) -> Vec<u8> {
    let mut body = Vec::new();
    entry.put(&mut body);
    let mut head = (body.len() as u32).to_le_bytes().to_vec();
    head.extend_from_slice(&key.to_le_bytes());
    head.extend_from_slice(&memory.to_le_bytes());
    head.extend_from_slice(&body);
    head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
    head
}

/// The pieces of a spool of this job, and where the last whole one ends: 0 where it is another job's.
fn scan(file: &mut File, job: u128) -> std::io::Result<(HashMap<u128, Piece>, u64)> {
    let len = file.metadata()?.len();
    let mut pieces = HashMap::new();
    let mut stored = [0; 16];
    if len < 16 {
        return Ok((pieces, 0));
    }
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut stored)?;
    if u128::from_le_bytes(stored) != job {
        return Ok((pieces, 0));
    }
    let mut at = 16u64;
    while let Some((key, piece, end)) = piece(file, at, len)? {
        pieces.insert(key, piece);
        at = end;
    }
    Ok((pieces, at))
}

/// The piece at an offset and where it ends, if there is a whole one.
fn piece(file: &File, at: u64, len: u64) -> std::io::Result<Option<(u128, Piece, u64)>> {
    let read = |at: u64, count: usize| -> std::io::Result<Option<Vec<u8>>> {
        if len.saturating_sub(at) < count as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; count];
        read_exact_at(file, &mut bytes, at)?;
        Ok(Some(bytes))
    };
    let Some(start) = read(at, 4)? else { return Ok(None) };
    let body = u32::from_le_bytes([start[0], start[1], start[2], start[3]]) as usize;
    if body > MAX_ENTRY {
        return Ok(None);
    }
    let Some(head) = read(at, HEAD + body + CHECKSUM)? else { return Ok(None) };
    let Ok(head) = unchecked(&head) else { return Ok(None) };
    let number = |range: std::ops::Range<usize>| head[range].iter().rev().fold(0u128, |n, &b| n << 8 | u128::from(b));
    let Ok(entry) = IndexEntry::read(&mut Reader::new(&head[HEAD..]), VERSION) else { return Ok(None) };
    let offset = at + (HEAD + body + CHECKSUM) as u64;
    let mut end = offset;
    for part in entry.stored.part_lens() {
        let Ok(count) = usize::try_from(part) else { return Ok(None) };
        let whole = read(end, count)?.is_some_and(|bytes| unchecked(&bytes).is_ok());
        if !whole {
            return Ok(None);
        }
        end += part;
    }
    Ok(Some((number(4..20), Piece { entry, offset, memory: number(20..28) as u64 }, end)))
}
