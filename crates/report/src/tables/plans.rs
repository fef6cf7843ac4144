//! What plans chose for each tensor of a model.

use std::collections::BTreeMap;

use seedpress_results::{AssignmentRow, PlanRow, derive};

use crate::document::{Cell, Table};
use crate::format::{fixed, significant};
use crate::study::Study;

/// What plans chose for each tensor of a model.
pub(crate) fn plans(study: &Study, model: &str) -> Table {
    let mut plans: BTreeMap<&str, Vec<&AssignmentRow>> = BTreeMap::new();
    for row in &study.plans {
        if let PlanRow::Assignment(row) = row
            && row.model == model
        {
            plans.entry(&row.plan).or_default().push(row);
        }
    }
    let mut table = Table::new(
        &format!("Plans: {}", study.model_title(model)),
        &["plan", "tensor", "codec", "<bits/weight", "<share of file", "<expected divergence"],
    );
    let mut notes = Vec::new();
    // Only rows this run still has, in its order.
    for contender in &study.contenders {
        let Some(rows) = plans.get(contender.codec.as_str()) else { continue };
        for row in rows {
            let bits = derive::bits_per_weight(row.bytes, row.weights);
            let share = 100.0 * row.bytes as f64 / row.file_bytes as f64;
            table.rows.push(vec![
                Cell::text(&contender.label),
                Cell::text(&row.tensor),
                Cell::text(&row.codec),
                Cell::number(bits, fixed(bits, 3)),
                Cell::number(share, format!("{} %", fixed(share, 1))),
                Cell::number(row.divergence, significant(row.divergence, 3)),
            ]);
        }
        let Some(first) = rows.first() else { continue };
        if !first.profile.is_empty() {
            notes.push(format!("{}: errors weighed for the profile {}", contender.label, first.profile));
        } else if let Some(joint) = first.joint {
            let uniform = first
                .uniform
                .map_or_else(String::new, |value| format!(", {} at one rate for all", significant(value, 3)));
            notes.push(format!("{}: {}{uniform}", contender.label, significant(joint, 3)));
        }
    }
    if !notes.is_empty() {
        table.note = format!(
            "Expected from one tensor alone. Divergence of the whole model on calibration data: {}.",
            notes.join("; ")
        );
    }
    table
}
