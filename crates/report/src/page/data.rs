//! The rows as the page's scripts read them: one JSON object, small enough to stand in the page.

use seedpress_results::{ModelRow, Status};
use serde_json::{Map, Value, json};

use crate::contender::Contender;
use crate::format::rounded;
use crate::judge;
use crate::palette;
use crate::study::Study;
use crate::sums::{Sums, speed};

/// Everything the page computes with.
pub fn data(study: &Study) -> Value {
    let metrics = metrics(study);
    let codecs: Vec<Value> = study.contenders.iter().map(|contender| codec(study, contender)).collect();
    let models: Vec<Value> = study.model_names.iter().map(|model| self::model(study, model, &metrics)).collect();
    let mut cells = Vec::new();
    for (c, contender) in study.contenders.iter().enumerate() {
        for (m, model) in study.model_names.iter().enumerate() {
            cells.extend(cell(study, (c, contender), (m, model), &metrics));
        }
    }
    json!({ "run": study.run.name, "codecs": codecs, "models": models, "metrics": metrics, "cells": cells })
}

/// Every metric of the run, KL divergence first: it sees what accuracy rounds away, on every model that answers with distributions.
fn metrics(study: &Study) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for model in &study.model_names {
        for metric in study.metrics(model) {
            if !names.contains(&metric) {
                names.push(metric);
            }
        }
    }
    names.sort_by_key(|name| *name != "KL divergence");
    names
}

fn codec(study: &Study, contender: &Contender) -> Value {
    let (light, dark) = palette::colour(contender.colour_id());
    let lossless = study
        .tensors
        .iter()
        .filter(|row| row.codec == contender.codec && row.status == Status::Ok)
        .all(|row| row.squared_error == 0.0);
    json!({
        "name": contender.codec,
        "label": contender.label,
        "id": contender.codec_id,
        "family": contender.family(),
        "stage": contender.stage,
        "mode": contender.mode().name(),
        "curve": contender.curve(),
        "rate": contender.rate(),
        "toml": contender.toml(),
        "command": contender.command(),
        "light": format!("#{light:06x}"),
        "dark": format!("#{dark:06x}"),
        "floor": contender.is_floor(),
        "lossless": lossless && !contender.is_floor(),
    })
}

fn model(study: &Study, model: &str, metrics: &[&str]) -> Value {
    let rows = || study.models.iter().filter(|row| row.model == model && row.status == Status::Ok);
    let mut own = Map::new();
    for (index, metric) in metrics.iter().enumerate() {
        if let Some(row) = rows().find(|row| row.metric == *metric) {
            let interval = row.baseline_interval.unwrap_or([f64::NAN; 2]);
            let entry = json!({
                "more": row.higher_is_better,
                "distance": judge::is_distance(row),
                "unit": judge::unit(study, model, metric),
                "baseline": number(row.baseline),
                "low": number(Some(interval[0])),
                "high": number(Some(interval[1])),
                "samples": row.samples,
            });
            own.insert(index.to_string(), entry);
        }
    }
    let (weights, source) = rows().next().map_or((0, 0), |row| (row.weights, row.source_bytes));
    let title = study.model_title(model);
    let synthetic = study.is_synthetic(model);
    json!({ "name": model, "title": title, "synthetic": synthetic, "weights": weights, "source": source, "metrics": own })
}

/// One codec on one model: `v` the metrics with their intervals, `e` bytes, weights, squared error and energy of the tensors above the
/// small-tensor policy, `s` the encoded and decoded weights per second.
fn cell(
    study: &Study,
    (c, contender): (usize, &Contender),
    (m, model): (usize, &str),
    metrics: &[&str],
) -> Option<Value> {
    let whole: Vec<&ModelRow> = study.whole(contender, model).collect();
    let all = Sums::over(study.cell(contender, model));
    let done = whole.iter().find(|row| row.status == Status::Ok);
    if whole.is_empty() && all.tensors == 0 {
        return None;
    }
    let mut fields = Map::new();
    fields.insert("c".to_owned(), c.into());
    fields.insert("m".to_owned(), m.into());
    match done {
        Some(row) => {
            fields.insert("b".to_owned(), row.bytes.into());
            fields.insert("n".to_owned(), row.weights.into());
        }
        None => {
            let failed = whole.iter().find_map(|row| row.error.clone());
            fields.insert("f".to_owned(), failed.unwrap_or_else(|| "no row of the whole model".to_owned()).into());
        }
    }
    let mut values = Map::new();
    for row in whole.iter().filter(|row| row.status == Status::Ok) {
        let Some(index) = metrics.iter().position(|metric| *metric == row.metric) else { continue };
        let [low, high] = row.interval.unwrap_or([f64::NAN; 2]);
        values.insert(index.to_string(), json!([number(row.compressed), number(Some(low)), number(Some(high))]));
    }
    if !values.is_empty() {
        fields.insert("v".to_owned(), values.into());
    }
    let tensors = Sums::over(study.cell(contender, model).filter(|row| row.weights > 0 && !study.is_policy(row)));
    if tensors.tensors > 0 {
        let sums =
            json!([tensors.bytes, tensors.weights, number(Some(tensors.squared_error)), number(Some(tensors.energy))]);
        fields.insert("e".to_owned(), sums);
    }
    let encode = done.and_then(|row| speed(row.weights, &row.encode_seconds)).or(all.encode_speed());
    let decode = done.and_then(|row| speed(row.weights, &row.decode_seconds)).or(all.decode_speed());
    fields.insert("s".to_owned(), json!([brief(encode), brief(decode)]));
    if judge::is_broken(study, contender, model) {
        fields.insert("x".to_owned(), 1.into());
    }
    Some(Value::Object(fields))
}

/// Seven significant digits: more than is ever shown, and half the bytes.
fn number(value: Option<f64>) -> Value {
    json_number(value, 7)
}

/// Three significant digits, for speeds.
fn brief(value: Option<f64>) -> Value {
    json_number(value, 3)
}

fn json_number(value: Option<f64>, digits: usize) -> Value {
    let Some(value) = value.filter(|value| value.is_finite()) else { return Value::Null };
    let value = rounded(value, digits);
    if value.fract() == 0.0 && value.abs() < 1e15 { Value::from(value as i64) } else { Value::from(value) }
}
