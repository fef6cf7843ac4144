//! Reading and writing `results.jsonl` and `run.json`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    /// Another run writes to this folder.
    #[error("{folder}: another run is writing here: wait for it, or choose another folder with --out")]
    Busy {
        /// The folder.
        folder: PathBuf,
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

/// What `results.jsonl` holds.
#[derive(Debug, Default)]
pub struct Stored {
    /// The rows that count, in file order.
    pub rows: Vec<Row>,
    /// Lines that are no rows, each with its 1-based number: a line that a crash or a full disk cut, or that somebody edited.
    pub unreadable: Vec<(usize, Vec<u8>)>,
}

impl Stored {
    /// Says how many lines could not be read and which is the first; `None` where all could.
    pub fn complaint(&self) -> Option<String> {
        let (first, _) = self.unreadable.first()?;
        Some(format!(
            "results.jsonl: {} lines are no rows and are left out, the first is line {first}",
            self.unreadable.len()
        ))
    }
}

/// Every row of `folder` that counts. Of the attempts at one cell (rows with the same key) the last one does: a success replaces a
/// failure, a failure replaces what was there. Blank lines and a last line without its line feed (a crash while writing) are dropped;
/// any other line that is no row is set apart and stands in nobody's way.
///
/// # Errors
/// A missing file, or one that cannot be read.
pub fn read_stored(folder: &Path) -> Result<Stored, ResultsError> {
    read_attempts(folder.join("results.jsonl"))
}

fn read_attempts(path: PathBuf) -> Result<Stored, ResultsError> {
    let mut reader = BufReader::new(File::open(&path).map_err(io(&path))?);
    let mut unreadable = Vec::new();
    let mut cells: Vec<Vec<Row>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        // Bytes, not characters: a line may be cut inside one.
        if reader.read_until(b'\n', &mut text).map_err(io(&path))? == 0 || !text.ends_with(b"\n") {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let Ok(row) = serde_json::from_slice::<Row>(&text) else {
            unreadable.push((line, text.clone()));
            continue;
        };
        let place = *places.entry(row.key().to_owned()).or_insert_with(|| {
            cells.push(Vec::new());
            cells.len() - 1
        });
        attempt(&mut cells[place], row);
    }
    Ok(Stored { rows: cells.into_iter().flatten().collect(), unreadable })
}

/// Takes a later row into the rows of its cell.
fn attempt(cell: &mut Vec<Row>, row: Row) {
    let metric = |row: &Row| match row {
        Row::Tensor(_) => None,
        Row::Model(row) => Some(row.metric.clone()),
    };
    if row.failed() {
        cell.clear();
    }
    cell.retain(|earlier| !earlier.failed());
    match cell.iter_mut().find(|earlier| metric(earlier) == metric(&row)) {
        Some(earlier) => *earlier = row,
        None => cell.push(row),
    }
}

/// Rows of other people's programs, from `foreign.jsonl`; none where it is not there.
///
/// # Errors
/// As [`read_stored`].
pub fn read_foreign(folder: &Path) -> Result<Vec<Row>, ResultsError> {
    let path = folder.join("foreign.jsonl");
    if path.exists() { Ok(read_attempts(path)?.rows) } else { Ok(Vec::new()) }
}

/// Replaces `foreign.jsonl` through a temporary file.
///
/// # Errors
/// The operating system's.
pub fn write_foreign(folder: &Path, rows: &[Row]) -> Result<(), ResultsError> {
    replace_lines(folder, "foreign.jsonl", rows)
}

/// The rows of [`read_stored`].
///
/// # Errors
/// As [`read_stored`].
pub fn read_rows(folder: &Path) -> Result<Vec<Row>, ResultsError> {
    read_stored(folder).map(|stored| stored.rows)
}

/// Exclusive use of a results folder, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes a folder for one run: two would write between each other's rows.
///
/// # Errors
/// [`ResultsError::Busy`] where another run holds it; the operating system's.
pub fn lock(folder: &Path) -> Result<Lock, ResultsError> {
    let path = folder.join(".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io(&path))?;
    // A process that starts another shares its locks with it for a moment: a lock that was let go may be held that much longer.
    let patience = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => std::thread::sleep(PATIENCE / 20),
            Err(TryLockError::WouldBlock) => return Err(ResultsError::Busy { folder: folder.to_owned() }),
            // A file system without locks guards nothing, and is no reason not to measure.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                return Ok(Lock { _file: file });
            }
            Err(TryLockError::Error(error)) => return Err(io(&path)(error)),
        }
    }
}

