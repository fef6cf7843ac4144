//! Reading and writing `results.jsonl` and `run.json`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::row::{Row, Run};

/// A results folder that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line or file that is no row.
    #[error("{path}:{line}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ResultsError + '_ {
    move |source| ResultsError::Io { path: path.to_owned(), source }
}

/// Rows as lines, each with its line feed.
pub(crate) fn lines<T: Serialize>(path: &Path, rows: &[T]) -> Result<Vec<u8>, ResultsError> {
    let mut text = Vec::new();
    for row in rows {
        let syntax = |source| ResultsError::Syntax { path: path.to_owned(), line: 0, source };
        serde_json::to_writer(&mut text, row).map_err(syntax)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// Appends rows to a file of lines in one write: a crash leaves at most the last line torn.
pub(crate) fn append_lines<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), ResultsError> {
    let text = lines(path, rows)?;
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(io(path))?;
    file.write_all(&text).and_then(|()| file.flush()).map_err(io(path))
}

/// Appends rows to `results.jsonl` in `folder` and flushes: a crash loses at most the row being written.
///
/// # Errors
/// The operating system's.
pub fn append(folder: &Path, rows: &[Row]) -> Result<(), ResultsError> {
    append_lines(&folder.join("results.jsonl"), rows)
}

/// All rows of `folder`, in file order. A last line without its line feed (a crash while writing) is dropped; of rows with the same
/// key the last one counts.
///
/// # Errors
/// A missing file, or a complete line that is no row.
pub fn read_rows(folder: &Path) -> Result<Vec<Row>, ResultsError> {
    let path = folder.join("results.jsonl");
    let mut reader = BufReader::new(File::open(&path).map_err(io(&path))?);
    let mut rows: Vec<Row> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        if reader.read_line(&mut text).map_err(io(&path))? == 0 || !text.ends_with('\n') {
            break;
        }
        let row: Row =
            serde_json::from_str(&text).map_err(|source| ResultsError::Syntax { path: path.clone(), line, source })?;
        let key = match &row {
            Row::Tensor(row) => ("", row.key.clone()),
            Row::Model(row) => ("model", format!("{} {}", row.key, row.metric)),
        };
        match places.get(&key) {
            Some(&place) => rows[place] = row,
            None => {
                places.insert(key, rows.len());
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

/// Replaces `results.jsonl` through a temporary file: drops torn lines and superseded rows.
///
/// # Errors
/// The operating system's.
pub fn replace_rows(folder: &Path, rows: &[Row]) -> Result<(), ResultsError> {
    let path = folder.join("results.jsonl");
    let temporary = folder.join("results.jsonl.tmp");
    std::fs::write(&temporary, lines(&path, rows)?).map_err(io(&temporary))?;
    std::fs::rename(&temporary, &path).map_err(io(&path))
}

/// Writes `run.json` through a temporary file.
///
/// # Errors
/// The operating system's.
pub fn write_run(folder: &Path, run: &Run) -> Result<(), ResultsError> {
    let path = folder.join("run.json");
    let temporary = folder.join("run.json.tmp");
    let text = serde_json::to_vec_pretty(run).map_err(|source| ResultsError::Syntax {
        path: path.clone(),
        line: 0,
        source,
    })?;
    std::fs::write(&temporary, text).map_err(io(&temporary))?;
    std::fs::rename(&temporary, &path).map_err(io(&path))
}

/// Reads `run.json`.
///
/// # Errors
/// A missing file, or one that is no run.
pub fn read_run(folder: &Path) -> Result<Run, ResultsError> {
    let path = folder.join("run.json");
    let text = std::fs::read(&path).map_err(io(&path))?;
    serde_json::from_slice(&text).map_err(|source| ResultsError::Syntax { path, line: source.line(), source })
}
