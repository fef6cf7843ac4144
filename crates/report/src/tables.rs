//! The tables.

use std::collections::BTreeSet;

use seedpress_results::{ModelRow, Status, TensorRow, derive};

use crate::charts::prefix_sums;
use crate::document::{Cell, Column, Table, Tone};
use crate::format::{bytes, fixed, per_second, seconds, significant};
use crate::study::{Contender, Point, Scope, Study, frontier};
use crate::sums::{Sums, mean_and_deviation, speed};

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

/// One model: every codec with bits, ratio, error, metric and speed. `compact` keeps each series' best row and the frontier.
pub fn model(study: &Study, model: &str, compact: bool) -> Table {
    let metrics: BTreeSet<&str> = study
        .models
        .iter()
        .filter(|row| row.model == model)
        .map(|row| row.metric.as_str())
        .filter(|m| !m.is_empty())
        .collect();
    let mut table = Table::new(
        &study.model_title(model),
        &["codec", "#bits/weight", "#ratio vs f32", "#ratio vs source", "#relative error"],
    );
    table
        .columns
        .extend(metrics.iter().map(|metric| Column { name: format!("{metric} before → after [95 %]"), numeric: true }));
    for name in ["encode weights/s", "decode weights/s"] {
        table.columns.push(Column { name: name.to_owned(), numeric: true });
    }
    let mut rows = Vec::new();
    for contender in &study.contenders {
        let sums = Sums::over(study.cell(contender, model));
        let whole: Vec<&ModelRow> = study.whole(contender, model).collect();
        let done = whole.iter().find(|row| row.status == Status::Ok);
        if let Some(lost) = whole.iter().find(|row| row.status == Status::Failed)
            && done.is_none()
        {
            let mut row = vec![Cell::text(&contender.label), failed(lost.error.as_deref())];
            row.resize(table.columns.len(), Cell::text("-"));
            rows.push((f64::NEG_INFINITY, f64::NAN, contender, row));
            continue;
        }
        if done.is_none() && sums.tensors == 0 {
            continue;
        }
        let bits = done.map_or_else(|| sums.bits_per_weight(), |row| row.bits_per_weight());
        let source = done.map(|row| row.source_ratio());
        let error = if sums.tensors == 0 { Cell::text("-") } else { error_cell(contender, sums.relative_error()) };
        let mut row = vec![
            Cell::text(&contender.label),
            fixed_cell(bits, 3),
            fixed_cell(32.0 / bits, 2),
            Cell::optional(source, |ratio| fixed(ratio, 2)),
            error,
        ];
        for metric in &metrics {
            row.push(whole.iter().find(|row| row.metric == *metric && row.status == Status::Ok).map_or_else(
                || Cell::text("-"),
                |row| Cell::number(row.compressed.unwrap_or(f64::NAN), metric_text(row)),
            ));
        }
        let encode = done.and_then(|row| speed(row.weights, &row.encode_seconds)).or(sums.encode_speed());
        let decode = done.and_then(|row| speed(row.weights, &row.decode_seconds)).or(sums.decode_speed());
        row.extend([speed_cell(encode), speed_cell(decode)]);
        rows.push((bits, sums.relative_mse(), contender, row));
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    if compact && rows.len() > 16 {
        let gap = |bits: f64, error: f64| derive::gap_to_shannon_db(error, bits);
        let summary: Vec<(f64, f64, String)> = rows.iter().map(|row| (row.0, row.1, row.2.family())).collect();
        let all = rows.len();
        rows.retain(|(bits, error, contender, _)| {
            let beaten = summary.iter().any(|(b, e, _)| (b < bits && e <= error) || (b <= bits && e < error));
            let family = contender.family();
            let best = !summary.iter().any(|(b, e, f)| *f == family && gap(*b, *e) < gap(*bits, *error));
            bits.is_finite() && (!beaten || best)
        });
        table.note = format!(
            "{} more rows in the report: shown are the Pareto frontier and each codec's best row.",
            all - rows.len()
        );
    }
    table.rows = rows.into_iter().map(|row| row.3).collect();
    table
}

fn failed(error: Option<&str>) -> Cell {
    Cell::text(format!("failed: {}", error.unwrap_or("no reason given"))).tone(Tone::Bad)
}

/// Accuracy of every contender over a scope.
pub fn accuracy(study: &Study, scope: Scope) -> Table {
    let points = study.points(scope);
    let front: BTreeSet<String> = frontier(&points).iter().map(|point| point.contender.codec.clone()).collect();
    let mut table = Table::new(
        &format!("Accuracy: {}", scope.name()),
        &["codec", "#bits/weight", "#relative error", "#relMSE", "#SNR dB", "#gap dB", "#cosine", "#mean", "#deviation", "#max", "#max error/rms", "#tensors"],
    )
    .note("Sums over tensors above the small-tensor policy; mean, deviation and max are over the tensors' relative errors. Frontier rows are set off.");
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
            fixed_cell(sums.gap(), 2),
            fixed_cell(sums.cosine(), 5),
            Cell::number(mean, significant(mean, 3)),
            Cell::number(deviation, significant(deviation, 2)),
            error_cell(contender, largest),
            Cell::number(sums.worst_peak, significant(sums.worst_peak, 3)),
            Cell::number(sums.tensors as f64, tensors),
        ]);
    }
    table
}

