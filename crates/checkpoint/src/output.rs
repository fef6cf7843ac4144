//! Where a result goes, and how: whole or not at all.
//!
//! | the path is | what happens |
//! | --- | --- |
//! | free | a temporary file beside it is renamed once everything is on disk |
//! | a file | the same, if replacing is asked for and it is none of the inputs; its permissions are kept |
//! | a symbolic link | what it points to is treated so; the link stays |
//! | a terminal, `/dev/null`, a FIFO | it is written to as it is |
//! | a folder, a disk, a socket | refused |
//! | `-` | standard output |
//!
//! The temporary file of `NAME` is `.NAME.seedpress-tmp`, locked while it is written: what a killed process left is taken over by the
//! next one that writes the same output, and two processes never write one.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::blocks::{Blocks, Sink};
use crate::error::CheckpointError;

/// Longest file name that gets a suffix; file systems allow 255 bytes.
const LONGEST_NAME: usize = 200;

/// Whether a file that is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It may.
    Allow,
    /// It is an error.
    Refuse,
}

/// An output that is being written. Dropping it without [`finish`](Self::finish) leaves nothing behind.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    writer: Blocks,
    temporary: Option<Temporary>,
    written: u64,
}

impl Output {
    /// Opens an output, so that one that cannot be written is known before any work is done. `inputs` are files it must not be.
    ///
    /// # Errors
    /// A file that is there and may not be replaced; an input; a folder, disk or socket; what the operating system refuses.
    pub fn create(path: &Path, overwrite: Overwrite, inputs: &[&Path]) -> Result<Self, CheckpointError> {
        let refuse = |why: &str| Err(CheckpointError::Unusable { path: path.to_owned(), why: why.to_owned() });
        if path == Path::new("-") {
            return Ok(Self::over(path, Sink::Stdout, None));
        }
        let target = resolve(path)?;
        let there = match std::fs::metadata(&target) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(CheckpointError::io(path)(error)),
        };
        let Some(there) = there else {
            let temporary = Temporary::beside(&target)?;
            let file = temporary.file.try_clone().map_err(CheckpointError::io(path))?;
            return Ok(Self::over(&target, Sink::File(file), Some(temporary)));
        };
        if there.is_dir() {
            return refuse("it is a folder");
        }
        if !there.is_file() {
            return match is_stream(&there) {
                true => {
                    let file = OpenOptions::new().write(true).open(&target).map_err(CheckpointError::io(path))?;
                    Ok(Self::over(path, Sink::File(file), None))
                }
                false => refuse("it is no file, FIFO or character device"),
            };
        }
        if inputs.iter().any(|input| same_file(input, &there)) {
            return refuse("it is an input of this command");
        }
        if overwrite == Overwrite::Refuse {
            return refuse("it is there already: --force replaces it");
        }
        // A file that may not be written may not be replaced either.
        OpenOptions::new().write(true).open(&target).map_err(CheckpointError::io(path))?;
        let temporary = Temporary::beside(&target)?;
        temporary.file.set_permissions(there.permissions()).map_err(CheckpointError::io(path))?;
        let file = temporary.file.try_clone().map_err(CheckpointError::io(path))?;
        Ok(Self::over(&target, Sink::File(file), Some(temporary)))
    }

    fn over(path: &Path, sink: Sink, temporary: Option<Temporary>) -> Self {
        Self { path: path.to_owned(), writer: Blocks::new(sink), temporary, written: 0 }
    }

    /// Where the result will be: links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the result is a file on disk, beside which others may lie.
    pub fn is_file(&self) -> bool {
        self.temporary.is_some()
    }

    /// Says how many bytes are to come, before the first has: large files are written past the system's page cache.
    pub(crate) fn expect(&mut self, bytes: u64) {
        if self.is_file() {
            self.writer.expect(bytes);
        }
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Waits for a name: the number of a file among others may be known once all are written.
    ///
    /// # Errors
    /// The operating system's.
    pub fn unnamed(mut self) -> Result<Unnamed, CheckpointError> {
        let path = self.path.clone();
        self.writer.flush().map_err(CheckpointError::io(&path))?;
        Ok(Unnamed(self))
    }

    /// Puts the result on disk, whole, and leaves its name for later. No file stays open.
    ///
    /// # Errors
    /// The operating system's; an output that is no file.
    pub(crate) fn shelve(mut self) -> Result<Shelved, CheckpointError> {
        let path = self.path.clone();
        self.writer.flush().map_err(CheckpointError::io(&path))?;
        let Some(Temporary { file, name }) = self.temporary.take() else {
            return Err(CheckpointError::Unusable { path, why: "it is no file".to_owned() });
        };
        file.sync_all().map_err(CheckpointError::io(&path))?;
        Ok(Shelved { name, target: path, len: self.written })
    }

    /// Puts the result in its place.
    ///
    /// # Errors
    /// The operating system's.
    pub fn finish(mut self) -> Result<u64, CheckpointError> {
        let path = self.path.clone();
        self.writer.flush().map_err(CheckpointError::io(&path))?;
        if let Some(temporary) = self.temporary.take() {
            temporary.file.sync_all().map_err(CheckpointError::io(&path))?;
            temporary.name.rename(&path)?;
        }
        Ok(self.written)
    }
}

/// What is written whole, and gets its name with others of its kind.
#[derive(Debug)]
pub struct Unnamed(Output);

