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
pub(super) fn data(study: &Study) -> Value {
    let metrics = metrics(study);
    let codecs: Vec<Value> = study.contenders.iter().map(|contender| codec(study, contender)).collect();
    let models: Vec<Value> = study.model_names.iter().map(|model| self::model(study, model, &metrics)).collect();
    let mut cells = Vec::new();
    for (c, contender) in study.contenders.iter().enumerate() {
        for (m, model) in study.model_names.iter().enumerate() {
            cells.extend(cell(study, (c, contender), (m, model), &metrics));
        }
    }
    let pairs = pairs(study, &metrics);
    let changes = study.previous.as_deref().map(|previous| {
        let changes = crate::tables::changes(study, previous);
        json!({ "better": changes.judged[0], "worse": changes.judged[1], "added": changes.added })
    });
    json!({ "run": study.run.name, "changes": changes, "pairs": pairs, "codecs": codecs, "models": models, "metrics": metrics, "cells": cells })
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
    let text = study.calibration_options();
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
        "command": contender.command(text.as_deref()),
        "code": contender.code.iter().map(String::as_str).collect::<Vec<_>>().join("; "),
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

/// One codec on one model: `v` the metrics with their intervals, `u` p-value and smallest detectable difference of the paired test
/// against the uncompressed model, `e` bytes, weights, squared error and energy of the tensors above the
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
    let mut unchanged = Map::new();
    for row in whole.iter().filter(|row| row.status == Status::Ok) {
        let Some(index) = metrics.iter().position(|metric| *metric == row.metric) else { continue };
        if let Some(test) = judge::against_uncompressed(row) {
            unchanged.insert(index.to_string(), json!([brief(Some(test.p)), brief(Some(test.detectable))]));
        }
    }
    if !unchanged.is_empty() {
        fields.insert("u".to_owned(), unchanged.into());
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

/// The p-values of paired tests that decide what intervals leave open: on each model and metric every row that is best at some size
/// against every other row whose interval overlaps its own, as metric, model, both codecs and p.
fn pairs(study: &Study, metrics: &[&str]) -> Vec<Value> {
    let mut pairs = Vec::new();
    for (m, model) in study.model_names.iter().enumerate() {
        for (index, metric) in metrics.iter().enumerate() {
            let mut rows: Vec<(usize, &ModelRow)> = Vec::new();
            for (c, contender) in study.contenders.iter().enumerate().filter(|(_, contender)| !contender.is_floor()) {
                let kept =
                    |row: &&ModelRow| row.metric == *metric && row.status == Status::Ok && row.outcomes.is_some();
                rows.extend(study.whole(contender, model).find(kept).map(|row| (c, row)));
            }
            for (c, leader) in leaders(&mut rows) {
                for &(other, row) in rows.iter().filter(|(other, row)| *other != c && overlap(leader, row)) {
                    if let Some(test) = row.paired_with(leader) {
                        pairs.push(json!([index, m, c, other, brief(Some(test.p))]));
                    }
                }
            }
        }
    }
    pairs
}

/// Rows that no smaller one is as good as.
fn leaders<'a>(rows: &mut [(usize, &'a ModelRow)]) -> Vec<(usize, &'a ModelRow)> {
    let loss = |row: &ModelRow| {
        let value = row.compressed.unwrap_or(f64::INFINITY);
        if row.higher_is_better { -value } else { value }
    };
    rows.sort_by(|a, b| a.1.bytes.cmp(&b.1.bytes).then(loss(a.1).total_cmp(&loss(b.1))));
    let mut best = f64::INFINITY;
    let better = |(_, row): &&(usize, &ModelRow)| {
        let leads = loss(row) < best;
        best = best.min(loss(row));
        leads
    };
    rows.iter().filter(better).copied().collect()
}

fn overlap(a: &ModelRow, b: &ModelRow) -> bool {
    a.interval.zip(b.interval).is_none_or(|(a, b)| a[0] <= b[1] && b[0] <= a[1])
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
