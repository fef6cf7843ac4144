//! What a compressed file holds, for readers: how much smaller, what became of the tensors, what deserves a look.

use std::path::Path;

use seedpress::codec::text::printable;
use seedpress_press::{Outcome, Summary};
use serde_json::json;

use crate::common::Common;
use crate::print::{bytes, err, line, note, table};

/// Rows that zeros would serve as well deserve a word where they are more than this share of a tensor.
const NOTEWORTHY: f64 = 0.01;

/// Prints it: to standard error where the file itself goes to standard output.
pub(crate) fn print(path: &Path, summary: &Summary, made_with: &str, common: &Common) {
    let text = match common.reporting.json {
        true => to_json(path, summary, made_with).to_string(),
        false => to_text(path, summary, made_with, common.verbose),
    };
    warn(summary);
    if !common.reporting.quiet {
        tell_scarce(summary);
    }
    if common.reporting.quiet && !common.reporting.json {
        return;
    }
    match path == Path::new("-") {
        true => err(format_args!("{}", text.trim_end())),
        false => line!("{}", text.trim_end()),
    }
}

fn to_text(path: &Path, summary: &Summary, made_with: &str, verbose: bool) -> String {
    let (source, written) = (summary.source_bytes, summary.file_bytes);
    let ratio = source as f64 / written.max(1) as f64;
    let mut text = String::new();
    if verbose {
        for tensor in &summary.tensors {
            let what = match &tensor.outcome {
                Outcome::Coded(codec) => codec.clone(),
                Outcome::Kept(kept) => format!("kept: {}", kept.reason()),
                Outcome::Same(other) => format!("same as {}", printable(&summary.tensors[*other].name)),
            };
            let error = tensor.errors.map_or_else(String::new, |errors| format!(", error {:.6}", errors.relative));
            let rows = match (tensor.rows, tensor.scarce) {
                (Some(rows), Some(own)) => format!(", calibrated with {rows} rows of which {own} its own"),
                (Some(rows), None) => format!(", calibrated with {rows} rows"),
                (None, _) => String::new(),
            };
            let rate = tensor.rate.map_or_else(String::new, |bits| format!(" by {bits} bits"));
            let (name, from, to) = (printable(&tensor.name), tensor.source_bytes, tensor.stored_bytes);
            text += &format!("{name}: {what}{rate}, {from} -> {to} bytes{error}{rows}\n");
        }
    }
    text += &format!("{}: {source} -> {written} bytes, {ratio:.2} times smaller, {made_with}\n", path.display());
    if summary.reused > 0 {
        text += &format!(
            "{} of {} tensors were taken up from a run that was stopped\n",
            summary.reused,
            summary.tensors.len()
        );
    }
    let rows: Vec<Vec<String>> = summary
        .groups()
        .into_iter()
        .map(|group| {
            let (from, to) = (bytes(group.source_bytes), bytes(group.stored_bytes));
            let bits = 8.0 * group.stored_bytes as f64 / group.elements as f64;
            let counted = |count: u64, text: String| if count > 0 { text } else { "-".to_owned() };
            let (tensors, elements) = (group.tensors as u64, group.elements);
            let tensors = counted(tensors, tensors.to_string());
            let (bits, elements) = (counted(elements, format!("{bits:.3}")), counted(elements, elements.to_string()));
            vec![group.what, tensors, elements, from, to, bits]
        })
        .collect();
    text + &table(&["stored as", "tensors", "elements", "at the source", "in the file", "bits each"], &rows)
}

fn to_json(path: &Path, summary: &Summary, made_with: &str) -> serde_json::Value {
    let tensors: Vec<_> = summary
        .tensors
        .iter()
        .map(|tensor| {
            let (kind, what) = match &tensor.outcome {
                Outcome::Coded(codec) => ("coded", codec.clone()),
                Outcome::Kept(kept) => ("kept", kept.reason().to_owned()),
                Outcome::Same(other) => ("same", summary.tensors[*other].name.clone()),
            };
            json!({
                "name": tensor.name, "dtype": tensor.dtype, "elements": tensor.elements,
                "source_bytes": tensor.source_bytes, "stored_bytes": tensor.stored_bytes, "kind": kind, "as": what,
                "rate": tensor.rate, "relative_error": tensor.errors.map(|errors| errors.relative),
                "median_row_error": tensor.errors.map(|errors| errors.median_row),
                "rows_no_better_than_zeros": tensor.errors.map(|errors| errors.no_better_than_zeros),
                "calibration_rows": tensor.rows, "own_calibration_rows": tensor.scarce.or(tensor.rows),
            })
        })
        .collect();
    json!({
        "output": path.display().to_string(), "made_with": made_with, "source_bytes": summary.source_bytes,
        "file_bytes": summary.file_bytes, "tensors_reused": summary.reused, "tensors": tensors,
    })
}

/// Experts that the calibration text hardly reached.
fn tell_scarce(summary: &Summary) {
    let scarce = summary.tensors.iter().filter_map(|tensor| Some((tensor.scarce?, &tensor.name)));
    let count = scarce.clone().count();
    if let Some((rows, name)) = scarce.min_by_key(|(rows, _)| *rows) {
        let name = printable(name);
        note!(
            "note: {count} tensors of experts saw few tokens ({rows} reached `{name}`): they were calibrated with all tokens of their block"
        );
    }
}

/// Tensors whose rows were lost behind a few large values.
fn warn(summary: &Summary) {
    let lost = |share: f64| share > NOTEWORTHY;
    let worst = summary
        .tensors
        .iter()
        .filter_map(|tensor| tensor.errors.map(|errors| (errors.no_better_than_zeros, &tensor.name)))
        .filter(|(share, _)| lost(*share));
    let count = worst.clone().count();
    if let Some((share, name)) = worst.max_by(|a, b| a.0.total_cmp(&b.0)) {
        let name = printable(name);
        note!(
            "note: zeros would do as well for {:.0} % of the rows of `{name}`{}: see `seedpress verify --against`",
            100.0 * share,
            if count > 1 { format!(", and for rows of {} other tensors", count - 1) } else { String::new() }
        );
    }
}