impl Unnamed {
    /// Puts it in its place, over what is there: `path` lies in the folder it was opened for.
    ///
    /// # Errors
    /// The operating system's.
    pub fn name(mut self, path: &Path) -> Result<u64, CheckpointError> {
        self.0.path = path.to_owned();
        self.0.finish()
    }
}

/// A file that is whole and on disk, and gets its name with others of its kind. Dropped before, it is removed.
#[derive(Debug)]
pub(crate) struct Shelved {
    name: Name,
    target: PathBuf,
    len: u64,
}

impl Shelved {
    /// Puts it in its place, over what is there; returns its length.
    pub(crate) fn place(self) -> Result<u64, CheckpointError> {
        self.name.rename(&self.target)?;
        Ok(self.len)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

/// Writes a file whole or not at all, replacing one that is there.
///
/// # Errors
/// The operating system's, or what `write` returns.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut Output) -> std::io::Result<()>,
) -> Result<(), CheckpointError> {
    let mut output = Output::create(path, Overwrite::Allow, &[])?;
    write(&mut output).map_err(CheckpointError::io(path))?;
    output.finish().map(|_| ())
}

/// Files that a sudden end of the process must remove.
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the temporary files of this process, which can make no more of them: for what ends it right afterwards.
pub fn remove_temporaries() {
    if let Ok(mut live) = LIVE.lock() {
        for path in live.drain(..) {
            let _ = std::fs::remove_file(path);
        }
        // Whoever is about to make one waits for the end.
        std::mem::forget(live);
    }
}

/// A locked file beside an output, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(crate) file: File,
    name: Name,
}

/// The name of a temporary file, which is removed with it.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    keep: bool,
}

impl Temporary {
    /// The temporary file of an output, empty: one that a killed process left is taken over.
    fn beside(target: &Path) -> Result<Self, CheckpointError> {
        let temporary = Self::lock(target, "seedpress-tmp")?;
        temporary.file.set_len(0).map_err(CheckpointError::io(&temporary.name.path))?;
        Ok(temporary)
    }

    /// Opens `.NAME.suffix` beside `target` and locks it; whatever it holds stays.
    pub(crate) fn lock(target: &Path, suffix: &str) -> Result<Self, CheckpointError> {
        let path = beside(target, suffix);
        let fault = CheckpointError::io(target);
        loop {
            // A link or a pipe of this name is nobody's temporary file, and writing would go through it.
            if std::fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file()) {
                let why = format!("{} is in the way: it is no plain file", path.display());
                return Err(CheckpointError::Unusable { path: target.to_owned(), why });
            }
            // A file is there and listed, or neither, for whoever ends the process.
            let live = LIVE.lock();
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(&fault)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => {
                    let why = "another process is writing it".to_owned();
                    return Err(CheckpointError::Unusable { path: target.to_owned(), why });
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(fault(error)),
            }
            // Whoever held the lock may have renamed or removed the file meanwhile: then this lock is on something else.
            let held = file.metadata().map_err(&fault)?;
            if same_file(&path, &held) {
                if let Ok(mut live) = live {
                    live.push(path.clone());
                }
                return Ok(Self { file, name: Name { path, keep: false } });
            }
        }
    }

    /// Whether the file stays in place when this is dropped.
    pub(crate) fn keep(&mut self, keep: bool) {
        self.name.keep = keep;
    }
}

impl Name {
    fn rename(mut self, to: &Path) -> Result<(), CheckpointError> {
        std::fs::rename(&self.path, to).map_err(CheckpointError::io(to))?;
        self.keep = true;
        Ok(())
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let live = LIVE.lock();
        if !self.keep {
            let _ = std::fs::remove_file(&self.path);
        }
        if let Ok(mut live) = live {
            live.retain(|path| *path != self.path);
        }
    }
}

/// `.NAME.suffix` in the folder of `target`; names that would become too long are shortened, with a checksum of the whole.
fn beside(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let end = (0..=name.len().min(LONGEST_NAME)).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
    let checksum = if end < name.len() { format!(".{:08x}", crc32c::crc32c(name.as_bytes())) } else { String::new() };
    target.with_file_name(format!(".{}{checksum}.{suffix}", &name[..end]))
}

/// The file a chain of links ends at, there or not.
fn resolve(path: &Path) -> Result<PathBuf, CheckpointError> {
    let mut at = path.to_owned();
    for _ in 0..40 {
        match std::fs::symlink_metadata(&at) {
            Ok(there) if there.is_symlink() => {
                let to = std::fs::read_link(&at).map_err(CheckpointError::io(path))?;
                at = at.parent().map_or_else(|| to.clone(), |folder| folder.join(&to));
            }
            _ => return Ok(at),
        }
    }
    Err(CheckpointError::Unusable { path: path.to_owned(), why: "its links go in a circle".to_owned() })
}

#[cfg(unix)]
fn is_stream(there: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    there.file_type().is_char_device() || there.file_type().is_fifo()
}

#[cfg(not(unix))]
fn is_stream(_: &std::fs::Metadata) -> bool {
    true
}

/// Whether `path` is the file of `there`, under whatever name.
#[cfg(unix)]
fn same_file(path: &Path, there: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|other| (other.dev(), other.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn same_file(path: &Path, _: &std::fs::Metadata) -> bool {
    path.exists()
}
