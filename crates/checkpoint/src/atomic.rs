//! A file appears whole or not at all.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::CheckpointError;

/// Writes a file through a temporary one beside it, which is renamed once everything is on disk and removed where anything fails.
///
/// # Errors
/// The operating system's, or what `write` returns.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), CheckpointError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let attempt = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(&temporary)?);
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        std::fs::rename(&temporary, path)
    };
    attempt().map_err(|source| {
        // The original error matters; a temporary file that was never created cannot be removed.
        let _ = std::fs::remove_file(&temporary);
        CheckpointError::io(path)(source)
    })
}
