//! Cells and headings that several tables have.

use seedpress_results::ModelRow;

use crate::contender::Contender;
use crate::document::{Cell, Column, Tone};
use crate::format::{fixed, per_second, significant};
use crate::judge;
use crate::study::Study;

/// A relative error, set off from 1 on, where zeros would be as near; except for the floor row, which writes them.
pub(super) fn error_cell(contender: &Contender, error: f64) -> Cell {
    let tone = if contender.is_floor() || error < 1.0 { Tone::Plain } else { Tone::Bad };
    Cell::number(error, significant(error, 3)).tone(tone)
}

/// The heading of a metric with its unit.
pub(super) fn metric_heading(study: &Study, model: &str, metric: &str) -> Column {
    let unit = match judge::unit(study, model, metric) {
        "" | "share" => String::new(),
        unit => format!(", {unit}"),
    };
    let more = study.models.iter().any(|row| row.model == model && row.metric == metric && row.higher_is_better);
    Column::metric(format!("{metric}{unit} before → after [95 %]"), more)
}

pub(super) fn fixed_cell(value: f64, decimals: usize) -> Cell {
    Cell::number(value, fixed(value, decimals))
}

pub(super) fn speed_cell(value: Option<f64>) -> Cell {
    Cell::optional(value, per_second)
}

/// `before → after [low, high]`.
pub(super) fn metric_text(row: &ModelRow) -> String {
    let print = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| significant(value, 4));
    let interval = row
        .interval
        .map_or_else(String::new, |[low, high]| format!(" [{}, {}]", significant(low, 4), significant(high, 4)));
    format!("{} → {}{interval}", print(row.baseline), print(row.compressed))
}

pub(super) fn failed(error: Option<&str>) -> Cell {
    Cell::text(format!("failed: {}", error.unwrap_or("no reason given"))).tone(Tone::Bad)
}
