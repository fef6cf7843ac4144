//! What keeps a report from being drawn, and writing files whole.

use std::path::{Path, PathBuf};

use seedpress_results::ResultsError;

/// A template that says what rows do not: every place, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DocsError(pub(crate) String);

/// A report that could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The rows could not be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// A page whose numbers are rows says what they do not.
    #[error(transparent)]
    Docs(#[from] DocsError),
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A fault of the file at `path`.
pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ReportError + '_ {
    move |source| ReportError::Io { path: path.to_owned(), source }
}

/// Through a temporary file beside it, so that a reader never sees half a file.
pub(crate) fn write(path: &Path, text: &str) -> Result<PathBuf, ReportError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, text).map_err(io(&temporary))?;
    std::fs::rename(&temporary, path).map_err(io(path))?;
    Ok(path.to_owned())
}