/// Speed and memory of every contender over a scope.
pub fn speeds(study: &Study, scope: Scope) -> Table {
    let roof = study.run.memcpy_bytes_per_second / 4.0;
    let mut table = Table::new(
        &format!("Speed: {}", scope.name()),
        &["codec", "#encode weights/s", "#decode weights/s", "#decode / memcpy", "#threads", "#peak memory"],
    );
    for Point { contender, sums, .. } in study.points(scope) {
        let decode = sums.decode_speed();
        let threads: Vec<String> = sums.threads.iter().map(usize::to_string).collect();
        table.rows.push(vec![
            Cell::text(&contender.label),
            speed_cell(sums.encode_speed()),
            speed_cell(decode),
            Cell::optional(decode.filter(|_| roof > 0.0).map(|speed| speed / roof), |part| significant(part, 3)),
            Cell::text(threads.join(", ")),
            Cell::number(sums.peak_memory as f64, bytes(sums.peak_memory)),
        ]);
    }
    table
}

/// Compression ratio by layer type.
pub fn layer_types(study: &Study, synthetic: bool) -> Table {
    let types: BTreeSet<&str> =
        study.measured().filter(|row| row.synthetic == synthetic).map(|row| row.layer_type.as_str()).collect();
    let kind = if synthetic { "synthetic weights" } else { "real weights" };
    let mut table = Table::new(&format!("Ratio by layer type: {kind}"), &["codec"]);
    table.columns.extend(types.iter().map(|name| Column { name: (*name).to_owned(), numeric: true }));
    for contender in &study.contenders {
        let of = |kind: &str| {
            let rows = study
                .measured()
                .filter(|row| row.codec == contender.codec && row.synthetic == synthetic && row.layer_type == kind);
            let sums = Sums::over(rows);
            Cell::optional((sums.tensors > 0).then(|| sums.ratio()), |ratio| format!("{}x", fixed(ratio, 2)))
        };
        let cells: Vec<Cell> = types.iter().map(|kind| of(kind)).collect();
        if cells.iter().any(|cell| cell.sort.is_some()) {
            table.rows.push(std::iter::once(Cell::text(&contender.label)).chain(cells).collect());
        }
    }
    table
}

