//! Where the files are, and that they are the files we mean.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::ZooError;

/// Overrides where the repository is looked for.
pub const ROOT_VARIABLE: &str = "SEEDPRESS_ROOT";

/// The repository root: `SEEDPRESS_ROOT`, else where this crate was built, else the nearest directory above the current one that
/// has `assets/`.
pub fn root() -> PathBuf {
    if let Some(root) = std::env::var_os(ROOT_VARIABLE) {
        return PathBuf::from(root);
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Ok(root) = built.canonicalize()
        && root.join("assets").is_dir()
    {
        return root;
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    here.ancestors().find(|folder| folder.join("assets").is_dir()).unwrap_or(&here).to_path_buf()
}

/// A committed file.
pub fn asset(path: &str) -> PathBuf {
    root().join("assets").join(path)
}

/// Where fetched models and data are kept: `SEEDPRESS_CACHE`, else `.seedpress-cache` in the repository root.
pub fn cache() -> PathBuf {
    std::env::var_os("SEEDPRESS_CACHE").map_or_else(|| root().join(".seedpress-cache"), PathBuf::from)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ZooError> {
    std::fs::read(path).map_err(ZooError::io(path))
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
