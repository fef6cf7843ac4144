//! What each optimisation the first report named is worth: bytes for the same behaviour, read off the measured curves.

use std::collections::BTreeMap;

use seedpress_results::Status;

use crate::average::{DIVERGENCE, models};
use crate::contender::{Contender, Mode};
use crate::document::{Cell, Table, Tone};
use crate::format::{fixed, per_second};
use crate::study::{Scope, Study};

/// Bytes of whole files and the divergence kept, of rows that differ in their rate only.
type Curve = Vec<(f64, f64)>;

/// Rows of one kind.
type Kind<'a> = &'a dyn Fn(&Contender) -> bool;

fn curve(study: &Study, model: &str, kind: Kind) -> Curve {
    curve_of(study, model, DIVERGENCE, kind)
}

/// The curve of a kind of rows on a model: at each size the least of a metric of rows of that size or smaller.
pub(crate) fn curve_of(study: &Study, model: &str, metric: &str, kind: Kind) -> Curve {
    let rows =
        study.contenders.iter().filter(|contender| kind(contender)).flat_map(|contender| study.whole(contender, model));
    let mut points: Curve = rows
        .filter(|row| row.metric == metric && row.status == Status::Ok)
        .filter_map(|row| Some((row.bytes as f64, row.compressed.filter(|value| *value > 0.0)?)))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut best = f64::INFINITY;
    points.retain(|point| {
        let keep = point.1 < best;
        best = best.min(point.1);
        keep
    });
    points
}

/// Bytes at which a curve has a divergence, straight between measured points on two logarithms; `None` beyond them.
pub(crate) fn bytes_at(curve: &Curve, divergence: f64) -> Option<f64> {
    let pair = curve.windows(2).find(|pair| (pair[1].1..=pair[0].1).contains(&divergence))?;
    let part = (pair[0].1 / divergence).ln() / (pair[0].1 / pair[1].1).ln();
    Some((pair[0].0.ln() + part * (pair[1].0 / pair[0].0).ln()).exp())
}

/// Bytes with and without, at each of the plain curve's points, over models: the geometric mean of the factor and its range.
fn gain(study: &Study, without: Kind, with: Kind) -> Option<(f64, f64, f64, usize)> {
    let mut factors = Vec::new();
    for model in models(study) {
        let (plain, better) = (curve(study, model, without), curve(study, model, with));
        factors.extend(plain.iter().filter_map(|(bytes, told)| Some((bytes / bytes_at(&better, *told)?).ln())));
    }
    let count = factors.len();
    let (low, high) = factors.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    (count > 0).then(|| ((factors.iter().sum::<f64>() / count as f64).exp(), low.exp(), high.exp(), count))
}

/// The factor of size that a stage takes off the same codec, which decodes to the same weights.
fn entropy_gain(study: &Study) -> Option<(f64, f64, f64, usize)> {
    let bytes: BTreeMap<(&str, &str), u64> = study
        .models
        .iter()
        .filter(|row| row.status == Status::Ok)
        .map(|row| ((row.codec.as_str(), row.model.as_str()), row.bytes))
        .collect();
    let mut factors = Vec::new();
    for contender in study.contenders.iter().filter(|contender| contender.stage == "ans") {
        let plain = contender.codec.trim_end_matches("+ans");
        for model in models(study) {
            let pair = (bytes.get(&(plain, model)), bytes.get(&(contender.codec.as_str(), model)));
            if let (Some(plain), Some(coded)) = pair {
                factors.push((*plain as f64 / *coded as f64).ln());
            }
        }
    }
    let count = factors.len();
    let (low, high) = factors.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    (count > 0).then(|| ((factors.iter().sum::<f64>() / count as f64).exp(), low.exp(), high.exp(), count))
}

/// Weights that each codec with seeds encodes a second, from its slowest row to its fastest.
fn seed_speeds(study: &Study) -> Vec<String> {
    let mut ranges: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for point in study.points(Scope::Real).iter().filter(|point| point.contender.codec_id.starts_with("seedlm")) {
        if let Some(speed) = point.sums.encode_speed() {
            let range = ranges.entry(&point.contender.codec_id).or_insert((speed, speed));
            *range = (range.0.min(speed), range.1.max(speed));
        }
    }
    let print = |(id, (low, high)): (&str, (f64, f64))| match (per_second(low), per_second(high)) {
        (low, high) if low == high => format!("{id} {low}"),
        (low, high) => format!("{id} {low} to {high}"),
    };
    ranges.into_iter().map(print).collect()
}

/// A line of the first report's gap analysis, and what was measured of it.
struct Comparison {
    /// Empty where it continues the line above, as its claim.
    optimisation: &'static str,
    claim: &'static str,
    status: &'static str,
    what: &'static str,
    gain: Option<(f64, f64, f64, usize)>,
}

