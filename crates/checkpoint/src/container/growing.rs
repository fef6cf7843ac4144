//! A container that is still arriving: a file that another process writes, or a pipe.
//!
//! What comes through a pipe is copied to an unnamed temporary file by a thread of its own, so that whoever sends it does not wait for
//! decoders. No more is copied than the container's index says.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::file::{ContainerFile, head_len};
use super::index::FIXED;
use crate::error::CheckpointError;
use crate::input::{self, Input, Opened, write_all_at};

/// Bytes that are copied at once.
const BLOCK: u64 = 1 << 16;
/// How long the copying thread waits for permission to go on.
const PAUSE: Duration = Duration::from_millis(5);

/// A container of which more and more is there.
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    file: File,
    /// What is copied; nothing for a file on disk.
    copied: Option<Arc<Copied>>,
}

#[derive(Debug)]
struct Copied {
    len: AtomicU64,
    /// Bytes that may be copied.
    limit: AtomicU64,
    over: AtomicBool,
    fault: Mutex<Option<std::io::Error>>,
}

/// How much is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes.
    pub bytes: u64,
    /// Whether no more will come. Never of a file: another process may write it.
    pub over: bool,
}

impl Growing {
    /// Opens a file that is there, empty or not, a FIFO, or standard input (`-`).
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let stream = match input::open(path)? {
            Opened::File(input) => return Ok(Self { path: path.to_owned(), file: input.into_file(), copied: None }),
            Opened::Stream(stream) => stream,
        };
        let fault = CheckpointError::io(path);
        let file = tempfile::tempfile().map_err(&fault)?;
        let copied = Arc::new(Copied {
            len: AtomicU64::new(0),
            limit: AtomicU64::new(FIXED as u64),
            over: AtomicBool::new(false),
            fault: Mutex::new(None),
        });
        let (to, shared) = (file.try_clone().map_err(&fault)?, Arc::clone(&copied));
        std::thread::spawn(move || shared.copy(stream, &to));
        Ok(Self { path: path.to_owned(), file, copied: Some(copied) })
    }

    /// Where it comes from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much is there now.
    ///
    /// # Errors
    /// The operating system's.
    pub fn arrived(&self) -> Result<Arrived, CheckpointError> {
        let fault = CheckpointError::io(&self.path);
        let Some(copied) = &self.copied else {
            return Ok(Arrived { bytes: self.file.metadata().map_err(&fault)?.len(), over: false });
        };
        // In this order: what came before the end is counted.
        let over = copied.over.load(Ordering::Acquire);
        let bytes = copied.len.load(Ordering::Acquire);
        match copied.fault.lock().ok().and_then(|mut error| error.take()) {
            Some(error) => Err(fault(error)),
            None => Ok(Arrived { bytes, over }),
        }
    }

    /// The first `bytes` bytes as a container; `None` where its index is not there yet.
    ///
    /// # Errors
    /// As [`ContainerFile::open`].
    pub fn container(&self, bytes: u64) -> Result<Option<ContainerFile>, CheckpointError> {
        let fault = CheckpointError::io(&self.path);
        let input = || Ok(Input::of(&self.path, self.file.try_clone().map_err(&fault)?, bytes));
        if bytes < FIXED as u64 {
            return Ok(None);
        }
        let fixed = input()?.bytes(0, FIXED)?;
        let head = head_len(&fixed).map_err(CheckpointError::container(&self.path))?;
        self.allow(head);
        if bytes < head {
            return Ok(None);
        }
        let file = ContainerFile::open_one(&self.path, Opened::File(input()?), Some(bytes))?;
        self.allow(file.index().whole_len);
        Ok(Some(file))
    }

    fn allow(&self, bytes: u64) {
        if let Some(copied) = &self.copied {
            copied.limit.fetch_max(bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if let Some(copied) = &self.copied {
            copied.over.store(true, Ordering::Release);
        }
    }
}

impl Copied {
    fn copy(&self, mut stream: Box<dyn Read + Send>, to: &File) {
        let mut block = vec![0; BLOCK as usize];
        let mut len = 0;
        while !self.over.load(Ordering::Acquire) {
            let allowed = (self.limit.load(Ordering::Acquire) - len).min(BLOCK) as usize;
            if allowed == 0 {
                std::thread::sleep(PAUSE);
                continue;
            }
            let copied = stream.read(&mut block[..allowed]).and_then(|count| {
                write_all_at(to, &block[..count], len)?;
                Ok(count as u64)
            });
            match copied {
                Ok(0) => break,
                Ok(count) => {
                    len += count;
                    self.len.store(len, Ordering::Release);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if let Ok(mut fault) = self.fault.lock() {
                        *fault = Some(error);
                    }
                    break;
                }
            }
        }
        self.over.store(true, Ordering::Release);
    }
}
