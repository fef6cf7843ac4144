//! Bytes of an output, collected into blocks before they are written.
//!
//! Blocks of a large file go past the page cache: in there, every byte is copied once more, pushes something else out, and waits until the
//! system finds that too many are not on disk yet. A thread of its own writes each while the next is filled. A file system that has
//! no way past the cache takes them like others.

use std::fs::File;
use std::io::{ErrorKind, Result, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Bytes of a block.
const BLOCK: usize = 1 << 20;
/// Bytes of a block of a large file.
const LARGE_BLOCK: usize = 1 << 24;
/// Bytes from which on a file is large: more than is likely to be read again at once.
const LARGE: u64 = 1 << 31;
/// Where blocks that pass the cache may lie, in memory and in the file: a multiple of what disks ask for.
const ALIGNMENT: usize = 4096;

/// Where blocks go.
#[derive(Debug)]
pub(crate) enum Sink {
    File(File),
    Stdout,
}

impl Sink {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Stdout => std::io::stdout().write_all(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout => std::io::stdout().flush(),
        }
    }

    /// Somebody who writes past the cache, where there is a way.
    fn beside(&self) -> Option<Beside> {
        let Self::File(file) = self else { return None };
        let beside = Beside { file: Arc::new(file.try_clone().ok()?), busy: None };
        set_direct(file, true).ok()?;
        Some(beside)
    }

    /// Writes through the cache again.
    fn through_cache(&self) -> Result<()> {
        match self {
            Self::File(file) => set_direct(file, false),
            Self::Stdout => Ok(()),
        }
    }
}

/// Lets what is written to a file pass the page cache, or no longer.
#[cfg(target_os = "linux")]
fn set_direct(file: &File, direct: bool) -> Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_: &File, _: bool) -> Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// A block in memory.
#[derive(Debug)]
struct Block {
    memory: Vec<u8>,
    /// Where it begins, and how many bytes it has.
    start: usize,
    len: usize,
}

impl Block {
    fn new(room: usize) -> Self {
        let memory = vec![0; room + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start, len: 0 }
    }

    fn room(&self) -> usize {
        self.memory.len() - ALIGNMENT
    }

    /// Takes what there is room for.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room() - self.len);
        self.memory[self.start + self.len..][..count].copy_from_slice(&bytes[..count]);
        self.len += count;
        count
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

/// Writes full blocks past the cache, each by a thread of its own while the next is filled.
#[derive(Debug)]
struct Beside {
    file: Arc<File>,
    /// The block on its way.
    busy: Option<JoinHandle<(Block, Result<()>)>>,
}

impl Beside {
    /// The block that was on its way, and what became of it.
    fn wait(&mut self) -> Option<(Block, Result<()>)> {
        let thread = self.busy.take()?;
        Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// Sends a block on its way; none may be. One that is refused is refused whole: the file goes on where it began.
    fn write(&mut self, block: Block) -> Result<()> {
        let file = Arc::clone(&self.file);
        let work = move || {
            let mut file = &*file;
            let written = file.stream_position().and_then(|start| {
                file.write_all(block.bytes()).or_else(|error| {
                    file.seek(SeekFrom::Start(start))?;
                    Err(error)
                })
            });
            (block, written)
        };
        self.busy = Some(std::thread::Builder::new().name("writer".to_owned()).spawn(work)?);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Nobody asks any more what became of it.
        let _ = self.busy.take().map(JoinHandle::join);
    }
}

/// What is collected for a sink. Bytes that were not [flushed](Write::flush) are lost with it.
#[derive(Debug)]
pub(crate) struct Blocks {
    sink: Sink,
    /// `None` before the first byte.
    block: Option<Block>,
    /// Who writes blocks, where they pass the cache.
    beside: Option<Beside>,
}

impl Blocks {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, block: None, beside: None }
    }

    /// Says how many bytes are to come, before the first has.
    pub(crate) fn expect(&mut self, bytes: u64) {
        if bytes >= LARGE && self.block.is_none() {
            self.beside = self.sink.beside();
        }
    }

    /// Waits for what is on its way past the cache, and gives its memory back.
    fn settle(&mut self) -> Result<Option<Block>> {
        let Some((block, written)) = self.beside.as_mut().and_then(Beside::wait) else { return Ok(None) };
        match written {
            // Not on this file system.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                self.end_beside()?;
                self.sink.write_all(block.bytes())?;
            }
            written => written?,
        }
        Ok(Some(Block { len: 0, ..block }))
    }

    /// Lets the rest go through the cache.
    fn end_beside(&mut self) -> Result<()> {
        self.beside = None;
        self.sink.through_cache()
    }

    /// Writes a block that is full.
    fn write_block(&mut self, block: Block) -> Result<()> {
        let free = self.settle()?;
        self.block = match &mut self.beside {
            Some(beside) => {
                beside.write(block)?;
                free
            }
            None => {
                self.sink.write_all(block.bytes())?;
                Some(Block { len: 0, ..block })
            }
        };
        Ok(())
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let empty = self.block.as_ref().is_none_or(|block| block.len == 0);
        if self.beside.is_none() && empty && bytes.len() >= BLOCK {
            return self.sink.write_all(bytes).map(|()| bytes.len());
        }
        let room = if self.beside.is_some() { LARGE_BLOCK } else { BLOCK };
        let mut block = self.block.take().unwrap_or_else(|| Block::new(room));
        let count = block.take(bytes);
        if block.len == block.room() {
            self.write_block(block)?;
        } else {
            self.block = Some(block);
        }
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        self.settle()?;
        if let Some(block) = self.block.take().filter(|block| block.len > 0) {
            // The end of a file is no whole block.
            if self.beside.is_some() {
                self.end_beside()?;
            }
            self.sink.write_all(block.bytes())?;
        }
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_the_cache_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..2 * LARGE_BLOCK + 12_345).map(|at| (at * 7 + at / 251) as u8).collect();
        for (name, direct) in [("cached", false), ("direct", true)] {
            // Pieces of odd lengths; a flush in between ends the way past the cache.
            for (first, piece) in [(0, bytes.len()), (LARGE_BLOCK + 1, 77_777), (bytes.len(), 3 << 20)] {
                let path = folder.path().join(name);
                let mut blocks = Blocks::new(Sink::File(File::create(&path).unwrap()));
                if direct {
                    blocks.expect(LARGE);
                }
                let (before, after) = bytes.split_at(first);
                before.chunks(piece).for_each(|piece| blocks.write_all(piece).unwrap());
                blocks.flush().unwrap();
                after.chunks(piece).for_each(|piece| blocks.write_all(piece).unwrap());
                blocks.flush().unwrap();
                assert!(std::fs::read(&path).unwrap() == bytes, "{name} {first} {piece}");
            }
        }
    }

    #[test]
    fn what_cannot_pass_the_cache_goes_through_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd");
        let bytes: Vec<u8> = (0..2 * LARGE_BLOCK + 99).map(|at| (at * 11 + at / 253) as u8).collect();
        // Disks refuse blocks at odd places.
        let mut file = File::create(&path).unwrap();
        file.write_all(&bytes[..1]).unwrap();
        let mut blocks = Blocks::new(Sink::File(file));
        blocks.expect(LARGE);
        bytes[1..].chunks(1 << 20).for_each(|piece| blocks.write_all(piece).unwrap());
        blocks.flush().unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}
