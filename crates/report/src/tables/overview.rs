//! The whole run at a glance: what every codec does to every model's behaviour at its size.

use seedpress_results::{ModelRow, Status};

use super::cells::{fixed_cell, speed_cell};
use crate::average::{DIVERGENCE, average, divergence, models, reference};
use crate::contender::Contender;
use crate::document::{Cell, Column, Table, Tone};
use crate::format::significant;
use crate::judge;
use crate::study::Study;
use crate::sums::Sums;

/// A contender over all models.
struct Entry<'a> {
    contender: &'a Contender,
    bits: f64,
    ratio: f64,
}

/// Every row that has all models, by size.
fn entries(study: &Study) -> Vec<Entry<'_>> {
    let models = models(study);
    let Some(reference) = reference(study) else { return Vec::new() };
    let rows = study.contenders.iter().filter(|contender| !contender.is_floor());
    let mut entries: Vec<Entry> = rows
        .filter_map(|contender| {
            let average = average(study, contender, reference, &models)?;
            Some(Entry { contender, bits: average.bits, ratio: average.ratio })
        })
        .collect();
    entries.sort_by(|a, b| a.bits.total_cmp(&b.bits).then(a.ratio.total_cmp(&b.ratio)));
    entries
}

fn ratio_heading(study: &Study) -> String {
    let reference = reference(study).map_or("-", |reference| reference.label.as_str());
    format!("<{DIVERGENCE} over {reference}'s")
}

/// One row a codec over all models of real weights together: size, the mean divergence against the reference, each model's divergence.
pub(crate) fn overview(study: &Study) -> Table {
    let models = models(study);
    let ratio = ratio_heading(study);
    let mut table = Table::new("All models of trained weights", &["codec", "<bits/weight", "~#ratio vs f32", &ratio]);
    for model in &models {
        let unit = judge::unit(study, model, DIVERGENCE);
        table.columns.push(Column::metric(format!("{model} {DIVERGENCE}, {unit}"), false));
    }
    for name in ["~#encode weights/s", "~#decode weights/s"] {
        table.columns.push(Column::new(name));
    }
    let entries = entries(study);
    let best = frontier(&entries);
    for entry in &entries {
        let tone = if best.contains(&entry.contender.codec.as_str()) { Tone::Good } else { Tone::Plain };
        let mut cells = vec![
            Cell::text(&entry.contender.label).tone(tone),
            fixed_cell(entry.bits, 3),
            fixed_cell(32.0 / entry.bits, 2),
            Cell::number(entry.ratio, significant(entry.ratio, 3)),
        ];
        for model in &models {
            let value = divergence(study, entry.contender, model).and_then(|row| row.compressed);
            cells.push(Cell::optional(value, |value| significant(value, 3)));
        }
        let speeds = Sums::over(study.measured().filter(|row| row.codec == entry.contender.codec && !row.synthetic));
        cells.extend([speed_cell(speeds.encode_speed()), speed_cell(speeds.decode_speed())]);
        table.rows.push(cells);
    }
    table.note = format!(
        "Smallest first. Bits of whole files, everything counted. The third figure is the geometric mean over models of the {DIVERGENCE} to \
         the uncompressed model, each as a ratio to the reference. Set off: no other row has both fewer bits and less of it."
    );
    table
}

/// Rows that no other beats in both size and mean divergence.
fn frontier<'a>(entries: &[Entry<'a>]) -> Vec<&'a str> {
    let mut best = f64::INFINITY;
    let mut names = Vec::new();
    for entry in entries {
        if entry.ratio < best {
            best = entry.ratio;
            names.push(entry.contender.codec.as_str());
        }
    }
    names
}

/// Sizes at which the README says what is best, bits a weight of whole files.
const SIZES: [f64; 5] = [1.2, 2.2, 3.4, 4.6, 8.6];

/// At each size the row with the least mean divergence, and the best of those that need no calibration data; with each model's task.
pub(crate) fn best_at_sizes(study: &Study) -> Table {
    let models = models(study);
    let ratio = ratio_heading(study);
    let mut table = Table::new("Best at each size", &["codec", "<bits/weight", "#ratio vs f32", &ratio]);
    let headline = |model: &str| study.models.iter().find(|row| row.model == model && !row.metric.is_empty());
    for model in &models {
        if let Some(row) = headline(model) {
            let direction = if row.higher_is_better { "↑" } else { "↓" };
            let name = format!("{model} {} {direction}", row.metric);
            table.columns.push(Column::metric(name, row.higher_is_better));
        }
    }
    let entries = entries(study);
    let least = |size: f64, plain: bool| {
        let fits = entries.iter().enumerate().filter(|(_, entry)| {
            entry.bits <= size && (!plain || entry.contender.mode() == crate::contender::Mode::Plain)
        });
        fits.min_by(|a, b| a.1.ratio.total_cmp(&b.1.ratio)).map(|(index, _)| index)
    };
    let places: std::collections::BTreeSet<usize> =
        SIZES.into_iter().flat_map(|size| [least(size, false), least(size, true)]).flatten().collect();
    let whole = |row: &ModelRow| row.status == Status::Ok;
    for entry in places.into_iter().map(|place| &entries[place]) {
        let mut cells = vec![
            Cell::text(&entry.contender.label),
            fixed_cell(entry.bits, 2),
            fixed_cell(32.0 / entry.bits, 1),
            Cell::number(entry.ratio, significant(entry.ratio, 3)),
        ];
        for first in models.iter().filter_map(|model| headline(model)) {
            let mut rows =
                study.whole(entry.contender, &first.model).filter(|row| whole(row) && row.metric == first.metric);
            let value = rows.next().and_then(|row| row.compressed);
            cells.push(Cell::optional(value, |value| significant(value, 4)));
        }
        table.rows.push(cells);
    }
    let mut cells = vec![Cell::text("uncompressed"), Cell::text("-"), Cell::text("-"), Cell::text("0")];
    for first in models.iter().filter_map(|model| headline(model)) {
        cells.push(Cell::optional(first.baseline, |value| significant(value, 4)));
    }
    if !table.rows.is_empty() {
        table.rows.push(cells);
    }
    let sizes: Vec<String> = SIZES.iter().map(f64::to_string).collect();
    table.note = format!(
        "Of files of at most {} bits a weight: the row with the least {DIVERGENCE} to the uncompressed models (geometric mean over models, as a \
         ratio to the reference), and the best that needs no calibration data.",
        sizes.join(", ")
    );
    table
}