/// How long a lock that is held is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Replaces `results.jsonl` through a temporary file: drops torn lines and superseded rows.
///
/// # Errors
/// The operating system's.
pub fn replace_rows(folder: &Path, rows: &[Row]) -> Result<(), ResultsError> {
    replace_lines(folder, "results.jsonl", rows)
}

fn replace_lines(folder: &Path, name: &str, rows: &[Row]) -> Result<(), ResultsError> {
    let path = folder.join(name);
    let temporary = folder.join(format!("{name}.tmp"));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::row::{ModelRow, Status, TensorRow};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("seedpress-store-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn tensor(key: &str) -> Row {
        Row::Tensor(TensorRow { key: key.into(), ..TensorRow::default() })
    }

    fn model(key: &str, metric: &str, status: Status) -> Row {
        Row::Model(ModelRow { key: key.into(), metric: metric.into(), status, ..ModelRow::default() })
    }

    #[test]
    fn lines_that_are_no_rows_stand_in_nobodys_way() {
        let folder = folder("lines");
        let path = folder.join("results.jsonl");
        let good = lines(&path, &[tensor("a"), tensor("b")]).unwrap();
        let cut = good.iter().position(|&byte| byte == b'\n').unwrap();
        let tails: [&[u8]; 5] =
            [b"\n", b"   \n", "{\"kind\": \"\u{e9}".as_bytes().split_last().unwrap().1, &good[..20], b"\r\n"];
        for tail in tails {
            std::fs::write(&path, [&good[..], tail].concat()).unwrap();
            let stored = read_stored(&folder).unwrap();
            assert_eq!(stored.rows, [tensor("a"), tensor("b")], "{tail:?}");
            assert!(stored.complaint().is_none());
        }
        // A cut line that has its line feed, bytes that are no text, and JSON that is no row: before, between and after rows.
        let bad: [&[u8]; 3] = [&good[..20], b"\xFF\xFE", b"{\"kind\":\"other\"}"];
        let mut text = Vec::new();
        for (bad, row) in bad.iter().zip([&good[..=cut], &good[cut + 1..], b""]) {
            text.extend([bad, &b"\n"[..], row].concat());
        }
        std::fs::write(&path, text).unwrap();
        let stored = read_stored(&folder).unwrap();
        assert_eq!(stored.rows, [tensor("a"), tensor("b")]);
        assert_eq!(stored.unreadable.iter().map(|bad| bad.0).collect::<Vec<_>>(), [1, 3, 5]);
        assert!(stored.complaint().unwrap().contains("3 lines"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_last_attempt_at_a_cell_counts() {
        let folder = folder("attempts");
        let (ok, failed) = (Status::Ok, Status::Failed);
        append(&folder, &[model("m", "", failed), tensor("t")]).unwrap();
        append(&folder, &[model("m", "accuracy", ok), model("m", "divergence", ok)]).unwrap();
        let wanted = [model("m", "accuracy", ok), model("m", "divergence", ok), tensor("t")];
        assert_eq!(read_rows(&folder).unwrap(), wanted);
        append(&folder, &[model("m", "", failed)]).unwrap();
        assert_eq!(read_rows(&folder).unwrap(), [model("m", "", failed), tensor("t")]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_is_for_one_run() {
        let folder = folder("lock");
        let held = lock(&folder).unwrap();
        assert!(matches!(lock(&folder), Err(ResultsError::Busy { .. })));
        drop(held);
        lock(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
