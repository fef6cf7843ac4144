//! The seed report's own tables: its figures beside measured ones.

use seedpress_results::{Status, TensorRow, derive};

use super::{error_cell, fixed_cell, speed_cell};
use crate::document::{Cell, Table, Tone};
use crate::format::{fixed, per_second, seconds, significant};
use crate::prefixes::prefix_sums;
use crate::study::{Scope, Study};
use crate::sums::{Sums, mean_and_deviation};

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
