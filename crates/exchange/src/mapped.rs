//! Files in memory without being read: the system brings in what is touched.

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::ExchangeError;

/// A file mapped read-only. Clones share the map.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    path: PathBuf,
    // An empty file cannot be mapped.
    map: Option<Arc<Mmap>>,
}

impl Mapped {
    /// Maps a file.
    ///
    /// # Errors
    /// The operating system's; directories and other things that are no plain files.
    #[allow(unsafe_code)]
    pub(crate) fn open(path: &Path) -> Result<Self, ExchangeError> {
        let file = File::open(path).map_err(ExchangeError::io(path))?;
        let about = file.metadata().map_err(ExchangeError::io(path))?;
        if !about.is_file() {
            let what = if about.is_dir() { "this is a directory" } else { "this is no plain file" };
            return Err(ExchangeError::OtherKind { path: path.to_owned(), what: what.to_owned() });
        }
        let map = if about.len() == 0 {
            None
        } else {
            // SAFETY: the map is read-only and private to this process. Another process that shrinks the file while it is mapped
            // would cause a fault; that is the accepted contract of every memory-mapped checkpoint reader.
            Some(Arc::new(unsafe { Mmap::map(&file) }.map_err(ExchangeError::io(path))?))
        };
        Ok(Self { path: path.to_owned(), map })
    }

    /// The file this maps.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().map_or(&[], |map| &map[..])
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
