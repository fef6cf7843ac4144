//! One codec on a whole model: the file that its records make, what decodes from it, what the model then does.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rayon::prelude::*;
use seedpress_checkpoint::{ContainerView, EntryView};
use seedpress_codec::{Limits, Tensor};
use seedpress_model::Metric;
use seedpress_results::{ModelRow, Outcomes, Row, Status};

use crate::cell::one_line;
use crate::config::CodecRow;
use crate::draws::widened;
use crate::measure::panic_text;
use crate::records::{NOT_FOLLOWED, Records};
use crate::source::{Source, TensorInfo};
use crate::stored::Stored;

/// What uncompressed models achieve, by name.
pub(crate) type Baselines = HashMap<String, Result<Vec<Metric>, String>>;

/// Measures a model's cell: a row a metric. Failing is a row too.
pub(crate) fn model_rows(
    records: &mut Records<'_>,
    baselines: &mut Baselines,
    stored: &Stored,
    model: &Source,
    codec: &CodecRow,
) -> Vec<ModelRow> {
    let blank = blank(records, stored, model, codec);
    let attempt = catch_unwind(AssertUnwindSafe(|| measured(records, baselines, stored, model, codec, &blank)));
    match attempt.unwrap_or_else(|payload| Err(format!("panic: {}", panic_text(payload.as_ref())))) {
        Ok(rows) => rows,
        Err(error) => vec![ModelRow { status: Status::Failed, error: Some(one_line(&error)), ..blank }],
    }
}

/// What is known of a cell from its tensors' rows.
fn blank(records: &Records<'_>, stored: &Stored, model: &Source, codec: &CodecRow) -> ModelRow {
    let matrix = records.matrix;
    let tensor_rows = model.tensors.iter().flat_map(|info| stored.of(&matrix.tensor_key(codec, model, info)));
    let encode_seconds: Vec<f64> = tensor_rows
        .filter_map(|row| match row {
            Row::Tensor(row) if row.status == Status::Ok => {
                Some(row.encode_seconds.iter().sum::<f64>() / row.encode_seconds.len() as f64)
            }
            _ => None,
        })
        .collect();
    ModelRow {
        key: matrix.model_key(codec, model),
        codec: codec.name(),
        label: codec.label.clone(),
        codec_id: codec.codec.id().to_owned(),
        stage: codec.codec.stage().unwrap_or_default().to_owned(),
        options: codec.options(),
        mode: Some(codec.mode()),
        code: matrix.code(codec),
        model: model.name.clone(),
        weights: model.weight_count(),
        source_bytes: model.source_bytes(),
        tensors_ok: encode_seconds.len() as u64,
        tensors: model.tensors.len() as u64,
        encode_seconds: vec![encode_seconds.iter().sum()],
        threads: records.pool.current_num_threads(),
        ..ModelRow::default()
    }
}

/// Writes the container, decodes the model from its bytes and evaluates what came back.
fn measured(
    records: &mut Records<'_>,
    baselines: &mut Baselines,
    stored: &Stored,
    model: &Source,
    codec: &CodecRow,
    blank: &ModelRow,
) -> Result<Vec<ModelRow>, String> {
    if blank.tensors_ok < blank.tensors {
        return Err(format!("{} of {} tensors failed", blank.tensors - blank.tensors_ok, blank.tensors));
    }
    let followed = |info: &TensorInfo| {
        let rows = stored.of(&records.matrix.tensor_key(codec, model, info));
        rows.iter().any(|row| matches!(row, Row::Tensor(row) if row.sequential == Some(true)))
    };
    if codec.sequential && !model.tensors.iter().any(followed) {
        return Err(NOT_FOLLOWED.to_owned());
    }
    let made: Result<Vec<_>, String> = model.tensors.iter().map(|info| records.record(model, codec, info)).collect();
    // The file that `seedpress compress` writes.
    let container = model.container(made?)?.to_bytes();
    let start = Instant::now();
    let decoded = decode(records, model, &container)?;
    let done = ModelRow {
        bytes: container.len() as u64,
        decode_seconds: vec![start.elapsed().as_secs_f64()],
        ..blank.clone()
    };
    if !records.matrix.run.evaluate {
        return Ok(vec![done]);
    }
    let rows = records.pool.install(|| metric_rows(baselines, model, decoded, &done))?;
    with_draws(records, stored, model, codec, rows)
}

