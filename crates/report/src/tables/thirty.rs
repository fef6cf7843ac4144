//! How far rows reach towards thirty times smaller, and what their models keep there.

use std::collections::BTreeSet;

use seedpress_results::{ModelRow, Status};

use super::cells::{metric_heading, metric_text};
use crate::contender::Contender;
use crate::document::{Cell, Table, Tone};
use crate::format::fixed;
use crate::study::Study;

/// Ratios of the whole file against 32-bit floats.
const STEPS: [f64; 5] = [10.0, 16.0, 20.0, 30.0, 40.0];

/// A contender's row on a model with a metric.
type Entry<'a> = (&'a Contender, &'a ModelRow);

/// Rows with a finite metric. The floor row keeps nothing, so it is in no comparison of what is kept.
fn entries<'a>(study: &'a Study, model: &'a str) -> Vec<Entry<'a>> {
    let contenders = study.contenders.iter().filter(|contender| !contender.is_floor());
    let rows = contenders.flat_map(|contender| study.whole(contender, model).map(move |row| (contender, row)));
    let kept = |row: &ModelRow| {
        row.status == Status::Ok && !row.metric.is_empty() && row.compressed.is_some_and(f64::is_finite)
    };
    rows.filter(|(_, row)| kept(row)).collect()
}

/// Metrics in alphabetical order.
fn metric_names<'a>(entries: &[Entry<'a>]) -> BTreeSet<&'a str> {
    entries.iter().map(|(_, row)| row.metric.as_str()).collect()
}

/// The entry whose metric is best among those at or above a ratio; of equals the smaller file.
fn best<'a>(entries: &[Entry<'a>], metric: &str, least: f64) -> Option<Entry<'a>> {
    let fits = entries.iter().filter(|(_, row)| row.metric == metric && row.ratio() >= least);
    fits.copied().max_by(|(_, a), (_, b)| {
        let order = a.compressed.unwrap_or(f64::NAN).total_cmp(&b.compressed.unwrap_or(f64::NAN));
        let order = if a.higher_is_better { order } else { order.reverse() };
        order.then(a.ratio().total_cmp(&b.ratio()))
    })
}

fn ratio_cell(ratio: f64) -> Cell {
    Cell::number(ratio, format!("{}x", fixed(ratio, 1)))
}

/// The best metric kept at each ratio; steps above the smallest row are named as unreached.
pub(crate) fn best_kept(study: &Study) -> Table {
    let mut table = Table::new(
        "Best metric kept at each ratio, whole file",
        &["model", "metric", "#at least", "codec", "#ratio", "#before → after [95 %]"],
    )
    .note("The best row of the run at or above each ratio against 32-bit floats; everything in the file is counted. The zeros row is the floor and takes no part.");
    for model in &study.model_names {
        let entries = entries(study, model);
        if !entries.iter().any(|(_, row)| row.ratio() >= STEPS[0]) {
            continue;
        }
        for metric in metric_names(&entries) {
            for least in STEPS {
                let mut cells = vec![
                    Cell::text(study.model_title(model)),
                    Cell::text(metric),
                    Cell::number(least, format!("{least}x")),
                ];
                if let Some((contender, row)) = best(&entries, metric, least) {
                    let kept = Cell::number(row.compressed.unwrap_or(f64::NAN), metric_text(row));
                    cells.extend([Cell::text(&contender.label), ratio_cell(row.ratio()), kept]);
                } else {
                    cells.extend([Cell::text("no row of this run"), Cell::text("-"), Cell::text("-")]);
                }
                table.rows.push(cells);
            }
        }
    }
    table
}

/// The name its config gave a row, without the options that a list of values added.
fn step_of(contender: &Contender) -> Option<&str> {
    if contender.label == contender.codec {
        return None;
    }
    let values = contender.label.find('=').unwrap_or(contender.label.len());
    let end = if values < contender.label.len() { contender.label[..values].rfind(' ').unwrap_or(0) } else { values };
    Some(contender.label[..end].trim()).filter(|name| !name.is_empty())
}

/// What each named group of rows keeps at each ratio: with the steps of a method as groups, the gain of every step.
pub(crate) fn steps(study: &Study) -> Table {
    let mut columns = vec!["model".to_owned(), "metric".to_owned(), "step".to_owned()];
    columns.extend(STEPS.iter().map(|least| format!("#at least {least}x")));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new("Gain of each step at each ratio, whole file", &columns)
        .note("Groups are the named rows of the config, in its order. A cell is the best metric of the group's rows at or above the ratio, and the ratio of that row.");
    for model in &study.model_names {
        let entries = entries(study, model);
        for metric in metric_names(&entries) {
            let mut names: Vec<&str> = Vec::new();
            for name in entries.iter().filter_map(|(contender, _)| step_of(contender)) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            for name in names {
                let group: Vec<Entry> = entries.iter().copied().filter(|(c, _)| step_of(c) == Some(name)).collect();
                let mut cells = vec![Cell::text(study.model_title(model)), Cell::text(metric), Cell::text(name)];
                cells.extend(STEPS.into_iter().map(|least| match best(&group, metric, least) {
                    Some((_, row)) => {
                        let value = row.compressed.unwrap_or(f64::NAN);
                        Cell::number(value, format!("{} ({}x)", fixed(value, 4), fixed(row.ratio(), 1)))
                    }
                    None => Cell::text("-"),
                }));
                table.rows.push(cells);
            }
        }
    }
    table
}

/// Every row of a model at the first step or beyond: its ratio, the step it reaches and all metrics.
pub(crate) fn thirty(study: &Study, model: &str) -> Table {
    let entries = entries(study, model);
    let metrics = metric_names(&entries);
    let mut table = Table::new(
        &format!("Rows at {}x and beyond: {}", STEPS[0], study.model_title(model)),
        &["codec", "<bits/weight", "#ratio", "#reaches"],
    )
    .note("Largest files first. Set off is the best metric of all rows that reach at least the same step.");
    table.columns.extend(metrics.iter().map(|metric| metric_heading(study, model, metric)));
    let mut rows: Vec<(f64, Vec<Cell>)> = Vec::new();
    for contender in &study.contenders {
        let own: Vec<&ModelRow> = entries.iter().filter(|(c, _)| c.codec == contender.codec).map(|(_, r)| *r).collect();
        let Some(first) = own.first() else { continue };
        let ratio = first.ratio();
        let Some(step) = STEPS.into_iter().rev().find(|step| ratio >= *step) else { continue };
        let mut cells = vec![
            Cell::text(&contender.label),
            Cell::number(first.bits_per_weight(), fixed(first.bits_per_weight(), 3)),
            ratio_cell(ratio),
            Cell::number(step, format!("{step}x")),
        ];
        for metric in &metrics {
            cells.push(own.iter().find(|row| row.metric == *metric).map_or_else(
                || Cell::text("-"),
                |row| {
                    let leads = best(&entries, metric, step).is_some_and(|(c, _)| c.codec == contender.codec);
                    let tone = if leads { Tone::Good } else { Tone::Plain };
                    Cell::number(row.compressed.unwrap_or(f64::NAN), metric_text(row)).tone(tone)
                },
            ));
        }
        rows.push((ratio, cells));
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    table.rows = rows.into_iter().map(|(_, cells)| cells).collect();
    table
}
