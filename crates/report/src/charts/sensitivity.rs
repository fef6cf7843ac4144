//! What each tensor costs a model at each rate, everything else exact.

use std::collections::BTreeMap;

use seedpress_results::{PlanRow, SensitivityRow, derive};

use super::bars::{BODY, ROW, label_width, row_label};
use super::shared::slug;
use crate::canvas::{Anchor, draw};
use crate::document::Chart;
use crate::format::{fixed, shorten, significant};
use crate::study::Study;
use crate::style::{INK, MUTED, heat};

const MOST_TENSORS: usize = 60;
const MOST_CODECS: usize = 24;
/// Decades of colour: what is a millionth of the worst matters to nobody.
const LEAST_SHARE: f64 = 1e-6;
/// Characters of a codec's name that are written out.
const LONGEST: usize = 26;

/// What was measured of a model's tensors.
struct Grid<'a> {
    rows: Vec<&'a SensitivityRow>,
    /// In the order of the model.
    tensors: Vec<&'a str>,
    /// From few bits to many, by what they take over all tensors.
    codecs: Vec<&'a str>,
    /// Whether every divergence was measured; else cells are relative squared errors.
    measured: bool,
}

impl<'a> Grid<'a> {
    fn new(study: &'a Study, model: &str) -> Self {
        let rows = study.plans.iter().filter_map(|row| match row {
            PlanRow::Sensitivity(row) if row.model == model => Some(row),
            _ => None,
        });
        let rows: Vec<&SensitivityRow> = rows.collect();
        let mut tensors: Vec<&str> = Vec::new();
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
        let codecs = codecs.into_iter().map(|(codec, _)| codec).take(MOST_CODECS).collect();
        let measured = rows.iter().all(|row| row.divergence.is_some());
        Self { rows, tensors, codecs, measured }
    }

    fn value(&self, row: &SensitivityRow) -> f64 {
        let divergence = row.divergence.filter(|_| self.measured);
        divergence.unwrap_or_else(|| derive::relative_mse(row.squared_error, row.energy))
    }

    fn what(&self) -> &'static str {
        if self.measured { "divergence" } else { "relative squared error" }
    }

    /// How dark a value is, from 0 to 1.
    fn darkness(&self) -> impl Fn(f64) -> f64 {
        let positive = self.rows.iter().map(|row| self.value(row)).filter(|value| *value > 0.0);
        let (low, high) = positive.fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        let low = low.max(high * LEAST_SHARE);
        move |found| (found.max(low) / low).ln() / (high / low).ln().max(1e-9)
    }
}

/// Tensors by codecs, the divergence as colour; the relative squared error where no divergence was measured.
pub(crate) fn sensitivity(study: &Study, model: &str) -> Option<Chart> {
    let grid = Grid::new(study, model);
    if grid.tensors.len() < 2 || grid.codecs.is_empty() {
        return None;
    }
    let title = format!("Sensitivity: {} ({})", study.model_title(model), grid.what());
    let svg = paint(&grid, &title);
    let mut caption = if grid.measured {
        "How far the model's answers on calibration data (never the held-out data) move with this tensor alone compressed: mean \
         KL divergence in nats, or relative squared distance for vectors. Darker is worse, logarithmic."
            .to_owned()
    } else {
        "This model has no calibration data: plans weigh relative squared errors instead. Darker is worse, logarithmic."
            .to_owned()
    };
    if grid.tensors.len() > MOST_TENSORS {
        caption += &format!(" The first {MOST_TENSORS} of {} tensors.", grid.tensors.len());
    }
    Some(Chart { name: format!("sensitivity-{}", slug(model)), title, caption, svg, linked: true, ..Chart::default() })
}

fn paint(grid: &Grid, title: &str) -> String {
    let Grid { codecs, .. } = grid;
    let shown = &grid.tensors[..grid.tensors.len().min(MOST_TENSORS)];
    let cells: BTreeMap<(&str, &str), &SensitivityRow> =
        grid.rows.iter().map(|&row| ((row.tensor.as_str(), row.codec.as_str()), row)).collect();
    let longest = codecs.iter().map(|codec| codec.chars().count().min(LONGEST)).max().unwrap_or(0) as i32;
    let left = label_width(shown.iter().copied());
    let top = longest * 8 + 16;
    let cell = (BODY / codecs.len() as i32).clamp(20, 66);
    let numbers = cell >= 44;
    let width = (left + cell * codecs.len() as i32 + 16).max(520);
    let height = top + ROW * shown.len() as i32 + 12;
    let darkness = grid.darkness();
    draw(width as u32, height as u32, title, |canvas| {
        for (column, codec) in codecs.iter().enumerate() {
            let x = left + cell * column as i32 + cell / 2;
            canvas.upward(&shorten(codec, LONGEST), (x, top - 6), Anchor::Start, 12.0, INK);
        }
        for (line, tensor) in shown.iter().enumerate() {
            let y = top + ROW * line as i32;
            row_label(canvas, tensor, left, y + ROW / 2);
            for (column, codec) in codecs.iter().enumerate() {
                let x = left + cell * column as i32;
                let middle = (x + cell / 2, y + ROW / 2);
                let Some(row) = cells.get(&(*tensor, *codec)) else {
                    canvas.text("-", middle, Anchor::Middle, 12.0, MUTED);
                    continue;
                };
                let found = grid.value(row);
                let (colour, ink) = heat(darkness(found));
                canvas.bar((x, y), (x + cell - 1, y + ROW - 1), colour, 1.0);
                if numbers {
                    canvas.text(&short(found), middle, Anchor::Middle, 11.0, ink);
                }
                let bits = fixed(derive::bits_per_weight(row.bytes, row.weights), 2);
                let (what, found) = (grid.what(), significant(found, 3));
                canvas.tip(middle, &format!("{tensor}, {codec}, {bits} bits: {what} {found}"));
            }
        }
    })
}

/// At most six characters.
fn short(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e3).contains(&value) { format!("{value:.0e}") } else { significant(value, 2) }
}
