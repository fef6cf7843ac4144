//! What each tensor costs a model at each rate, everything else exact.

use std::collections::BTreeMap;

use seedpress_results::{PlanRow, SensitivityRow, derive};

use super::bars::{BODY, ROW, label_width, row_label};
use super::slug;
use crate::canvas::{Anchor, draw};
use crate::document::Chart;
use crate::format::{fixed, shorten, significant};
use crate::study::Study;
use crate::style::{INK, MUTED, heat};

/// Tensors by codecs, the divergence as colour; the relative squared error where no divergence was measured.
pub fn sensitivity(study: &Study, model: &str) -> Option<Chart> {
    const MOST_TENSORS: usize = 60;
    const MOST_CODECS: usize = 24;
    let rows: Vec<&SensitivityRow> = study
        .plans
        .iter()
        .filter_map(|row| if let PlanRow::Sensitivity(row) = row { Some(row) } else { None })
        .filter(|row| row.model == model)
        .collect();
    let mut tensors: Vec<&str> = Vec::new();
    // Codecs from few bits to many, by what they take over all tensors.
    let mut sizes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in &rows {
        if !tensors.contains(&row.tensor.as_str()) {
            tensors.push(&row.tensor);
        }
        let (bytes, weights) = sizes.entry(&row.codec).or_default();
        (*bytes, *weights) = (*bytes + row.bytes, *weights + row.weights);
    }
    let mut codecs: Vec<(&str, f64)> =
        sizes.iter().map(|(&codec, &(bytes, weights))| (codec, derive::bits_per_weight(bytes, weights))).collect();
    codecs.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(b.0)));
    codecs.truncate(MOST_CODECS);
    if tensors.len() < 2 || codecs.is_empty() {
        return None;
    }
    let measured = rows.iter().all(|row| row.divergence.is_some());
    let value = |row: &SensitivityRow| {
        row.divergence.filter(|_| measured).unwrap_or_else(|| derive::relative_mse(row.squared_error, row.energy))
    };
    let cells: BTreeMap<(&str, &str), &SensitivityRow> =
        rows.iter().map(|&row| ((row.tensor.as_str(), row.codec.as_str()), row)).collect();
    let positive = rows.iter().map(|row| value(row)).filter(|value| *value > 0.0);
    let (low, high) = positive.fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    // Six decades are enough: what is a millionth of the worst matters to nobody.
    let low = low.max(high * 1e-6);
    let shown = &tensors[..tensors.len().min(MOST_TENSORS)];
    let longest = codecs.iter().map(|(codec, _)| codec.chars().count().min(26)).max().unwrap_or(0) as i32;
    let left = label_width(shown.iter().copied());
    let top = longest * 8 + 16;
    let cell = (BODY / codecs.len() as i32).clamp(20, 66);
    let numbers = cell >= 44;
    let what = if measured { "divergence" } else { "relative squared error" };
    let title = format!("Sensitivity: {} ({what})", study.model_title(model));
    let width = (left + cell * codecs.len() as i32 + 16).max(520);
    let height = top + ROW * shown.len() as i32 + 12;
    let svg = draw(width as u32, height as u32, &title, |canvas| {
        for (column, (codec, _)) in codecs.iter().enumerate() {
            let x = left + cell * column as i32 + cell / 2;
            canvas.upward(&shorten(codec, 26), (x, top - 6), Anchor::Start, 12.0, INK);
        }
        for (line, tensor) in shown.iter().enumerate() {
            let y = top + ROW * line as i32;
            row_label(canvas, tensor, left, y + ROW / 2);
            for (column, (codec, _)) in codecs.iter().enumerate() {
                let x = left + cell * column as i32;
                let middle = (x + cell / 2, y + ROW / 2);
                let Some(row) = cells.get(&(*tensor, *codec)) else {
                    canvas.text("-", middle, Anchor::Middle, 12.0, MUTED);
                    continue;
                };
                let found = value(row);
                let (colour, ink) = heat((found.max(low) / low).ln() / (high / low).ln().max(1e-9));
                canvas.bar((x, y), (x + cell - 1, y + ROW - 1), colour, 1.0);
                if numbers {
                    canvas.text(&short(found), middle, Anchor::Middle, 11.0, ink);
                }
                let bits = fixed(derive::bits_per_weight(row.bytes, row.weights), 2);
                canvas.tip(middle, &format!("{tensor}, {codec}, {bits} bits: {what} {}", significant(found, 3)));
            }
        }
    });
    let mut caption = if measured {
        "How far the model's answers on calibration data (never the held-out data) move with this tensor alone compressed: mean \
         KL divergence in nats, or relative squared distance for vectors. Darker is worse, logarithmic."
            .to_owned()
    } else {
        "This model has no calibration data: plans weigh relative squared errors instead. Darker is worse, logarithmic."
            .to_owned()
    };
    if tensors.len() > shown.len() {
        caption += &format!(" The first {} of {} tensors.", shown.len(), tensors.len());
    }
    Some(Chart { name: format!("sensitivity-{}", slug(model)), title, caption, svg, linked: true, ..Chart::default() })
}

/// At most six characters.
fn short(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e3).contains(&value) { format!("{value:.0e}") } else { significant(value, 2) }
}
