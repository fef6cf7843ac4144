//! Everything that an audit found, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use seedpress::codec::text::printable;
use seedpress_transformer::evaluate::{Comparison, Estimate, Evaluation};
use serde_json::json;

use super::overlap::{Overlap, RUN};
use super::weights::{Compared, Table};
use crate::print::{bytes, table};

/// Named tensors at most, in text.
const NAMED: usize = 20;

/// An audit.
pub(super) struct Findings {
    pub model: String,
    pub reference: String,
    pub threshold: f64,
    pub context: usize,
    pub stride: usize,
    pub weights: Table,
    pub evaluation: Evaluation,
    pub overlap: Option<Overlap>,
}

/// Tensors, weights and bytes of a type.
pub(super) struct Kind {
    pub kind: String,
    pub tensors: usize,
    pub weights: u64,
    pub bytes: u64,
}

impl Kind {
    /// Bits a weight.
    pub(super) fn bits(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.weights.max(1) as f64
    }
}

impl Findings {
    /// Types of tensors.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
        for tensor in &self.weights.tensors {
            let new = || Kind { kind: tensor.kind.clone(), tensors: 0, weights: 0, bytes: 0 };
            let kind = kinds.entry(&tensor.kind).or_insert_with(new);
            kind.tensors += 1;
            kind.weights += tensor.weights;
            kind.bytes += tensor.bytes;
        }
        kinds.into_values().collect()
    }

    /// Tensors whose error is above the threshold, the worst first.
    pub(super) fn above(&self) -> Vec<&Compared> {
        let is_above = |error: f64| error.is_nan() || error > self.threshold;
        let tensors = self.weights.tensors.iter();
        let mut above: Vec<&Compared> = tensors.filter(|tensor| tensor.error.is_some_and(is_above)).collect();
        above.sort_by(|a, b| b.error.unwrap_or(0.0).total_cmp(&a.error.unwrap_or(0.0)));
        above
    }

    /// Figures on text: name, value, interval.
    pub(super) fn figures(&self) -> Vec<(&'static str, String, String)> {
        let Evaluation { perplexity, against, .. } = &self.evaluation;
        let interval = |of: &Estimate, digits: usize| format!("{:.digits$} to {:.digits$}", of.low, of.high);
        let mut rows = vec![("perplexity", format!("{:.4}", perplexity.value), interval(perplexity, 4))];
        let Some(Comparison {
            reference_nats,
            added_nats,
            divergence,
            divergence_median,
            divergence_99,
            divergence_999,
            same_top,
            noise_floor,
        }) = against
        else {
            return rows;
        };
        let reference = reference_nats.map(f64::exp);
        let flips = Estimate { value: 1.0 - same_top.value, low: 1.0 - same_top.high, high: 1.0 - same_top.low };
        let plain = |value: f64| format!("{value:.6}");
        rows.push(("perplexity of the reference", format!("{:.4}", reference.value), interval(&reference, 4)));
        rows.push(("added nats a token", plain(added_nats.value), interval(added_nats, 6)));
        rows.push(("divergence, mean", plain(divergence.value), interval(divergence, 6)));
        rows.push(("divergence, median", plain(*divergence_median), String::new()));
        rows.push(("divergence, 99 %", plain(*divergence_99), String::new()));
        rows.push(("divergence, 99.9 %", plain(*divergence_999), String::new()));
        rows.push((
            "another likeliest token",
            format!("{:.3} %", 100.0 * flips.value),
            interval(&flips.map(|share| 100.0 * share), 3),
        ));
        if let Some(floor) = noise_floor {
            rows.push(("noise floor: the reference in bf16", plain(*floor), String::new()));
        }
        rows
    }

    /// For people.
    pub(super) fn to_text(&self) -> String {
        let Table { format, file_bytes, reference_weights, tensors, missing } = &self.weights;
        let mut text = String::new();
        let (model, reference) = (printable(&self.model), printable(&self.reference));
        let _ = writeln!(text, "{model} ({format}) against {reference}");
        let _ = writeln!(
            text,
            "{}, {:.4} bits for each of {reference_weights} weights, everything counted; {} tensors",
            bytes(*file_bytes),
            self.weights.bits(),
            tensors.len()
        );
        let row = |kind: &Kind| {
            let name = printable(&kind.kind).to_string();
            vec![
                name,
                kind.tensors.to_string(),
                kind.weights.to_string(),
                bytes(kind.bytes),
                format!("{:.3}", kind.bits()),
            ]
        };
        let rows: Vec<Vec<String>> = self.kinds().iter().map(row).collect();
        let _ = write!(text, "\n{}", table(&["type", "tensors", "weights", "bytes", "bits each"], &rows));
        let Evaluation { predictions, documents, resampled, .. } = &self.evaluation;
        let _ = writeln!(
            text,
            "\n{predictions} predictions, {documents} documents; context {}, stride {}; intervals over {resampled}",
            self.context, self.stride
        );
        for (name, value, interval) in self.figures() {
            let interval = if interval.is_empty() { interval } else { format!("  ({interval})") };
            let _ = writeln!(text, "{name:<36} {value:>12}{interval}");
        }
        let above = self.above();
        let _ = writeln!(text, "\n{} of {} tensors have an error above {}", above.len(), tensors.len(), self.threshold);
        for tensor in above.iter().take(NAMED) {
            let error = tensor.error.unwrap_or(f64::NAN);
            let _ = writeln!(text, "  {}: {error:.4}, {}", printable(&tensor.name), printable(&tensor.kind));
        }
        if above.len() > NAMED {
            let _ = writeln!(text, "  and {} more: --json lists all", above.len() - NAMED);
        }
        for name in missing {
            let _ = writeln!(text, "  {}: not in the file", printable(name));
        }
        if let Some(overlap) = &self.overlap {
            let Overlap { shared, runs, touched, documents } = overlap;
            let _ = writeln!(
                text,
                "{:.3} % of the text was in the calibration text: {shared} of {runs} runs of {RUN} tokens, in {touched} of {documents} documents",
                100.0 * overlap.share()
            );
        }
        text
    }

    /// For programs.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let kinds: Vec<_> = self
            .kinds()
            .iter()
            .map(|kind| {
                json!({"type": kind.kind, "tensors": kind.tensors, "weights": kind.weights, "bytes": kind.bytes, "bits": kind.bits()})
            })
            .collect();
        json!({
            "model": self.model, "reference": self.reference, "format": self.weights.format,
            "file_bytes": self.weights.file_bytes, "reference_weights": self.weights.reference_weights,
            "bits_per_weight": self.weights.bits(), "context": self.context, "stride": self.stride,
            "types": kinds, "tensors": self.weights.tensors, "missing": self.weights.missing, "threshold": self.threshold,
            "above_threshold": self.above().iter().map(|tensor| &tensor.name).collect::<Vec<_>>(),
            "evaluation": self.evaluation, "top_1_flips": self.evaluation.against.as_ref().map(|against| 1.0 - against.same_top.value),
            "overlap": self.overlap.as_ref().map(|overlap| json!({
                "run": RUN, "runs": overlap.runs, "shared": overlap.shared, "share": overlap.share(),
                "documents": overlap.documents, "touched": overlap.touched,
            })),
        })
    }
}
