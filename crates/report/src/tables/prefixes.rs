//! Quality after each layer of progressive codecs.

use seedpress_results::derive;

use super::cells::{error_cell, fixed_cell};
use crate::document::{Cell, Table};
use crate::format::fixed;
use crate::prefixes::prefix_sums;
use crate::study::{Scope, Study};

/// Quality after each layer of progressive codecs.
pub(crate) fn prefixes(study: &Study, scope: Scope) -> Table {
    let kind = if scope == Scope::Real { "real weights" } else { "synthetic weights" };
    let mut table = Table::new(
        &format!("Layers: {kind}"),
        &["codec", "#layers", "<bits/weight", "<relative error", "#improvement", "#bytes vs first layer", "<gap dB"],
    );
    for (contender, curve) in prefix_sums(study, scope) {
        for (index, &(bits, error)) in curve.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| 1.0 - (error / curve[before].1).sqrt());
            table.rows.push(vec![
                Cell::text(&contender.label),
                Cell::number(index as f64 + 1.0, (index + 1).to_string()),
                fixed_cell(bits, 3),
                error_cell(contender, error.sqrt()),
                Cell::optional(before, |part| format!("{} %", fixed(100.0 * part, 1))),
                Cell::number(bits / curve[0].0, format!("{} %", fixed(100.0 * bits / curve[0].0, 0))),
                fixed_cell(derive::gap_to_shannon_db(error, bits), 2),
            ]);
        }
    }
    table
}
