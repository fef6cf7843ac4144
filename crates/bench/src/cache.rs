//! Written records and containers, kept outside the report so that a resumed or re-evaluated run need not encode again.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of records by key.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache in this folder, made when first written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join("records").join(key)
    }

    /// Bytes of a record, if it is here.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(key)).ok()
    }

    /// Whether a record is here.
    pub fn has(&self, key: &str) -> bool {
        self.path(key).is_file()
    }

    /// Keeps a record. Failing to is no error: it will be encoded again.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        let _ = path.parent().map(|folder| write_atomically(folder, &path, bytes));
    }
}

impl seedpress_plan::Store for Cache {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join("plans").join(key)).ok()
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let folder = self.folder.join("plans");
        let _ = write_atomically(&folder, &folder.join(key), bytes);
    }
}

/// Writes through a temporary file in `folder`: readers see all of it or nothing.
pub(crate) fn write_atomically(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map(|_| ()).map_err(|error| error.error)
}