/// Tensors that were encoded and decoded, by model.
pub fn success(study: &Study) -> Table {
    let mut table = Table::new("Tensors that round-tripped", &["codec"]);
    table
        .columns
        .extend(study.model_names.iter().map(|model| Column { name: study.model_title(model), numeric: true }));
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
pub fn failures(study: &Study) -> Table {
    let mut table = Table::new("Failed and broken cells", &["codec", "model", "tensor", "what"]);
    let mut add = |label: &str, model: &str, tensor: &str, what: Cell| {
        table.rows.push(vec![Cell::text(label), Cell::text(model), Cell::text(tensor), what]);
    };
    for contender in &study.contenders {
        for row in study.tensors.iter().filter(|row| row.codec == contender.codec) {
            let error = row.relative_error();
            if row.status == Status::Failed {
                add(&contender.label, &row.model, &row.tensor, failed(row.error.as_deref()));
            } else if !contender.is_floor() && row.weights > 0 && (error.is_nan() || error >= 1.0) {
                let what = format!("broken: relative error {}", significant(error, 3));
                add(&contender.label, &row.model, &row.tensor, Cell::text(what).tone(Tone::Bad));
            }
        }
        for row in study.models.iter().filter(|row| row.codec == contender.codec && row.status == Status::Failed) {
            add(&contender.label, &row.model, "(whole model)", failed(row.error.as_deref()));
        }
    }
    table
}

/// The best metric kept at each size, where any row goes below 1.2 bits a weight.
pub fn thirty(study: &Study) -> Table {
    let mut table = Table::new(
        "What is left at 10x to 30x, whole file",
        &["model", "metric", "#at least", "codec", "#ratio", "#before → after [95 %]"],
    )
    .note("The best row of the run at or above each ratio against 32-bit floats; everything in the file is counted.");
    if !study.models.iter().any(|row| row.status == Status::Ok && row.bits_per_weight() < 1.2) {
        return table;
    }
    for model in &study.model_names {
        let metrics: BTreeSet<&str> = study
            .models
            .iter()
            .filter(|row| row.model == *model)
            .map(|row| row.metric.as_str())
            .filter(|m| !m.is_empty())
            .collect();
        for metric in metrics {
            for least in [10.0, 16.0, 20.0, 30.0, 40.0] {
                let fits = |row: &&ModelRow| {
                    row.model == *model
                        && row.metric == metric
                        && row.status == Status::Ok
                        && row.ratio() >= least
                        && row.compressed.is_some_and(f64::is_finite)
                };
                let best = study.models.iter().filter(fits).max_by(|a, b| {
                    let order = a.compressed.unwrap_or(0.0).total_cmp(&b.compressed.unwrap_or(0.0));
                    if a.higher_is_better { order } else { order.reverse() }
                });
                if let Some(row) = best {
                    table.rows.push(vec![
                        Cell::text(study.model_title(model)),
                        Cell::text(metric),
                        Cell::number(least, format!("{least}x")),
                        Cell::text(row.label.as_ref().unwrap_or(&row.codec)),
                        Cell::number(row.ratio(), format!("{}x", fixed(row.ratio(), 1))),
                        Cell::number(row.compressed.unwrap_or(f64::NAN), metric_text(row)),
                    ]);
                }
            }
        }
    }
    table
}

/// Quality after each layer of progressive codecs.
pub fn prefixes(study: &Study, scope: Scope) -> Table {
    let kind = if scope == Scope::Real { "real weights" } else { "synthetic weights" };
    let mut table = Table::new(
        &format!("Layers: {kind}"),
        &["codec", "#layers", "#bits/weight", "#relative error", "#improvement", "#bytes vs first layer", "#gap dB"],
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

/// A claim of the seed report: layer, shape, and the ratios of its four methods.
const CLAIMED_RATIOS: [(&str, &[usize], [f64; 4]); 6] = [
    ("Linear Small (64×128)", &[64, 128], [4.2, 3.8, 8.0, 6.0]),
    ("Linear Medium (256×512)", &[256, 512], [4.5, 4.1, 8.0, 6.0]),
    ("Linear Large (512×1024)", &[512, 1024], [4.8, 4.3, 8.0, 6.0]),
    ("Conv 3×3 (64,32,3,3)", &[64, 32, 3, 3], [3.9, 3.6, 8.0, 6.0]),
    ("Conv 1×1 (128,256,1,1)", &[128, 256, 1, 1], [4.1, 3.9, 8.0, 6.0]),
    ("Embedding (1000×256)", &[1000, 256], [4.7, 4.2, 8.0, 6.0]),
];
/// Method, mean relative error, its deviation, its maximum, seconds, weights per second.
const CLAIMED_QUALITY: [(&str, [f64; 5]); 4] = [
    ("seedlm-progressive", [0.845, 0.312, 1.987, 12.45, 4200.0]),
    ("seedlm-legacy", [1.123, 0.441, 2.834, 8.67, 6100.0]),
    ("bitnet", [0.234, 0.089, 0.567, 0.12, 425_000.0]),
    ("vptq", [0.445, 0.156, 1.023, 0.34, 152_000.0]),
];
/// Level, relative error, deviation, ratio.
const CLAIMED_LEVELS: [[f64; 4]; 5] = [
    [0.1, 0.423, 0.145, 3.2],
    [0.3, 0.667, 0.223, 4.1],
    [0.5, 0.912, 0.334, 4.7],
    [0.7, 1.245, 0.456, 5.3],
    [0.9, 1.789, 0.623, 6.1],
];
const CLAIMED_LAYERS: [(f64, &str, &str); 4] =
    [(1.234, "-", "100 %"), (0.923, "25 %", "143 %"), (0.756, "18 %", "187 %"), (0.645, "15 %", "234 %")];
/// Model, method, seconds, ratio, success.
const CLAIMED_MODELS: [(&str, &str, f64, f64, &str); 4] = [
    ("mlp", "seedlm-legacy", 45.2, 4.1, "100 %"),
    ("mlp", "bitnet", 2.1, 8.0, "100 %"),
    ("cnn", "seedlm-legacy", 98.7, 4.3, "95 %"),
    ("cnn", "bitnet", 4.8, 8.0, "100 %"),
];

fn claim(text: impl Into<String>) -> Cell {
    Cell::text(text).tone(Tone::Claim)
}

/// The seed report's own tables: its figures beside what this run measured. Only methods that were measured appear.
pub fn seed_report(study: &Study) -> Vec<Table> {
    let claimants = |id: &'static str| study.contenders.iter().filter(move |contender| contender.codec_id == id);
    let six = |row: &TensorRow| CLAIMED_RATIOS.iter().any(|(_, shape, _)| *shape == row.shape.as_slice());
    let mut ratios =
        Table::new("Compression ratio by layer type", &["layer", "codec", "#measured", "#seed report claim"]);
    for (layer, shape, claims) in CLAIMED_RATIOS {
        for ((id, _), value) in CLAIMED_QUALITY.iter().zip(claims) {
            for contender in claimants(id) {
                let sums =
                    Sums::over(study.measured().filter(|row| row.codec == contender.codec && row.shape == shape));
                if sums.tensors > 0 {
                    let synthetic =
                        study.measured().any(|row| row.codec == contender.codec && row.shape == shape && row.synthetic);
                    let layer = if synthetic { format!("{layer}, synthetic") } else { layer.to_owned() };
                    ratios.rows.push(vec![
                        Cell::text(layer),
                        Cell::text(&contender.label),
                        Cell::number(sums.ratio(), format!("{}x", fixed(sums.ratio(), 2))),
                        claim(format!("{value:.1}x")),
                    ]);
                }
            }
        }
    }
    let mut quality = Table::new(
        "Reconstruction accuracy",
        &[
            "codec",
            "#bits/weight",
            "#mean relative error",
            "#max",
            "#MSE",
            "#mean: seed report claim",
            "#max: seed report claim",
        ],
    );
    let mut times = Table::new(
        "Compression speed",
        &[
            "codec",
            "#mean time",
            "#deviation",
            "#weights/s",
            "#time: seed report claim",
            "#weights/s: seed report claim",
        ],
    );
    let six_measured = study.measured().any(|row| row.synthetic && six(row));
    for (id, [mean_claim, deviation_claim, max_claim, time_claim, speed_claim]) in CLAIMED_QUALITY {
        for contender in claimants(id) {
            let sums = Sums::over(study.measured().filter(|row| {
                row.codec == contender.codec && if six_measured { row.synthetic && six(row) } else { !row.synthetic }
            }));
            if sums.tensors == 0 {
                continue;
            }
            let (mean, deviation, largest) = sums.error_spread();
            quality.rows.push(vec![
                Cell::text(&contender.label),
                fixed_cell(sums.bits_per_weight(), 3),
                Cell::number(mean, format!("{} ± {}", significant(mean, 3), significant(deviation, 2))),
                error_cell(contender, largest),
                Cell::number(sums.mean_squared_error(), significant(sums.mean_squared_error(), 3)),
                claim(format!("{mean_claim:.3} ± {deviation_claim:.3}")),
                claim(format!("{max_claim:.3}")),
            ]);
            if let Some(speed) = sums.encode_speed() {
                let (mean, deviation) = mean_and_deviation(&sums.encode_times);
                times.rows.push(vec![
                    Cell::text(&contender.label),
                    Cell::number(mean, seconds(mean)),
                    Cell::number(deviation, seconds(deviation)),
                    speed_cell(Some(speed)),
                    claim(seconds(time_claim)),
                    claim(per_second(speed_claim)),
                ]);
            }
        }
    }
    let over = if six_measured {
        "Over the seed report's six shapes, synthetic weights."
    } else {
        "Over the real weights of this run."
    };
    let scope = |row: &TensorRow| !row.synthetic;
    let mut levels = Table::new(
        "Quality against level",
        &["codec", "#level", "#relative error", "#ratio", "#error: seed report claim", "#ratio: seed report claim"],
    )
    .note("Over the real weights of this run.");
    for contender in claimants("seedlm-progressive") {
        let Some(level) = contender.options.get("level").and_then(serde_json::Value::as_f64) else { continue };
        let sums = Sums::over(study.measured().filter(|row| row.codec == contender.codec && scope(row)));
        if let Some([_, error, deviation, ratio]) = CLAIMED_LEVELS.iter().find(|claim| (claim[0] - level).abs() < 1e-6)
            && sums.tensors > 0
        {
            let (mean, spread, _) = sums.error_spread();
            levels.rows.push(vec![
                Cell::text(&contender.label),
                fixed_cell(level, 1),
                Cell::number(mean, format!("{} ± {}", significant(mean, 3), significant(spread, 2))),
                Cell::number(sums.ratio(), format!("{}x", fixed(sums.ratio(), 2))),
                claim(format!("{error:.3} ± {deviation:.3}")),
                claim(format!("{ratio:.1}x")),
            ]);
        }
    }
    let mut layers = Table::new(
        "Enhancement layers",
        &[
            "codec",
            "#layers",
            "#relative error",
            "#improvement",
            "#bandwidth",
            "#error: seed report claim",
            "#improvement: seed report claim",
            "#bandwidth: seed report claim",
        ],
    )
    .note("Over the real weights of this run. Bandwidth counts the bytes read so far against the first layer.");
    for (contender, curve) in
        prefix_sums(study, Scope::Real).into_iter().filter(|(c, _)| c.codec_id == "seedlm-progressive")
    {
        for (index, (&(bits, error), (claimed, gain, width))) in curve.iter().zip(CLAIMED_LAYERS).enumerate() {
            let before = index.checked_sub(1).map(|before| 1.0 - (error / curve[before].1).sqrt());
            layers.rows.push(vec![
                Cell::text(&contender.label),
                Cell::number(index as f64 + 1.0, (index + 1).to_string()),
                error_cell(contender, error.sqrt()),
                Cell::optional(before, |part| format!("{} %", fixed(100.0 * part, 0))),
                Cell::number(bits / curve[0].0, format!("{} %", fixed(100.0 * bits / curve[0].0, 0))),
                claim(format!("{claimed:.3}")),
                claim(gain),
                claim(width),
            ]);
        }
    }
    let mut models = Table::new(
        "Full model compression",
        &[
            "model",
            "codec",
            "#time",
            "#ratio",
            "#success",
            "#time: seed report claim",
            "#ratio: seed report claim",
            "#success: seed report claim",
        ],
    );
    for (model, id, time, ratio, rate) in CLAIMED_MODELS {
        for contender in claimants(id) {
            for name in study.model_names.iter().filter(|name| name.to_lowercase().contains(model)) {
                let Some(row) = study.whole(contender, name).find(|row| row.status == Status::Ok) else { continue };
                let done = 100.0 * row.tensors_ok as f64 / row.tensors.max(1) as f64;
                models.rows.push(vec![
                    Cell::text(study.model_title(name)),
                    Cell::text(&contender.label),
                    Cell::optional(derive::median(&row.encode_seconds), seconds),
                    Cell::number(row.ratio(), format!("{}x", fixed(row.ratio(), 2))),
                    Cell::number(done, format!("{} %", fixed(done, 0))),
                    claim(seconds(time)),
                    claim(format!("{ratio:.1}x")),
                    claim(rate),
                ]);
            }
        }
    }
    vec![ratios, quality.note(over), times.note(over), levels, layers, models]
}
