//! Accuracy of every contender over a scope.

use std::collections::BTreeSet;

use super::cells::{error_cell, fixed_cell};
use crate::document::{Cell, Table, Tone};
use crate::format::{fixed, significant};
use crate::study::{Point, Scope, Study, frontier};

/// Accuracy of every contender over a scope.
pub(crate) fn accuracy(study: &Study, scope: Scope) -> Table {
    let points = study.points(scope);
    let front: BTreeSet<String> = frontier(&points).iter().map(|point| point.contender.codec.clone()).collect();
    let mut table = Table::new(
        &format!("Accuracy: {}", scope.name()),
        &["codec", "<bits/weight", "<relative error", "<relMSE", "#SNR dB", "<gap dB", "#cosine", "<mean", "<deviation", "<max", "<max error/rms", "#tensors"],
    )
    .note("Sums over tensors above the small-tensor policy; mean, deviation and max are over the tensors' relative errors. Frontier rows are set off; zeros is the floor by design and never among them.");
    for Point { contender, sums, partial } in &points {
        let (mean, deviation, largest) = sums.error_spread();
        let tone = if front.contains(&contender.codec) { Tone::Good } else { Tone::Plain };
        let tensors = format!("{}{}", sums.tensors, if *partial { " (partial)" } else { "" });
        table.rows.push(vec![
            Cell::text(&contender.label).tone(tone),
            fixed_cell(sums.bits_per_weight(), 3),
            error_cell(contender, sums.relative_error()),
            Cell::number(sums.relative_mse(), significant(sums.relative_mse(), 3)),
            fixed_cell(sums.snr(), 2),
            // A reconstruction without error has no distance to a limit on errors.
            Cell::optional(Some(sums.gap()).filter(|gap| gap.is_finite()), |gap| fixed(gap, 2)),
            Cell::optional(Some(sums.cosine()).filter(|cosine| cosine.is_finite()), |cosine| fixed(cosine, 5)),
            Cell::number(mean, significant(mean, 3)),
            Cell::number(deviation, significant(deviation, 2)),
            error_cell(contender, largest),
            Cell::number(sums.worst_peak, significant(sums.worst_peak, 3)),
            Cell::number(sums.tensors as f64, tensors),
        ]);
    }
    table
}
