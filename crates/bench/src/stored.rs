//! Rows of a run as they lie in its folder: what an earlier run left, what this one adds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use seedpress_results::{ResultsError, Row};

use crate::error::RunError;
use crate::progress::Progress;

/// How a row is shown: canonical name and label. Neither decides whether a stored row is the one that is asked for.
pub(crate) type Shown = (String, Option<String>);

/// The rows of every cell, by key.
pub(crate) struct Stored {
    folder: PathBuf,
    rows: HashMap<String, Vec<Row>>,
}

impl Stored {
    /// Rows of an earlier run that are still asked for, under today's names; none where `fresh`. The file is rewritten without the
    /// others and without a torn last line; superseded rows move to `superseded.jsonl`, so that an edited config destroys no
    /// measurement, and lines that are no rows to `unreadable.txt`.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub(crate) fn open(
        folder: &Path,
        asked: &HashMap<String, Shown>,
        fresh: bool,
        progress: &dyn Progress,
    ) -> Result<Self, RunError> {
        let mut rows: HashMap<String, Vec<Row>> = HashMap::new();
        if !folder.join("results.jsonl").exists() {
            return Ok(Self { folder: folder.to_owned(), rows });
        }
        let stored = seedpress_results::read_stored(folder)?;
        if let Some(complaint) = stored.complaint() {
            let text: Vec<u8> = stored.unreadable.iter().flat_map(|(_, line)| line).copied().collect();
            append_aside(&folder.join("unreadable.txt"), &text)?;
            progress.note(&format!("note: {complaint}; they moved to unreadable.txt"));
        }
        let (mut kept, superseded): (Vec<Row>, Vec<Row>) =
            stored.rows.into_iter().partition(|row| !fresh && asked.contains_key(row.key()));
        if !superseded.is_empty() {
            let mut text = Vec::new();
            for row in &superseded {
                text.extend(serde_json::to_vec(row).unwrap_or_default());
                text.push(b'\n');
            }
            append_aside(&folder.join("superseded.jsonl"), &text)?;
            let count = superseded.len();
            progress.note(&format!("note: {count} rows that this run does not ask for moved to superseded.jsonl"));
        }
        for row in &mut kept {
            if let Some(shown) = asked.get(row.key()) {
                show_as(row, shown);
            }
        }
        seedpress_results::replace_rows(folder, &kept)?;
        for row in kept {
            rows.entry(row.key().to_owned()).or_default().push(row);
        }
        Ok(Self { folder: folder.to_owned(), rows })
    }

    /// Number of cells.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows of a cell; none where it was not measured.
    pub(crate) fn of(&self, key: &str) -> &[Row] {
        self.rows.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether a cell has rows, failed ones too.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.rows.contains_key(key)
    }

    /// Whether a cell failed.
    pub(crate) fn failed(&self, key: &str) -> bool {
        self.of(key).iter().any(Row::failed)
    }

    /// Whether a cell needs no work: it has all its rows and none failed. Failed and torn cells are tried again.
    pub(crate) fn is_done(&self, key: &str) -> bool {
        let whole = |rows: &[Row]| match rows.first() {
            Some(Row::Model(row)) => row.cell_rows <= rows.len(),
            other => other.is_some(),
        };
        whole(self.of(key)) && !self.failed(key)
    }

    /// Writes a cell's rows down.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn put(&mut self, key: String, rows: Vec<Row>) -> Result<(), ResultsError> {
        seedpress_results::append(&self.folder, &rows)?;
        self.rows.insert(key, rows);
        Ok(())
    }
}

fn show_as(row: &mut Row, (name, label): &Shown) {
    let (old_name, old_label) = match row {
        Row::Tensor(row) => (&mut row.codec, &mut row.label),
        Row::Model(row) => (&mut row.codec, &mut row.label),
    };
    (*old_name, *old_label) = (name.clone(), label.clone());
}

/// Keeps what a run moves out of `results.jsonl`.
fn append_aside(path: &Path, text: &[u8]) -> Result<(), RunError> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, text))
        .map_err(|source| RunError::Folder { path: path.to_owned(), source })
}
