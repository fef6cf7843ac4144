//! Encode and decode speed as bars, fastest first.

use std::collections::BTreeSet;

use super::bars::{BODY, ROW, label_width, line, row_label};
use super::shared::plain;
use crate::canvas::{Anchor, Axis, Frame, draw};
use crate::document::Chart;
use crate::format::per_second;
use crate::study::{Scope, Study};
use crate::style::{INK, LIMIT, Mark};

/// A bar.
struct Bar {
    label: String,
    mark: Mark,
    value: f64,
    tip: String,
}

/// Encode or decode speed of every contender.
pub(crate) fn speed(study: &Study, scope: Scope, decode: bool) -> Option<Chart> {
    let points = study.points(scope);
    let mut threads = BTreeSet::new();
    let mut bars = Vec::new();
    for point in points.iter().filter(|point| !point.contender.is_floor()) {
        let speed = if decode { point.sums.decode_speed() } else { point.sums.encode_speed() };
        if let Some(value) = speed {
            threads.extend(if decode { &point.sums.decode_threads } else { &point.sums.threads });
            let tip = format!("{}: {} weights/s", point.contender.label, per_second(value));
            bars.push(Bar { label: point.contender.label.clone(), mark: study.mark(point.contender), value, tip });
        }
    }
    bars.sort_by(|a, b| b.value.total_cmp(&a.value));
    let roof = study.run.memcpy_bytes_per_second / 4.0;
    let roof = (decode && roof > 0.0 && roof.is_finite()).then_some(roof);
    let low = bars.iter().map(|bar| bar.value).fold(f64::INFINITY, f64::min);
    let high = bars.iter().map(|bar| bar.value).chain(roof).fold(0.0, f64::max);
    if bars.is_empty() || !high.is_finite() {
        return None;
    }
    let verb = if decode { "Decode" } else { "Encode" };
    let low = 10f64.powf((low * 0.8).log10().floor());
    let left = label_width(bars.iter().map(|bar| bar.label.as_str()));
    let frame = Frame {
        left,
        top: 26,
        right: left + BODY,
        bottom: 30 + ROW * bars.len() as i32,
        x: Axis::log(low, high * 1.3, "weights per second (logarithmic)", per_second),
        y: Axis::linear(0.0, 1.0, "", plain),
    };
    let title = format!("{verb} speed: {}", scope.name());
    let svg = draw((frame.right + 74) as u32, (frame.bottom + 54) as u32, &title, |canvas| {
        frame.draw_x(canvas);
        for (index, bar) in bars.iter().enumerate() {
            let y = line(frame.top, index);
            let x = frame.across(bar.value);
            row_label(canvas, &bar.label, frame.left, y);
            canvas.bar((frame.left, y - 7), (x, y + 7), bar.mark.colour, if bar.mark.hollow { 0.6 } else { 0.95 });
            // A figure that would lie across the roof stands behind it.
            let roof = roof.map(|roof| frame.across(roof)).filter(|roof| (x..x + 54).contains(roof));
            canvas.text(&per_second(bar.value), (roof.unwrap_or(x) + 6, y), Anchor::Start, 12.0, INK);
            canvas.tip((x, y), &bar.tip);
        }
        if let Some(roof) = roof {
            let x = frame.across(roof);
            canvas.dashed((x, frame.top - 4), (x, frame.bottom), LIMIT, 2);
            canvas.text(&format!("memcpy {}", per_second(roof)), (x, 12), Anchor::Middle, 13.0, LIMIT);
        }
    });
    let threads: Vec<String> = threads.iter().map(usize::to_string).collect();
    let mut caption = format!(
        "Weights over median seconds, tensor by tensor, {} thread(s) in the timed section. The floor row is in the table only.",
        threads.join(" or ")
    );
    if roof.is_some() {
        caption += " The roof is a plain copy of the same weights as 32-bit floats in the same run.";
    }
    Some(Chart { name: format!("{}-speed", verb.to_lowercase()), title, caption, svg, ..Chart::default() })
}
