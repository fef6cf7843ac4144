//! How far figures scatter because the encoder chose among nearly equal files.

use seedpress_results::{ModelRow, derive};

use crate::average::DIVERGENCE;
use crate::document::{Cell, Table};
use crate::format::significant;
use crate::study::Study;

/// Every row that was drawn anew, by its divergence where the model has one: the spread of the draws beside the bounds that samples and
/// draws give together.
pub(crate) fn scatter(study: &Study) -> Table {
    let mut table = Table::new(
        "Scatter of encoders",
        &["model", "metric", "codec", "#draws", "#figure", "#least drawn", "#most drawn", "<spread", "#low", "#high"],
    );
    let rows = study.models.iter().filter(|row| !row.drawn.is_empty());
    let shown = |row: &&ModelRow| {
        let metrics = study.metrics(&row.model);
        let divergence = metrics.iter().find(|metric| **metric == DIVERGENCE);
        divergence.or(metrics.first()) == Some(&row.metric.as_str())
    };
    let mut spreads = Vec::new();
    for row in rows.filter(shown) {
        let (Some(value), Some([low, high])) = (row.compressed, row.interval) else { continue };
        let (least, most, spread) = spread(row, value);
        spreads.push(spread);
        let number = |value: f64| Cell::number(value, significant(value, 4));
        table.rows.push(vec![
            Cell::text(study.model_title(&row.model)),
            Cell::text(&row.metric),
            Cell::text(
                row.label.as_ref().map_or_else(|| row.codec.clone(), |label| format!("{label} ({})", row.codec)),
            ),
            Cell::number(row.drawn.len() as f64, row.drawn.len().to_string()),
            number(value),
            number(least),
            number(most),
            Cell::number(spread, format!("{} %", significant(100.0 * spread, 2))),
            number(low),
            number(high),
        ]);
    }
    spreads.sort_by(f64::total_cmp);
    let middle = spreads.get(spreads.len() / 2).copied().unwrap_or_default();
    table.note(format!(
        "Each draw is the file of weights that were moved by 2^-12 of themselves, measured like the row's own. Spread: standard deviation of all of them, in \
         parts of the figure; {} % in the middle. Low and high: the row's 95 % interval, by samples and draws together.",
        significant(100.0 * middle, 2)
    ))
}

/// The least and the most of the draws, and the standard deviation of draws and figure in parts of the latter.
fn spread(row: &ModelRow, value: f64) -> (f64, f64, f64) {
    let ends = row.drawn.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
    (ends.0, ends.1, derive::scatter(value, &row.drawn).sqrt() / value)
}
