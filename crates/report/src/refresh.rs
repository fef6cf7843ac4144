//! Everything in the repository that follows from committed rows.

use std::path::{Path, PathBuf};

use crate::document::{Cell, Document, Section, Table};
use crate::error::{ReportError, io, write};
use crate::render::draw;
use crate::{docs, first, page};

/// Draws every report below `reports` of a repository, the first report and their index. Returns the files whose text was or, with
/// `check`, would be another.
///
/// # Errors
/// Rows that cannot be read, files that cannot be written.
pub fn refresh(root: &Path, check: bool) -> Result<Vec<PathBuf>, ReportError> {
    let reports = root.join("reports");
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&reports).map_err(io(&reports))? {
        folders.push(entry.map_err(io(&reports))?.path());
    }
    folders.retain(|folder| folder.join("run.json").exists() && folder.join("results.jsonl").exists());
    folders.sort();
    let mut changed = Vec::new();
    let mut drawn = first::draw(&reports)?;
    drawn.push((reports.join("index.html"), index(&folders)?));
    for folder in &folders {
        drawn.extend(draw(folder)?);
    }
    for (path, text) in docs::render_all(root)? {
        drawn.push((root.join(path), text));
    }
    for (path, text) in drawn {
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if !check {
            let parent = path.parent().unwrap_or(root);
            std::fs::create_dir_all(parent).map_err(io(parent))?;
            write(&path, &text)?;
        }
        changed.push(path);
    }
    Ok(changed)
}

/// The page that names all reports.
fn index(folders: &[PathBuf]) -> Result<String, ReportError> {
    let mut links = String::from("<a href=\"first/index.html\">the first report, measured</a> ");
    let mut table = Table::new("Reports", &["report", "#codecs", "#models", "#cells", "#failed", "state", "commit"]);
    for folder in folders {
        let run = seedpress_results::read_run(folder)?;
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let link = crate::format::escape_markup(&name);
        links += &format!("<a href=\"{link}/index.html\">{link}</a> ");
        let count = |value: u64| Cell::number(value as f64, value.to_string());
        let dirty = if run.environment.dirty { ", with local changes" } else { "" };
        table.rows.push(vec![
            Cell::text(name),
            count(run.codecs.len() as u64),
            count(run.models.len() as u64),
            count(run.cells),
            count(run.failed),
            Cell::text(if run.complete { "complete" } else { "INCOMPLETE" }),
            Cell::text(format!("{}{dirty}", run.environment.commit)),
        ]);
    }
    let mut section = Section::new("reports", "All runs");
    section.table(table);
    let document = Document { title: "seedpress reports".to_owned(), facts: Vec::new(), sections: vec![section] };
    Ok(page::plain_page(&document, &links))
}
