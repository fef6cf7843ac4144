//! A short table of a run: one line per codec and model.

use std::collections::BTreeMap;

use seedpress_results::derive::{bits_per_weight, gap_to_shannon_db, relative_mse, snr_db};
use seedpress_results::{ModelRow, Row, Run, Status, TensorRow};

/// The table as Markdown, in the order of the run.
pub fn table(run: &Run, rows: &[Row]) -> String {
    let mut tensors: BTreeMap<(&str, &str), Vec<&TensorRow>> = BTreeMap::new();
    let mut models: BTreeMap<(&str, &str), Vec<&ModelRow>> = BTreeMap::new();
    for row in rows {
        match row {
            Row::Tensor(row) => tensors.entry((&row.model, &row.codec)).or_default().push(row),
            Row::Model(row) => models.entry((&row.model, &row.codec)).or_default().push(row),
        }
    }
    let mut text = "| model | codec | bits/weight | ratio to f32 | relative error | gap to Shannon (dB) | metric | before | after |\n\
                    | --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |\n"
        .to_owned();
    for model in &run.models {
        for codec in &run.codecs {
            let Some(cells) = tensors.get(&(model.as_str(), codec.as_str())) else { continue };
            let whole = models.get(&(model.as_str(), codec.as_str())).and_then(|rows| rows.first());
            text.push_str(&line(model, codec, cells, whole.copied()));
        }
    }
    text
}

fn line(model: &str, codec: &str, cells: &[&TensorRow], whole: Option<&ModelRow>) -> String {
    let failed = cells.iter().filter(|row| row.status == Status::Failed).count();
    if failed > 0 {
        return format!("| {model} | `{codec}` | failed: {failed} of {} tensors | | | | | | |\n", cells.len());
    }
    let sum = |field: fn(&TensorRow) -> f64| cells.iter().map(|row| field(row)).sum::<f64>();
    let weights: u64 = cells.iter().map(|row| row.weights).sum();
    // The file where there is one: its index counts too.
    let bytes =
        whole.filter(|row| row.bytes > 0).map_or_else(|| cells.iter().map(|row| row.bytes).sum(), |row| row.bytes);
    let error = relative_mse(sum(|row| row.squared_error), sum(|row| row.energy));
    let bits = bits_per_weight(bytes, weights);
    let gap = if snr_db(error).is_finite() {
        format!("{:.2}", gap_to_shannon_db(error, bits))
    } else {
        "lossless".to_owned()
    };
    let figure = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
    let (metric, before, after) = match whole {
        Some(row) if row.status == Status::Failed => ("failed".to_owned(), String::new(), String::new()),
        Some(row) => (row.metric.clone(), figure(row.baseline), figure(row.compressed)),
        None => Default::default(),
    };
    let ratio = 32.0 / bits;
    let root = error.sqrt();
    format!("| {model} | `{codec}` | {bits:.3} | {ratio:.2} | {root:.4} | {gap} | {metric} | {before} | {after} |\n")
}
