//! What each codec does, on its page: a table of its rows of the release run, between two comments that name the codecs.

use std::fmt::Write as _;
use std::path::Path;

use super::figures::{Figures, figure};
use crate::error::{DocsError, ReportError, io};
use crate::format::{escape_markdown, fixed, significant};

/// The report whose rows stand there.
const REPORT: &str = "full";
/// `<!-- rows: q4_k q5_k -->` opens a table.
const OPEN: &str = "<!-- rows: ";
const CLOSE: &str = "<!-- /rows -->";

/// Every page below `docs/codecs` that has such a table: path relative to the root, and its text.
pub(super) fn pages(root: &Path, figures: &Figures) -> Result<Vec<(String, String)>, ReportError> {
    let folder = root.join("docs/codecs");
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).map_err(io(&entry.path()))?;
        if let Some(rendered) = page(&text, figures) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let rendered = rendered.map_err(|problem| DocsError(format!("docs/codecs/{name}: {problem}")))?;
            pages.push((format!("docs/codecs/{name}"), rendered));
        }
    }
    pages.sort();
    Ok(pages)
}

fn page(text: &str, figures: &Figures) -> Option<Result<String, String>> {
    let (before, rest) = text.split_once(OPEN)?;
    let (ids, rest) = rest.split_once(" -->")?;
    let (_, after) = rest.split_once(CLOSE)?;
    Some(table(ids, figures).map(|table| format!("{before}{OPEN}{ids} -->\n{table}{CLOSE}{after}")))
}

/// Rows of the codecs in the order of the run: what their files take and what models keep, averaged over models.
fn table(ids: &str, figures: &Figures) -> Result<String, String> {
    let study = figures.study(REPORT)?;
    let ids: Vec<&str> = ids.split(' ').collect();
    let mut lines = String::new();
    for contender in study.contenders.iter().filter(|contender| ids.contains(&contender.codec_id.as_str())) {
        let of = |field: &str| figure(study, "*", &contender.codec, field).ok().filter(|value| value.is_finite());
        let print = |value: Option<f64>, print: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), print);
        let _ = writeln!(
            lines,
            "| {} | {} | {} | {} |",
            escape_markdown(&contender.label),
            print(of("bits"), |value| fixed(value, 2)),
            print(of("average"), |value| significant(value, 3)),
            print(of("relative error"), |value| significant(value, 3)),
        );
    }
    if lines.is_empty() {
        return Ok(format!("No row of these in `reports/{REPORT}`.\n"));
    }
    let reference = crate::average::reference(study).map_or("-", |reference| reference.label.as_str());
    Ok(format!(
        "\n| row | bits/weight | KL divergence over {}'s | relative error |\n| --- | ---: | ---: | ---: |\n{lines}\n",
        escape_markdown(reference)
    ))
}
