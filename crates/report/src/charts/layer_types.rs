//! Compression ratio by layer type.

use std::collections::{BTreeMap, BTreeSet};

use seedpress_results::TensorRow;

use super::bars::{BODY, ROW, label_width, line, row_label};
use super::shared::{plain, slug};
use crate::canvas::{Axis, Frame, draw, legend_height};
use crate::contender::Contender;
use crate::document::Chart;
use crate::format::fixed;
use crate::study::{Scope, Study};
use crate::style::{GRID, Mark};

/// Compression ratio by layer type.
pub(crate) fn ratio_by_layer(study: &Study, scope: Scope) -> Option<Chart> {
    let synthetic = scope != Scope::Real;
    let rows = |row: &&TensorRow| row.synthetic == synthetic;
    let types: BTreeSet<&str> = study.measured().filter(rows).map(|row| row.layer_type.as_str()).collect();
    let types: Vec<&str> = types.into_iter().collect();
    let mut lines: BTreeMap<&str, Vec<(usize, f64)>> = BTreeMap::new();
    for (index, kind) in types.iter().enumerate() {
        for point in study.points_where(|row| row.synthetic == synthetic && row.layer_type == *kind) {
            lines.entry(&point.contender.codec).or_default().push((index, point.sums.ratio()));
        }
    }
    let most = lines.values().flatten().map(|(_, ratio)| *ratio).filter(|ratio| ratio.is_finite() && *ratio < 200.0);
    let most = most.fold(1.0, f64::max);
    let contenders: Vec<&Contender> =
        study.contenders.iter().filter(|c| lines.contains_key(c.codec.as_str()) && !c.is_floor()).collect();
    if contenders.is_empty() {
        return None;
    }
    let entries: Vec<(Mark, String)> =
        types.iter().enumerate().map(|(index, name)| (Mark::number(index), (*name).to_owned())).collect();
    let left = label_width(contenders.iter().map(|contender| contender.label.as_str()));
    let frame = Frame {
        left,
        top: 8,
        right: left + BODY,
        bottom: 12 + ROW * contenders.len() as i32,
        x: Axis::log(0.9, most * 1.15, "times smaller than 32-bit floats (logarithmic)", plain),
        y: Axis::linear(0.0, 1.0, "", plain),
    };
    let kind = if synthetic { "synthetic weights" } else { "real weights" };
    let title = format!("Compression ratio by layer type: {kind}");
    let width = frame.right + 24;
    let height = frame.bottom + 52 + legend_height(width, &entries);
    let svg = draw(width as u32, height as u32, &title, |canvas| {
        frame.draw_x(canvas);
        for (row, contender) in contenders.iter().enumerate() {
            let y = line(frame.top, row);
            row_label(canvas, &contender.label, frame.left, y);
            canvas.line(&[(frame.left, y + ROW / 2), (frame.right, y + ROW / 2)], GRID, 1);
            for &(index, ratio) in &lines[contender.codec.as_str()] {
                // Most codecs spend the same on every type: marks are staggered so that none hides another.
                let stagger = if types.len() > 1 { 12 * index as i32 / (types.len() as i32 - 1) - 6 } else { 0 };
                let at = (frame.across(ratio), y + stagger);
                canvas.mark(Mark::number(index), at, 4);
                canvas.tip(at, &format!("{}, {}: {}x", contender.label, types[index], fixed(ratio, 2)));
            }
        }
        canvas.legend(frame.bottom + 50, width, &entries);
    });
    let caption = "Marks of one codec are staggered from top to bottom in the order of the legend. Small tensors left to the small-tensor policy are not counted here.".to_owned();
    Some(Chart {
        name: format!("ratio-by-layer-{}", slug(kind)),
        title,
        caption,
        svg,
        linked: true,
        ..Chart::default()
    })
}
