//! The tables, one kind a file.

mod accuracy;
mod layer_types;
mod model;
mod outcomes;
mod overview;
mod plans;
mod prefixes;
mod seed_report;
mod speeds;
mod thirty;

pub use accuracy::accuracy;
pub use layer_types::layer_types;
pub use model::model;
pub use outcomes::{failures, success};
pub use overview::overview;
pub use plans::plans;
pub use prefixes::prefixes;
pub use seed_report::seed_report;
pub use speeds::speeds;
pub use thirty::{best_kept, steps, thirty};

use seedpress_results::ModelRow;

use crate::document::{Cell, Tone};
use crate::format::{fixed, per_second, significant};
use crate::study::Contender;

/// A relative error; 1 and more is broken, except for the floor row.
fn error_cell(contender: &Contender, error: f64) -> Cell {
    let text = significant(error, 3);
    if contender.is_floor() || error < 1.0 {
        return Cell::number(error, text);
    }
    Cell::number(error, format!("{text} BROKEN")).tone(Tone::Bad)
}

fn fixed_cell(value: f64, decimals: usize) -> Cell {
    Cell::number(value, fixed(value, decimals))
}

fn speed_cell(value: Option<f64>) -> Cell {
    Cell::optional(value, per_second)
}

/// `before → after [low, high]`.
fn metric_text(row: &ModelRow) -> String {
    let print = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| significant(value, 4));
    let interval = row
        .interval
        .map_or_else(String::new, |[low, high]| format!(" [{}, {}]", significant(low, 4), significant(high, 4)));
    format!("{} → {}{interval}", print(row.baseline), print(row.compressed))
}

fn failed(error: Option<&str>) -> Cell {
    Cell::text(format!("failed: {}", error.unwrap_or("no reason given"))).tone(Tone::Bad)
}