impl Comparison {
    /// What the first report said stands beside what comparing one set of rows with another gave.
    fn new(
        [optimisation, claim, status]: [&'static str; 3],
        what: &'static str,
        gain: Option<(f64, f64, f64, usize)>,
    ) -> Self {
        Self { optimisation, claim, status, what, gain }
    }

    fn row(&self) -> Vec<Cell> {
        let claimed = |text: &str| if text.is_empty() { Cell::text("") } else { Cell::text(text).tone(Tone::Claim) };
        let mut cells =
            vec![Cell::text(self.optimisation), claimed(self.claim), claimed(self.status), Cell::text(self.what)];
        if let Some((mean, low, high, count)) = self.gain {
            cells.extend([mean, low, high].map(|value| Cell::number(value, format!("{}x", fixed(value, 2)))));
            cells.push(Cell::number(count as f64, count.to_string()));
        } else {
            cells.extend(["not measured", "-", "-", "-"].map(Cell::text));
        }
        cells
    }
}

/// The lines whose claims are sizes.
fn comparisons(study: &Study) -> Vec<Comparison> {
    let plain =
        |id: &'static str| move |c: &Contender| c.codec_id == id && c.stage.is_empty() && c.mode() == Mode::Plain;
    let mode = |id: &'static str, mode: Mode| move |c: &Contender| c.codec_id == id && c.mode() == mode;
    let bare = |id: &'static str| move |c: &Contender| c.codec_id == id;
    let basis = |name: &'static str| {
        move |c: &Contender| {
            c.codec_id == "learned-basis" && c.options.get("basis").and_then(serde_json::Value::as_str) == Some(name)
        }
    };
    let (trellis, paper) = (plain("trellis"), bare("seedlm-paper"));
    vec![
        Comparison::new(
            ["Better Quantization", "2-3x", "not implemented"],
            "lloyd-max (fixed rate) → trellis, both without calibration",
            gain(study, &plain("lloyd-max"), &trellis),
        ),
        Comparison::new(["", "", ""], "seedlm-legacy → seedlm-paper", gain(study, &bare("seedlm-legacy"), &paper)),
        Comparison::new(
            ["Learned Bases", "2-4x", "not implemented"],
            "seedlm-paper (pseudo-random bases) → vptq (learned codebooks), without calibration",
            gain(study, &paper, &mode("vptq", Mode::Plain)),
        ),
        Comparison::new(
            ["", "", ""],
            "learned-basis with an LFSR's directions → with learned ones, else the same code",
            gain(study, &basis("lfsr"), &basis("learned")),
        ),
        Comparison::new(
            ["Entropy Coding", "1.5-2x", "not implemented"],
            "the same codec → with the stage ans, identical weights",
            entropy_gain(study),
        ),
        Comparison::new(
            ["Model-Specific Optimization", "2-3x", "partial"],
            "trellis → trellis calibrated (hessian = full)",
            gain(study, &trellis, &mode("trellis", Mode::Calibrated)),
        ),
        Comparison::new(["", "", ""], "trellis → a plan of it", gain(study, &trellis, &mode("plan", Mode::Planned))),
    ]
}

/// The gap analysis with measured gains.
pub(crate) fn gains(study: &Study) -> Table {
    let mut table = Table::new(
        "Gap analysis",
        &["optimisation", "claim: theoretical gain", "claim: status", "what was measured", "#smaller by, measured", "#least", "#most", "#comparisons"],
    )
    .note("Whole files of the real models; how many times smaller a file is at the same KL divergence to the uncompressed model, straight between measured rates; geometric mean, least and most over models and rates. A factor of 1 is no gain.");
    table.rows.extend(comparisons(study).iter().map(Comparison::row));
    let speeds = seed_speeds(study);
    let speeds = if speeds.is_empty() { "not measured".to_owned() } else { speeds.join(", ") };
    let mut row = vec![
        Cell::text("CUDA Acceleration"),
        Cell::text("1x (speed only)").tone(Tone::Claim),
        Cell::text("not implemented").tone(Tone::Claim),
        Cell::text(format!("weights encoded per second on the processor: {speeds}")),
    ];
    row.resize(table.columns.len(), Cell::text("-"));
    table.rows.push(row);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_off_straight_lines_of_logarithms() {
        let curve = vec![(100.0, 1.0), (400.0, 0.01)];
        assert!((bytes_at(&curve, 0.1).unwrap_or(0.0) - 200.0).abs() < 1e-9);
        assert_eq!(bytes_at(&curve, 2.0), None);
    }
}