/// Below this error, in parts of the weights, a row counts as faithful: draws would show the noise that moves them.
const FAITHFUL: f64 = 1.0 / 256.0;

/// Measures the draws that the run asks for, where the row is a lossy one.
fn with_draws(
    records: &mut Records<'_>,
    stored: &Stored,
    model: &Source,
    codec: &CodecRow,
    mut rows: Vec<ModelRow>,
) -> Result<Vec<ModelRow>, String> {
    let (mut error, mut energy) = (0.0, 0.0);
    for info in &model.tensors {
        for row in stored.of(&records.matrix.tensor_key(codec, model, info)) {
            if let Row::Tensor(row) = row {
                error += row.squared_error;
                energy += row.energy;
            }
        }
    }
    let lossy = error > FAITHFUL.powi(2) * energy;
    for draw in 1..=records.matrix.draws(model) {
        if !lossy || !model.has_metric() {
            break;
        }
        let decoded = records.drawn(model, codec, draw)?;
        let metrics = records.pool.install(|| model.evaluate(Some(decoded)))?;
        for row in &mut rows {
            row.drawn.extend(metrics.iter().find(|metric| metric.name == row.metric).map(|metric| metric.value));
        }
    }
    for row in &mut rows {
        row.interval = row.interval.zip(row.compressed).map(|(interval, value)| widened(value, interval, &row.drawn));
    }
    Ok(rows)
}

/// `done` once for each metric of the model with `decoded` in place of its tensors; once without where it has none.
pub(crate) fn metric_rows(
    baselines: &mut Baselines,
    model: &Source,
    decoded: Vec<Tensor>,
    done: &ModelRow,
) -> Result<Vec<ModelRow>, String> {
    if !model.has_metric() {
        return Ok(vec![done.clone()]);
    }
    let baseline = baselines.entry(model.name.clone()).or_insert_with(|| model.evaluate(None)).clone()?;
    let compressed = model.evaluate(Some(decoded))?;
    let cell_rows = compressed.len();
    let row = |metric: Metric| {
        let before = baseline.iter().find(|other| other.name == metric.name);
        let (outcomes, baseline_outcomes) = outcomes(&metric, before);
        ModelRow {
            metric: metric.name.to_owned(),
            higher_is_better: metric.higher_is_better,
            baseline: before.map(|metric| metric.value),
            baseline_interval: before.map(|metric| metric.interval),
            compressed: Some(metric.value),
            interval: Some(metric.interval),
            samples: metric.samples,
            outcomes,
            baseline_outcomes,
            cell_rows,
            ..done.clone()
        }
    };
    Ok(compressed.into_iter().map(row).collect())
}

/// The tensors that were measured, in their order, from the bytes of a file.
fn decode(records: &Records<'_>, model: &Source, container: &[u8]) -> Result<Vec<Tensor>, String> {
    let view = ContainerView::parse(container).map_err(|error| error.to_string())?;
    let entries: HashMap<&str, &EntryView<'_>> =
        view.entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let decode = |info: &TensorInfo| {
        let entry = entries.get(info.name.as_str()).ok_or_else(|| format!("the file lacks `{}`", info.name))?;
        // One tensor may take what the whole file may: a constant tensor is legitimately a few bytes.
        let decoded = entry.decode(records.registry, None, &mut Limits::for_input(container.len()));
        decoded.map(|decoded| decoded.tensor).map_err(|error| error.to_string())
    };
    records.pool.install(|| model.tensors.par_iter().map(decode).collect())
}

/// A metric's outcomes and the uncompressed model's: half as long where the latter are zero throughout (divergences from it).
fn outcomes(metric: &Metric, before: Option<&Metric>) -> (Option<Outcomes>, Option<Outcomes>) {
    let of = |metric: &Metric| {
        let (values, weights): (Vec<f64>, Vec<f64>) =
            metric.units.iter().map(|&[value, weight]| (value, weight)).unzip();
        Outcomes::new(&values, &weights)
    };
    let (own, before) = (of(metric), before.and_then(of));
    let zero = before.as_ref().is_some_and(|before| before.values().iter().all(|&value| value == 0.0));
    (if zero { own.map(Outcomes::coarse) } else { own }, before)
}
