//! One model: every codec with its size, error, metrics and speed.

use seedpress_results::{ModelRow, Status};

use super::cells::{error_cell, failed, fixed_cell, metric_heading, metric_text, speed_cell};
use crate::contender::Contender;
use crate::document::{Cell, Column, Table, Tone};
use crate::format::fixed;
use crate::judge;
use crate::study::Study;
use crate::sums::{Sums, speed};

/// One model: every codec with bits, ratio, error, metric and speed.
pub(crate) fn model(study: &Study, model: &str) -> Table {
    let metrics = study.metrics(model);
    let mut table = Table::new(
        &study.model_title(model),
        &["codec", "<bits/weight", "~#ratio vs f32", "~#ratio vs source", "<relative error"],
    );
    let heading = |metric: &&str| metric_heading(study, model, metric);
    table.columns.extend(metrics.iter().map(heading));
    for name in ["encode weights/s", "decode weights/s"] {
        table.columns.push(Column::number(name));
    }
    let kept = |row: &ModelRow| row.model == model && row.baseline_outcomes.is_some();
    if study.models.iter().any(kept) {
        table.note = "Set off: no detectable difference to the uncompressed model by the paired test on the same samples, one comparison at a \
                      time. The dialogue of a row says which difference would have been detected."
            .to_owned();
    }
    let mut rows: Vec<Line> =
        study.contenders.iter().filter_map(|contender| line(study, contender, model, &metrics)).collect();
    rows.iter_mut().for_each(|line| line.cells.resize(table.columns.len(), Cell::text("-")));
    // Lossless rows first, then from many bits to few, the floor last.
    let group = |line: &Line| (line.contender.is_floor(), line.error != 0.0);
    rows.sort_by(|a, b| group(a).cmp(&group(b)).then(b.bits.total_cmp(&a.bits)));
    table.rows = rows.into_iter().map(|line| line.cells).collect();
    table
}

/// A contender's row with what it is sorted by.
struct Line<'a> {
    contender: &'a Contender,
    bits: f64,
    error: f64,
    /// What is missing at the end was not measured.
    cells: Vec<Cell>,
}

/// `None` where the contender has nothing to say of the model.
fn line<'a>(study: &Study, contender: &'a Contender, model: &str, metrics: &[&str]) -> Option<Line<'a>> {
    let sums = Sums::over(study.cell(contender, model));
    let whole: Vec<&ModelRow> = study.whole(contender, model).collect();
    let done = whole.iter().find(|row| row.status == Status::Ok);
    if let Some(lost) = whole.iter().find(|row| row.status == Status::Failed)
        && done.is_none()
    {
        let cells = vec![Cell::text(&contender.label), failed(lost.error.as_deref())];
        return Some(Line { contender, bits: f64::NEG_INFINITY, error: f64::NAN, cells });
    }
    if done.is_none() && sums.tensors == 0 {
        return None;
    }
    let bits = done.map_or_else(|| sums.bits_per_weight(), |row| row.bits_per_weight());
    let source = done.map(|row| row.source_ratio());
    let error = if sums.tensors == 0 { Cell::text("-") } else { error_cell(contender, sums.relative_error()) };
    let mut cells = vec![
        Cell::text(&contender.label),
        fixed_cell(bits, 3),
        fixed_cell(32.0 / bits, 2),
        Cell::optional(source, |ratio| fixed(ratio, 2)),
        error,
    ];
    cells.extend(metrics.iter().map(|metric| {
        let row = whole.iter().find(|row| row.metric == *metric && row.status == Status::Ok);
        row.map_or_else(|| Cell::text("-"), |row| metric_cell(row))
    }));
    let encode = done.and_then(|row| speed(row.weights, &row.encode_seconds)).or(sums.encode_speed());
    let decode = done.and_then(|row| speed(row.weights, &row.decode_seconds)).or(sums.decode_speed());
    cells.extend([speed_cell(encode), speed_cell(decode)]);
    Some(Line { contender, bits, error: sums.relative_mse(), cells })
}

/// A metric, set off where it cannot be told from the uncompressed model's.
fn metric_cell(row: &ModelRow) -> Cell {
    let same = judge::against_uncompressed(row).is_some_and(|test| !test.is_detected());
    let tone = if same { Tone::Good } else { Tone::Plain };
    Cell::number(row.compressed.unwrap_or(f64::NAN), metric_text(row)).tone(tone)
}
