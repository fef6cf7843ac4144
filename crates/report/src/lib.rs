//! Tables, charts and pages drawn from stored results.
//!
//! [`render`] reads `results.jsonl` and `run.json` and writes beside them `index.html` (one self-contained page), `report.md`,
//! `charts/*.svg` and `summary.csv`. Where `previous.csv` lies beside them, the `summary.csv` of the release before, the report says what
//! changed since. Nothing is measured and no codec is known here: the same rows give the same bytes.

mod average;
mod canvas;
mod charts;
mod contender;
mod csv;
mod docs;
mod document;
mod first;
mod format;
mod judge;
mod markdown;
mod page;
mod palette;
mod prefixes;
mod refresh;
mod sections;
mod study;
mod style;
mod sums;
mod tables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use seedpress_results::{ResultsError, read_plans, read_rows, read_run};

use document::Block;
use study::Study;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Every file, `index.html` first.
    pub files: Vec<PathBuf>,
}

/// A report that could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The rows could not be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// A page whose numbers are rows says what they do not.
    #[error(transparent)]
    Docs(#[from] docs::DocsError),
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ReportError + '_ {
    move |source| ReportError::Io { path: path.to_owned(), source }
}

fn study(folder: &Path) -> Result<Study, ReportError> {
    let mut rows = read_rows(folder)?;
    rows.extend(seedpress_results::read_foreign(folder)?);
    let mut study = Study::new(read_run(folder)?, rows, read_plans(folder)?);
    study.previous = std::fs::read_to_string(folder.join("previous.csv")).ok();
    Ok(study)
}

/// Every file of the report of the run in `folder`, `index.html` first: its path and its text. Nothing is written.
///
/// # Errors
/// Rows that cannot be read.
pub fn draw(folder: &Path) -> Result<Vec<(PathBuf, String)>, ReportError> {
    let study = study(folder)?;
    let document = sections::document(&study);
    let mut files = vec![
        (folder.join("index.html"), page::page(&study, &document)),
        (folder.join("report.md"), markdown::document(&document)),
        (folder.join("summary.csv"), csv::summary(&study)),
    ];
    for block in document.sections.iter().flat_map(|section| &section.blocks) {
        if let Block::Chart(chart) = block {
            files.push((folder.join(format!("charts/{}.svg", chart.name)), canvas::standalone(&chart.svg)));
        }
    }
    Ok(files)
}

/// Draws the report of the run in `folder`. Each file is replaced as a whole; charts of an earlier drawing that no longer exist go.
///
/// # Errors
/// Rows that cannot be read, or files that cannot be written.
pub fn render(folder: &Path) -> Result<Rendered, ReportError> {
    let drawn = draw(folder)?;
    let pictures = folder.join("charts");
    std::fs::create_dir_all(&pictures).map_err(io(&pictures))?;
    let files = drawn.iter().map(|(path, text)| write(path, text)).collect::<Result<Vec<_>, _>>()?;
    let fresh: BTreeSet<&PathBuf> = files.iter().collect();
    for entry in std::fs::read_dir(&pictures).map_err(io(&pictures))? {
        let path = entry.map_err(io(&pictures))?.path();
        if path.extension().is_some_and(|ending| ending == "svg") && !fresh.contains(&path) {
            std::fs::remove_file(&path).map_err(io(&path))?;
        }
    }
    Ok(Rendered { files })
}

pub use first::draw as draw_first;
pub use refresh::refresh;

/// The Markdown table of the README: what is best at each size, over all real models.
///
/// # Errors
/// Rows that cannot be read.
pub fn results_table(folder: &Path) -> Result<String, ReportError> {
    Ok(markdown::table(&tables::best_at_sizes(&study(folder)?)))
}

/// Through a temporary file beside it, so that a reader never sees half a file.
fn write(path: &Path, text: &str) -> Result<PathBuf, ReportError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, text).map_err(io(&temporary))?;
    std::fs::rename(&temporary, path).map_err(io(path))?;
    Ok(path.to_owned())
}
