//! The whole run at a glance: every codec worth naming with what each model keeps of its headline metric.

use seedpress_results::{ModelRow, Status, derive};

use super::{error_cell, fixed_cell, speed_cell};
use crate::document::{Cell, Column, Table, Tone};
use crate::format::significant;
use crate::study::{Contender, Scope, Study};

/// A contender over all models of real weights.
struct Entry<'a> {
    contender: &'a Contender,
    bits: f64,
    relative_mse: f64,
    cells: Vec<Cell>,
}

/// One row a codec over all models of real weights together; one column a model with its headline metric. `compact` keeps the Pareto
/// frontier, each series' best row and calibrated rows.
pub fn overview(study: &Study, compact: bool) -> Table {
    let real: Vec<&str> =
        study.model_names.iter().map(String::as_str).filter(|name| !study.is_synthetic(name)).collect();
    let headlines: Vec<(&str, &ModelRow)> = real
        .iter()
        .filter_map(|&model| {
            Some((model, study.models.iter().find(|row| row.model == model && !row.metric.is_empty())?))
        })
        .collect();
    let mut table =
        Table::new("All models of trained weights", &["codec", "#bits/weight", "#ratio vs f32", "#relative error"]);
    for (model, row) in &headlines {
        let direction = if row.higher_is_better { "↑" } else { "↓" };
        table.columns.push(Column { name: format!("{model} {} {direction}", row.metric), numeric: true });
    }
    for name in ["encode weights/s", "decode weights/s"] {
        table.columns.push(Column { name: name.to_owned(), numeric: true });
    }
    let mut entries: Vec<Entry> = study
        .points(Scope::Real)
        .into_iter()
        .filter(|point| !point.partial && !point.contender.is_floor())
        .filter_map(|point| {
            let contender = point.contender;
            let whole: Vec<&ModelRow> = real.iter().filter_map(|model| done(study, contender, model)).collect();
            let bytes: u64 = whole.iter().map(|row| row.bytes).sum();
            let weights: u64 = whole.iter().map(|row| row.weights).sum();
            if whole.len() < real.len() {
                return None;
            }
            let bits = derive::bits_per_weight(bytes, weights);
            let error = error_cell(contender, point.sums.relative_error());
            let mut cells = vec![Cell::text(&contender.label), fixed_cell(bits, 3), fixed_cell(32.0 / bits, 2), error];
            for (model, headline) in &headlines {
                let row = study.whole(contender, model).find(|row| row.metric == headline.metric);
                cells.push(row.map_or_else(|| Cell::text("-"), kept));
            }
            cells.extend([speed_cell(point.sums.encode_speed()), speed_cell(point.sums.decode_speed())]);
            Some(Entry { contender, bits, relative_mse: point.sums.relative_mse(), cells })
        })
        .collect();
    entries.sort_by(|a, b| (a.relative_mse != 0.0).cmp(&(b.relative_mse != 0.0)).then(b.bits.total_cmp(&a.bits)));
    let all = entries.len();
    if compact {
        keep_notable(&mut entries);
    }
    table.note = "Bits of whole files, everything counted; the error is that of all tensors above the small-tensor policy. Bold: the uncompressed model's figure lies inside the row's 95 % interval.".to_owned();
    if entries.len() < all {
        let left = all - entries.len();
        table.note += &format!(
            " {left} more rows in the report: shown are the Pareto frontier, each codec's best row and calibrated rows."
        );
    }
    table.rows = entries.into_iter().map(|entry| entry.cells).collect();
    table
}

fn done<'a>(study: &'a Study, contender: &'a Contender, model: &'a str) -> Option<&'a ModelRow> {
    study.whole(contender, model).find(|row| row.status == Status::Ok)
}

/// The metric, set off where the difference to the uncompressed model could be chance.
fn kept(row: &ModelRow) -> Cell {
    let Some(value) = row.compressed else { return Cell::text("-") };
    let inside =
        |baseline: f64| baseline == value || row.interval.is_some_and(|[low, high]| (low..=high).contains(&baseline));
    let tone = if row.baseline.is_some_and(inside) { Tone::Good } else { Tone::Plain };
    Cell::number(value, significant(value, 4)).tone(tone)
}

/// The rows no other beats in both bits and error, and each series' nearest to the Shannon limit; calibrated rows as well, since they
/// trade the error of weights for that of outputs.
fn keep_notable(entries: &mut Vec<Entry>) {
    let gap = |bits: f64, error: f64| derive::gap_to_shannon_db(error, bits);
    let all: Vec<(f64, f64, String)> =
        entries.iter().map(|entry| (entry.bits, entry.relative_mse, entry.contender.family())).collect();
    entries.retain(|entry| {
        let (bits, error) = (entry.bits, entry.relative_mse);
        let beaten = all.iter().any(|(b, e, _)| (*b < bits && *e <= error) || (*b <= bits && *e < error));
        let family = entry.contender.family();
        let best = !all.iter().any(|(b, e, f)| *f == family && gap(*b, *e) < gap(bits, error));
        !beaten || best || entry.contender.calibrated
    });
}
