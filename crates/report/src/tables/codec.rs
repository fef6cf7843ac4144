//! One codec: every row and model.

use seedpress_results::{ModelRow, Status};

use super::cells::{failed, fixed_cell};
use crate::average::DIVERGENCE;
use crate::document::{Cell, Table, Tone};
use crate::format::significant;
use crate::judge;
use crate::study::Study;
use crate::sums::Sums;

/// Every row of a codec on every model: size, weight error, the model's task and its divergence.
pub(crate) fn codec(study: &Study, id: &str) -> Table {
    let mut table = Table::new(
        &format!("Rows of {id}"),
        &["row", "model", "<bits/weight", "<bytes", "task before → after [95 %]", "<KL divergence", "~<relative error"],
    );
    for contender in study.contenders.iter().filter(|contender| contender.codec_id == id) {
        for model in &study.model_names {
            let whole: Vec<&ModelRow> = study.whole(contender, model).collect();
            let sums = Sums::over(study.cell(contender, model));
            let Some(row) = whole.iter().find(|row| row.status == Status::Ok) else {
                if let Some(lost) = whole.first() {
                    let mut cells =
                        vec![Cell::text(&contender.label), Cell::text(model), failed(lost.error.as_deref())];
                    cells.resize(table.columns.len(), Cell::text("-"));
                    table.rows.push(cells);
                }
                continue;
            };
            let task = if row.metric.is_empty() {
                "-".to_owned()
            } else {
                format!("{} {}", row.metric, super::cells::metric_text(row))
            };
            let tone = if judge::is_broken(study, contender, model) { Tone::Bad } else { Tone::Plain };
            let told = whole.iter().find(|row| row.metric == DIVERGENCE).and_then(|row| row.compressed);
            let unit = judge::unit(study, model, DIVERGENCE);
            let error = Some(sums.relative_error()).filter(|_| sums.tensors > 0);
            table.rows.push(vec![
                Cell::text(&contender.label),
                Cell::text(study.model_title(model)),
                fixed_cell(row.bits_per_weight(), 3),
                Cell::number(row.bytes as f64, row.bytes.to_string()),
                Cell::text(task).tone(tone),
                Cell::optional(told, |value| format!("{} {unit}", significant(value, 3))),
                Cell::optional(error, |error| significant(error, 3)),
            ]);
        }
    }
    table
}
