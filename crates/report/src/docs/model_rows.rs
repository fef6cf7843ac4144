//! Every row of one model in a report, largest file first, of equal ones the better last: who wants to know what is best at a size finds its neighbours beside it.

use std::fmt::Write as _;

use seedpress_results::{ModelRow, Status};

use super::figures::{Figures, contender};
use crate::average::DIVERGENCE;
use crate::format::{escape_markdown, fixed, grouped, significant};

/// `rows report | model`, or `rows report | model | row ; row`: of all its rows or of those named, bytes and bits of the whole file, divergence with its interval, then the model's other metrics.
///
/// # Errors
/// A report or model without rows, a name without a row.
pub(super) fn table(query: &str, figures: &Figures) -> Result<String, String> {
    let parts: Vec<&str> = query.split('|').map(str::trim).collect();
    let (report, model, named) = match parts.as_slice() {
        [report, model] => (report, model, None),
        [report, model, names] => (report, model, Some(names.split(';').map(str::trim).collect::<Vec<_>>())),
        _ => return Err("a report, a model and perhaps rows were expected".to_owned()),
    };
    let study = figures.study(report)?;
    let metrics = study.metrics(model);
    let others: Vec<&str> = metrics.iter().copied().filter(|metric| *metric != DIVERGENCE).collect();
    let mut rows: Vec<(u64, f64, String)> = Vec::new();
    let is_wanted = |name: &str| named.as_ref().is_none_or(|named| named.contains(&name));
    if let Some(name) = named.iter().flatten().find(|name| contender(study, name).is_err()) {
        return Err(format!("no row {name} in {report}"));
    }
    for contender in study.contenders.iter().filter(|contender| is_wanted(&contender.codec)) {
        let own: Vec<&ModelRow> = study.whole(contender, model).filter(|row| row.status == Status::Ok).collect();
        let find = |metric: &str| own.iter().find(|row| row.metric == metric);
        let Some(row) = find(DIVERGENCE) else { continue };
        let mut line = format!(
            "| {} | {} | {} | {} |",
            escape_markdown(&contender.label),
            grouped(row.bytes as f64),
            fixed(row.bits_per_weight(), 2),
            divergence(row)
        );
        for metric in &others {
            let value = find(metric).and_then(|row| row.compressed);
            let _ = write!(line, " {} |", value.map_or_else(|| "-".to_owned(), |value| significant(value, 4)));
        }
        rows.push((row.bytes, row.compressed.unwrap_or(f64::INFINITY), line));
    }
    if rows.is_empty() {
        return Err(format!("no row of {model} in {report}"));
    }
    rows.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let mut text = "| row | bytes of the file | bits/weight | KL divergence |".to_owned();
    others.iter().for_each(|metric| text += &format!(" {metric} |"));
    text += "\n| --- | ---: | ---: | ---: |";
    others.iter().for_each(|_| text += " ---: |");
    rows.iter().for_each(|(_, _, line)| text += &format!("\n{line}"));
    Ok(text)
}

fn divergence(row: &ModelRow) -> String {
    let value = row.compressed.map_or_else(|| "-".to_owned(), |value| significant(value, 3));
    match row.interval {
        Some([low, high]) if low < high => format!("{value} [{}, {}]", significant(low, 3), significant(high, 3)),
        _ => value,
    }
}
