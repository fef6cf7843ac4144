//! Formats that are read from files.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use seedpress_checkpoint::Checkpoint;
use seedpress_exchange::open;

/// One folder for the process; what is in it is removed file by file.
static FOLDER: LazyLock<Option<tempfile::TempDir>> = LazyLock::new(|| tempfile::tempdir().ok());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Runs `read` over a file of these bytes with this ending.
fn with_file(bytes: &[u8], ending: &str, read: impl FnOnce(&Path)) {
    let Some(folder) = FOLDER.as_ref() else { return };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path: PathBuf = folder.path().join(format!("{number}.{ending}"));
    if std::fs::write(&path, bytes).is_ok() {
        read(&path);
    }
    let _ = std::fs::remove_file(&path);
}

fn foreign(path: &Path) {
    if let Ok(source) = open(path) {
        for tensor in 0..source.tensors().len() {
            let _ = source.load(tensor);
        }
    }
}

/// Both readers of safetensors: the press's, and the one for all formats.
pub(crate) fn safetensors(bytes: &[u8]) {
    with_file(bytes, "safetensors", |path| {
        if let Ok(checkpoint) = Checkpoint::open(path) {
            for tensor in 0..checkpoint.tensors().len() {
                let _ = checkpoint.load(tensor);
                let last = checkpoint.tensors()[tensor].bytes.saturating_sub(1);
                let _ = checkpoint.range(tensor, last, last.min(1));
            }
        }
        foreign(path);
    });
}

pub(crate) fn gguf(bytes: &[u8]) {
    with_file(bytes, "gguf", foreign);
}

pub(crate) fn pickle(bytes: &[u8]) {
    with_file(bytes, "pt", foreign);
}
