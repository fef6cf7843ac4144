//! One model: every codec with its size, error, metrics and speed.

use std::collections::BTreeSet;

use seedpress_results::{ModelRow, Status, derive};

use super::{error_cell, failed, fixed_cell, metric_text, speed_cell};
use crate::document::{Cell, Column, Table};
use crate::format::fixed;
use crate::study::{Contender, Study};
use crate::sums::{Sums, speed};

/// One model: every codec with bits, ratio, error, metric and speed. `compact` keeps each series' best row and the frontier.
pub fn model(study: &Study, model: &str, compact: bool) -> Table {
    let metrics: BTreeSet<&str> = study
        .models
        .iter()
        .filter(|row| row.model == model)
        .map(|row| row.metric.as_str())
        .filter(|m| !m.is_empty())
        .collect();
    let mut table = Table::new(
        &study.model_title(model),
        &["codec", "#bits/weight", "#ratio vs f32", "#ratio vs source", "#relative error"],
    );
    table
        .columns
        .extend(metrics.iter().map(|metric| Column { name: format!("{metric} before → after [95 %]"), numeric: true }));
    for name in ["encode weights/s", "decode weights/s"] {
        table.columns.push(Column { name: name.to_owned(), numeric: true });
    }
    let mut rows = Vec::new();
    for contender in &study.contenders {
        let sums = Sums::over(study.cell(contender, model));
        let whole: Vec<&ModelRow> = study.whole(contender, model).collect();
        let done = whole.iter().find(|row| row.status == Status::Ok);
        if let Some(lost) = whole.iter().find(|row| row.status == Status::Failed)
            && done.is_none()
        {
            let mut row = vec![Cell::text(&contender.label), failed(lost.error.as_deref())];
            row.resize(table.columns.len(), Cell::text("-"));
            rows.push((f64::NEG_INFINITY, f64::NAN, contender, row));
            continue;
        }
        if done.is_none() && sums.tensors == 0 {
            continue;
        }
        let bits = done.map_or_else(|| sums.bits_per_weight(), |row| row.bits_per_weight());
        let source = done.map(|row| row.source_ratio());
        let error = if sums.tensors == 0 { Cell::text("-") } else { error_cell(contender, sums.relative_error()) };
        let mut row = vec![
            Cell::text(&contender.label),
            fixed_cell(bits, 3),
            fixed_cell(32.0 / bits, 2),
            Cell::optional(source, |ratio| fixed(ratio, 2)),
            error,
        ];
        for metric in &metrics {
            row.push(whole.iter().find(|row| row.metric == *metric && row.status == Status::Ok).map_or_else(
                || Cell::text("-"),
                |row| Cell::number(row.compressed.unwrap_or(f64::NAN), metric_text(row)),
            ));
        }
        let encode = done.and_then(|row| speed(row.weights, &row.encode_seconds)).or(sums.encode_speed());
        let decode = done.and_then(|row| speed(row.weights, &row.decode_seconds)).or(sums.decode_speed());
        row.extend([speed_cell(encode), speed_cell(decode)]);
        rows.push((bits, sums.relative_mse(), contender, row));
    }
    // Lossless rows first, then from many bits to few, the floor last.
    rows.sort_by(|a, b| {
        let group = |row: &(f64, f64, &Contender, Vec<Cell>)| (row.2.is_floor(), row.1 != 0.0);
        group(a).cmp(&group(b)).then(b.0.total_cmp(&a.0))
    });
    if compact && rows.len() > 16 {
        let gap = |bits: f64, error: f64| derive::gap_to_shannon_db(error, bits);
        let summary: Vec<(f64, f64, String)> =
            rows.iter().filter(|row| !row.2.is_floor()).map(|row| (row.0, row.1, row.2.family())).collect();
        let all = rows.len();
        rows.retain(|(bits, error, contender, _)| {
            let beaten = summary.iter().any(|(b, e, _)| (b < bits && e <= error) || (b <= bits && e < error));
            let family = contender.family();
            let best = !summary.iter().any(|(b, e, f)| *f == family && gap(*b, *e) < gap(*bits, *error));
            bits.is_finite() && !contender.is_floor() && (!beaten || best)
        });
        table.note = format!(
            "{} more rows in the report: shown are the Pareto frontier and each codec's best row.",
            all - rows.len()
        );
    }
    table.rows = rows.into_iter().map(|row| row.3).collect();
    table
}
