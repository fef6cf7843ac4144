//! What round-tripped, and what failed or is broken.

use seedpress_results::Status;

use super::cells::failed;
use crate::document::{Cell, Column, Table, Tone};
use crate::format::{fixed, significant};
use crate::judge::{self, BROKEN_BELOW};
use crate::study::Study;

/// Tensors that were encoded and decoded, by model.
pub(crate) fn success(study: &Study) -> Table {
    let mut table = Table::new("Tensors that round-tripped", &["codec"]);
    table.columns.extend(study.model_names.iter().map(|model| Column::number(study.model_title(model))));
    for contender in &study.contenders {
        let mut row = vec![Cell::text(&contender.label)];
        for model in &study.model_names {
            let counted = study
                .cell(contender, model)
                .fold((0, 0), |(ok, all), row| (ok + u64::from(row.status == Status::Ok), all + 1));
            let (ok, all) = study
                .whole(contender, model)
                .next()
                .map_or(counted, |row| (row.tensors_ok, row.tensors.max(counted.1)));
            let tone = if ok < all { Tone::Bad } else { Tone::Plain };
            row.push(if all == 0 {
                Cell::text("-")
            } else {
                Cell::number(ok as f64 / all as f64, format!("{ok} of {all}")).tone(tone)
            });
        }
        table.rows.push(row);
    }
    table
}

/// Everything that failed or is broken.
pub(crate) fn failures(study: &Study) -> Table {
    let mut table = Table::new("Failed and broken cells", &["codec", "model", "what", "~tensor"]).note(format!(
        "Broken: of what lies between a model of zeros (the zeros row) and the uncompressed model, less than {} % of the headline metric is \
         kept. Where no behaviour is measured, a tensor whose squared error is above that of zeros.",
        100.0 * BROKEN_BELOW
    ));
    let mut add = |label: &str, model: &str, tensor: &str, what: Cell| {
        table.rows.push(vec![Cell::text(label), Cell::text(study.model_title(model)), what, Cell::text(tensor)]);
    };
    for contender in &study.contenders {
        for row in study.tensors.iter().filter(|row| row.codec == contender.codec) {
            let error = row.relative_error();
            if row.status == Status::Failed {
                add(&contender.label, &row.model, &row.tensor, failed(row.error.as_deref()));
            } else if !contender.is_floor()
                && row.weights > 0
                && (error.is_nan() || error >= 1.0)
                && judge::kept(study, contender, &row.model).is_none()
            {
                let what = format!("broken: relative error {}", significant(error, 3));
                add(&contender.label, &row.model, &row.tensor, Cell::text(what).tone(Tone::Bad));
            }
        }
        for row in study.models.iter().filter(|row| row.codec == contender.codec && row.status == Status::Failed) {
            add(&contender.label, &row.model, "(whole model)", failed(row.error.as_deref()));
        }
        for model in &study.model_names {
            let Some(kept) = judge::kept(study, contender, model) else { continue };
            if judge::is_broken(study, contender, model) {
                let what = format!("broken: keeps {} % of {}", fixed(100.0 * kept, 0), study.metrics(model)[0]);
                add(&contender.label, model, "(whole model)", Cell::text(what).tone(Tone::Bad));
            }
        }
    }
    table
}
