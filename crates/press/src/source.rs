//! Where tensors come from.

use std::collections::BTreeMap;

use seedpress_checkpoint::{Checkpoint, Content, TensorInfo};
use xxhash_rust::xxh3::Xxh3;

use crate::error::PressError;

/// Bytes at either end of a tensor that tell most apart.
const SAMPLE: usize = 4096;

/// A checkpoint, or anything else that has named tensors. Loads may come from several threads.
pub trait Source: Sync {
    /// Every tensor, in the order in which the file will have them. Names are unique.
    fn tensors(&self) -> &[TensorInfo];

    /// The source's own metadata.
    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Loads a tensor: weights where [`TensorInfo::float`] says so, bytes otherwise.
    ///
    /// # Errors
    /// Why not.
    fn load(&self, tensor: usize) -> Result<Content, PressError>;

    /// The little-endian bytes of a tensor, a block at a time.
    ///
    /// # Errors
    /// Why not.
    fn blocks(&self, tensor: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), PressError> {
        match self.load(tensor)? {
            Content::Float(tensor) => take(&tensor.to_le_bytes()),
            Content::Opaque(bytes) => take(&bytes),
        }
        Ok(())
    }

    /// A cheap number that tensors of the same content share; `None` where that takes reading them whole.
    ///
    /// # Errors
    /// Why not.
    fn sample(&self, tensor: usize) -> Result<Option<u128>, PressError> {
        let _ = tensor;
        Ok(None)
    }

    /// Bytes it takes, with whatever it has beside tensors.
    fn source_bytes(&self) -> u64 {
        self.tensors().iter().map(|info| info.bytes as u64).sum()
    }

    /// What changes whenever the source's content may have changed; `None` where that cannot be known. With it, work that was killed
    /// is taken up again.
    fn identity(&self) -> Option<u128> {
        None
    }
}

/// A source with more metadata, such as the files beside it ([`companions`](seedpress_checkpoint::companions)).
pub struct Accompanied<'a> {
    source: &'a dyn Source,
    more: BTreeMap<String, String>,
}

impl<'a> Accompanied<'a> {
    /// Adds to what the source has of its own.
    pub fn new(source: &'a dyn Source, more: BTreeMap<String, String>) -> Self {
        Self { source, more }
    }
}

impl Source for Accompanied<'_> {
    fn tensors(&self) -> &[TensorInfo] {
        self.source.tensors()
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let mut all = self.source.metadata();
        all.extend(self.more.clone());
        all
    }

    fn load(&self, tensor: usize) -> Result<Content, PressError> {
        self.source.load(tensor)
    }

    fn blocks(&self, tensor: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), PressError> {
        self.source.blocks(tensor, take)
    }

    fn sample(&self, tensor: usize) -> Result<Option<u128>, PressError> {
        self.source.sample(tensor)
    }

    fn source_bytes(&self) -> u64 {
        self.source.source_bytes()
    }

    fn identity(&self) -> Option<u128> {
        self.source.identity()
    }
}

impl Source for Checkpoint {
    fn tensors(&self) -> &[TensorInfo] {
        Checkpoint::tensors(self)
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        Checkpoint::metadata(self).clone()
    }

    fn load(&self, tensor: usize) -> Result<Content, PressError> {
        Ok(Checkpoint::load(self, tensor)?)
    }

    fn blocks(&self, tensor: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), PressError> {
        Ok(Checkpoint::blocks(self, tensor, take)?)
    }

    fn source_bytes(&self) -> u64 {
        Checkpoint::file_bytes(self)
    }

    fn sample(&self, tensor: usize) -> Result<Option<u128>, PressError> {
        let len = Checkpoint::tensors(self)[tensor].bytes;
        let mut hash = Xxh3::new();
        hash.update(&self.range(tensor, 0, len.min(SAMPLE))?);
        hash.update(&self.range(tensor, len - len.min(SAMPLE), len.min(SAMPLE))?);
        Ok(Some(hash.digest128()))
    }

    /// Name, length and times of every file: a file that was written since is another one.
    fn identity(&self) -> Option<u128> {
        let mut hash = Xxh3::new();
        for file in self.files() {
            let there = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
            hash.update(file.canonicalize().ok()?.as_os_str().as_encoded_bytes());
            hash.update(&there.len().to_le_bytes());
            let age = there.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            hash.update(&age.as_nanos().to_le_bytes());
            hash.update(&changed(&there).to_le_bytes());
        }
        Some(hash.digest128())
    }
}

/// When the file was last changed in any way, which nobody can set back.
#[cfg(unix)]
fn changed(there: &std::fs::Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt;
    i128::from(there.ctime()) * 1_000_000_000 + i128::from(there.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_: &std::fs::Metadata) -> i128 {
    0
}
