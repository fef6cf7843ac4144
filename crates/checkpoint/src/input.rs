//! Files that are read at any place, in any order, by several threads.
//!
//! Reading, not mapping: a file that another process shortens is an error and no fault of the process, and pages that were read do not
//! count as this process's memory. What cannot be read at any place (a FIFO, standard input) is copied to an unnamed temporary file
//! first, as many bytes as its header declares and no more.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::CheckpointError;

/// Bytes that are copied at once.
const BLOCK: usize = 1 << 20;

/// An input, opened but not yet read.
pub(crate) enum Opened {
    /// A file on disk.
    File(Input),
    /// A FIFO, a device or standard input, at its start.
    Stream(Box<dyn Read + Send>),
}

/// Opens a path; `-` is standard input.
pub(crate) fn open(path: &Path) -> Result<Opened, CheckpointError> {
    if path == Path::new("-") {
        return Ok(Opened::Stream(Box::new(std::io::stdin())));
    }
    let file = File::open(path).map_err(CheckpointError::io(path))?;
    let there = file.metadata().map_err(CheckpointError::io(path))?;
    if there.is_dir() {
        return Err(CheckpointError::Unusable { path: path.to_owned(), why: "it is a folder".to_owned() });
    }
    if there.is_file() {
        return Ok(Opened::File(Input { path: path.to_owned(), len: there.len(), file }));
    }
    Ok(Opened::Stream(Box::new(file)))
}

/// A file of known length.
#[derive(Debug)]
pub(crate) struct Input {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Input {
    /// The first `len` bytes of a file.
    pub(crate) fn of(path: &Path, file: File, len: u64) -> Self {
        Self { path: path.to_owned(), file, len }
    }

    /// The file, whatever its length is by now.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// Copies `head`, which is read already, and up to `rest` more bytes of a stream into an unnamed temporary file. A stream that goes
    /// on after them is refused, one that ends before them makes a shorter file.
    pub(crate) fn spool(path: &Path, head: &[u8], stream: &mut dyn Read, rest: u64) -> Result<Self, CheckpointError> {
        let fault = CheckpointError::io(path);
        let mut file = tempfile::tempfile().map_err(&fault)?;
        file.write_all(head).map_err(&fault)?;
        let copied = std::io::copy(&mut stream.take(rest), &mut file).map_err(&fault)?;
        if copied == rest && stream.take(1).read(&mut [0]).map_err(&fault)? > 0 {
            let why = "more bytes follow than its header declares".to_owned();
            return Err(CheckpointError::Unusable { path: path.to_owned(), why });
        }
        file.seek(SeekFrom::Start(0)).map_err(&fault)?;
        Ok(Self { path: path.to_owned(), file, len: head.len() as u64 + copied })
    }

    /// Its length when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `bytes` from `offset` on.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), CheckpointError> {
        read_exact_at(&self.file, bytes, offset).map_err(|error| {
            let ended = error.kind() == std::io::ErrorKind::UnexpectedEof;
            CheckpointError::io(&self.path)(match ended {
                true => std::io::Error::new(error.kind(), "the file became shorter while it was read"),
                false => error,
            })
        })
    }

    /// `len` bytes from `offset` on.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>, CheckpointError> {
        let mut bytes = vec![0; len];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Hands `len` bytes from `offset` on to `take`, a block at a time; blocks but the last hold a multiple of `unit` bytes.
    pub(crate) fn blocks(
        &self,
        offset: u64,
        len: usize,
        unit: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), CheckpointError> {
        let block = BLOCK.next_multiple_of(unit.max(1));
        let mut buffer = vec![0; block.min(len)];
        let mut done = 0;
        while done < len {
            let part = &mut buffer[..block.min(len - done)];
            self.read_at(part, offset + done as u64)?;
            take(part);
            done += part.len();
        }
        Ok(())
    }
}

#[cfg(unix)]
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[count..];
        offset += count as u64;
    }
    Ok(())
}

#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}
