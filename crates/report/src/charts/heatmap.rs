//! Relative error of each layer of a model under each codec.

use std::collections::{BTreeMap, BTreeSet};

use seedpress_results::TensorRow;

use super::bars::{BODY, ROW, label_width, row_label};
use super::shared::slug;
use crate::canvas::{Anchor, draw};
use crate::contender::Contender;
use crate::document::Chart;
use crate::format::{shorten, significant};
use crate::study::Study;
use crate::style::{INK, MUTED, heat};

/// Relative error of each layer of a model under each codec.
pub(crate) fn heatmap(study: &Study, model: &str) -> Option<Chart> {
    const MOST_LAYERS: usize = 40;
    let rows: Vec<&TensorRow> = study.measured().filter(|row| row.model == model).collect();
    let mut seen = BTreeSet::new();
    let all: Vec<&str> = rows.iter().map(|row| row.tensor.as_str()).filter(|name| seen.insert(*name)).collect();
    let layers = &all[..all.len().min(MOST_LAYERS)];
    let errors: BTreeMap<(&str, &str), f64> =
        rows.iter().map(|row| ((row.codec.as_str(), row.tensor.as_str()), row.relative_error())).collect();
    let lossy = |c: &&Contender| {
        !c.is_floor() && layers.iter().any(|layer| errors.get(&(c.codec.as_str(), *layer)).is_some_and(|e| *e > 0.0))
    };
    let contenders: Vec<&Contender> = study.contenders.iter().filter(lossy).collect();
    if contenders.is_empty() || layers.len() < 2 {
        return None;
    }
    let longest = layers.iter().map(|layer| layer.chars().count().min(26)).max().unwrap_or(0) as i32;
    let left = label_width(contenders.iter().map(|contender| contender.label.as_str()));
    let top = longest * 8 + 16;
    let cell = (BODY / layers.len() as i32).clamp(16, 62);
    let numbers = cell >= 36;
    let title = format!("Relative error of each layer: {}", study.model_title(model));
    let width = (left + cell * layers.len() as i32 + 16).max(520);
    let height = top + ROW * contenders.len() as i32 + 12;
    let svg = draw(width as u32, height as u32, &title, |canvas| {
        for (column, layer) in layers.iter().enumerate() {
            let x = left + cell * column as i32 + cell / 2;
            canvas.upward(&shorten(layer, 26), (x, top - 6), Anchor::Start, 12.0, INK);
        }
        for (line, contender) in contenders.iter().enumerate() {
            let y = top + ROW * line as i32;
            row_label(canvas, &contender.label, left, y + ROW / 2);
            for (column, layer) in layers.iter().enumerate() {
                let x = left + cell * column as i32;
                let Some(&error) = errors.get(&(contender.codec.as_str(), *layer)) else {
                    canvas.text("-", (x + cell / 2, y + ROW / 2), Anchor::Middle, 12.0, MUTED);
                    continue;
                };
                // .003 (8 bits) is pale, 1 (nothing left) is darkest.
                let level = if error.is_nan() { 1.0 } else { (error.max(1e-9).log10() + 2.5) / 2.5 };
                let (colour, ink) = heat(level);
                canvas.bar((x, y), (x + cell - 1, y + ROW - 1), colour, 1.0);
                if numbers {
                    canvas.text(&significant(error, 2), (x + cell / 2, y + ROW / 2), Anchor::Middle, 11.0, ink);
                }
                canvas.tip(
                    (x + cell / 2, y + ROW / 2),
                    &format!("{}, {layer}: {}", contender.label, significant(error, 3)),
                );
            }
        }
    });
    let mut caption = "Darker is worse; the scale is logarithmic from .003 to 1. The same codec spends the same options on every layer.".to_owned();
    if all.len() > layers.len() {
        caption += &format!(" The first {} of {} layers.", layers.len(), all.len());
    }
    Some(Chart { name: format!("heatmap-{}", slug(model)), title, caption, svg, linked: true, ..Chart::default() })
}
