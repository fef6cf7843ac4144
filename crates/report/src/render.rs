//! The files of a report, drawn from its rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::document::Block;
use crate::error::{ReportError, io, write};
use crate::study::Study;
use crate::{canvas, csv, markdown, page, sections, tables};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Every file, `index.html` first.
    pub files: Vec<PathBuf>,
}

/// Every file of the report of the run in `folder`, `index.html` first: its path and its text. Nothing is written.
///
/// # Errors
/// Rows that cannot be read.
pub fn draw(folder: &Path) -> Result<Vec<(PathBuf, String)>, ReportError> {
    let study = Study::read(folder)?;
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

/// The Markdown table of the README: what is best at each size, over all real models.
///
/// # Errors
/// Rows that cannot be read.
pub fn results_table(folder: &Path) -> Result<String, ReportError> {
    Ok(markdown::table(&tables::best_at_sizes(&Study::read(folder)?)))
}
