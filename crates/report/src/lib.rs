//! Tables, charts and pages drawn from stored results.
//!
//! [`render`] reads `results.jsonl` and `run.json` and writes beside them `index.html` (one self-contained page), `report.md`,
//! `charts/*.svg` and `summary.csv`. Nothing is measured and no codec is known here: the same rows give the same bytes.

mod canvas;
mod charts;
mod csv;
mod document;
mod format;
mod html;
mod markdown;
mod page;
mod prefixes;
mod study;
mod style;
mod sums;
mod tables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use seedpress_results::{ResultsError, read_plans, read_rows, read_run};

use document::{Block, Chart};
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
    Ok(Study::new(read_run(folder)?, read_rows(folder)?, read_plans(folder)?))
}

/// Draws the report of the run in `folder`. Each file is replaced as a whole; charts of an earlier drawing that no longer exist go.
///
/// # Errors
/// Rows that cannot be read, or files that cannot be written.
pub fn render(folder: &Path) -> Result<Rendered, ReportError> {
    let study = study(folder)?;
    let document = page::document(&study);
    let charts: Vec<&Chart> = document
        .sections
        .iter()
        .flat_map(|section| &section.blocks)
        .filter_map(|block| if let Block::Chart(chart) = block { Some(chart) } else { None })
        .collect();
    let pictures = folder.join("charts");
    std::fs::create_dir_all(&pictures).map_err(io(&pictures))?;
    let mut files = vec![
        write(&folder.join("index.html"), &html::page(&document))?,
        write(&folder.join("report.md"), &markdown::document(&document))?,
        write(&folder.join("summary.csv"), &csv::summary(&study))?,
    ];
    for chart in charts {
        files.push(write(&pictures.join(format!("{}.svg", chart.name)), &canvas::standalone(&chart.svg))?);
    }
    let fresh: BTreeSet<&PathBuf> = files.iter().collect();
    for entry in std::fs::read_dir(&pictures).map_err(io(&pictures))? {
        let path = entry.map_err(io(&pictures))?.path();
        if path.extension().is_some_and(|ending| ending == "svg") && !fresh.contains(&path) {
            std::fs::remove_file(&path).map_err(io(&path))?;
        }
    }
    Ok(Rendered { files })
}

/// The Markdown table of the README: the codecs worth naming over all real models, with bits, ratio, error, metrics and speed.
///
/// # Errors
/// Rows that cannot be read.
pub fn results_table(folder: &Path) -> Result<String, ReportError> {
    Ok(markdown::table(&tables::overview(&study(folder)?, true)))
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
