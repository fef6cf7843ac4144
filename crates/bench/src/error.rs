//! A run that could not start or go on.

use std::path::PathBuf;

use seedpress_results::ResultsError;

/// A run that could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Results cannot be read or written.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// The report's folder cannot be made or written.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The thread pool cannot be built.
    #[error("threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A filter leaves nothing.
    #[error("`--only` leaves no cell: `--dry-run` lists what there is")]
    Nothing,
}
