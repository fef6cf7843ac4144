//! What a model keeps of its metric against the size of its whole file.

use std::collections::BTreeMap;

use seedpress_results::{ModelRow, Status};

use super::labels::Labels;
use super::{MOST_BITS, WIDTH, left_out, legend, plain, slug};
use crate::canvas::{Anchor, Axis, Frame, draw, legend_height};
use crate::contender::Contender;
use crate::document::Chart;
use crate::format::{fixed, significant};
use crate::study::Study;
use crate::style::{LIMIT, Mark};

/// A model's metric against the size of its whole file: one chart for each metric.
pub fn metrics(study: &Study, model: &str) -> Vec<Chart> {
    study.metrics(model).into_iter().filter_map(|metric| metric_chart(study, model, metric)).collect()
}

/// Beyond this many times the uncompressed model's figure, a row is named below the picture.
const MOST_LOSS: f64 = 1.6;

/// A tick of a logarithmic axis, short at any size.
fn power(value: f64) -> String {
    if value < 0.001 { format!("{value:.0e}") } else { significant(value, 1) }
}

/// A contender, its row, its bits and its value.
type Entry<'a> = (&'a Contender, &'a ModelRow, f64, f64);

/// What lines run through: of each curve the points where more bits bring a better value.
fn improving(study: &Study, points: &[Entry], frame: &Frame) -> Vec<(Mark, Vec<(i32, i32)>)> {
    let mut curves: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for point in points {
        curves.entry(point.0.curve()).or_default().push(point);
    }
    let line = |mut curve: Vec<&Entry>| {
        curve.sort_by(|a, b| a.2.total_cmp(&b.2));
        let mut best = f64::INFINITY;
        curve.retain(|(_, row, _, value)| {
            let loss = if row.higher_is_better { -value } else { *value };
            let keep = loss <= best;
            best = best.min(loss);
            keep
        });
        let mark = curve.first().map(|point| study.mark(point.0))?;
        Some((mark, curve.iter().map(|(_, _, bits, value)| frame.at(*bits, *value)).collect()))
    };
    curves.into_values().filter_map(line).collect()
}

fn metric_chart(study: &Study, model: &str, metric: &str) -> Option<Chart> {
    let mut points = Vec::new();
    let mut beyond = Vec::new();
    for contender in &study.contenders {
        for row in study.whole(contender, model).filter(|row| row.metric == metric && row.status == Status::Ok) {
            let bits = row.bits_per_weight();
            if let Some(value) = row.compressed.filter(|value| value.is_finite())
                && bits.is_finite()
            {
                if bits <= MOST_BITS && !contender.is_floor() {
                    points.push((contender, row, bits, value));
                } else {
                    beyond.push((contender, bits));
                }
            }
        }
    }
    let (_, first, ..) = *points.first()?;
    // A model that has lost its task would squeeze all others into a line.
    let most = first.baseline.filter(|baseline| !first.higher_is_better && *baseline > 0.0).map(|b| b * MOST_LOSS);
    let lost = points.extract_if(.., |point| most.is_some_and(|most| point.3 > most));
    beyond.extend(lost.map(|(contender, _, bits, _)| (contender, bits)));
    if points.is_empty() {
        return None;
    }
    let entries = legend(study, points.iter().map(|point| point.0));
    let values =
        points.iter().map(|point| point.3).chain(first.baseline).chain(first.baseline_interval.into_iter().flatten());
    let (mut low, mut high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let margin = (high - low).max(high.abs() * 0.01) * 0.06;
    // An error whose best value is 0 has no place for it on a logarithm: the least error met stands at the bottom instead.
    let positive = points.iter().map(|point| point.3).filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    let log = !first.higher_is_better && low >= 0.0 && positive.is_finite() && high / positive > 30.0;
    let direction = if first.higher_is_better { "more is better" } else { "less is better" };
    let name = format!("{metric} ({direction})");
    let y = if log {
        Axis::log(if low > 0.0 { low } else { positive } * 0.8, high * 1.2, &format!("{name}, logarithmic"), power)
    } else {
        (low, high) = (low - margin, high + margin);
        Axis::linear(low, high, &name, plain)
    };
    let most = points.iter().map(|point| point.2).fold(1.0, f64::max);
    let frame = Frame {
        left: 74,
        top: 18,
        right: WIDTH - 18,
        bottom: 440,
        x: Axis::linear(0.0, most * 1.06, "bits per weight of the whole file", plain),
        y,
    };
    let title = format!("{metric} against size: {}", study.model_title(model));
    let height = frame.bottom + 52 + legend_height(WIDTH, &entries);
    let svg = draw(WIDTH as u32, height as u32, &title, |canvas| {
        frame.draw(canvas);
        if let Some([from, to]) = first.baseline_interval.filter(|[from, to]| to > from) {
            let (_, top) = frame.at(1.0, to);
            let (_, bottom) = frame.at(1.0, from);
            canvas.bar((frame.left, top), (frame.right, bottom), LIMIT, 0.14);
        }
        let mut labels = Labels::around(&frame, points.iter().map(|(_, _, bits, value)| frame.at(*bits, *value)));
        if let Some(baseline) = first.baseline.filter(|baseline| !log || *baseline > 0.0) {
            let (_, y) = frame.at(1.0, baseline);
            canvas.dashed((frame.left, y), (frame.right, y), LIMIT, 2);
            let up = if first.higher_is_better { -11 } else { 12 };
            let text = format!("uncompressed {}", significant(baseline, 4));
            canvas.text(&text, (frame.left + 8, y + up), Anchor::Start, 13.0, LIMIT);
            labels.keep_free((frame.left, y + up - 8, frame.left + 160, y + up + 8));
        }
        for (mark, ends) in improving(study, &points, &frame) {
            for pair in ends.windows(2) {
                if mark.hollow {
                    canvas.dashed(pair[0], pair[1], mark.colour, 1);
                } else {
                    canvas.line(pair, mark.colour, 1);
                }
            }
        }
        for (contender, row, bits, value) in &points {
            let mark = study.mark(contender);
            let at = frame.at(*bits, *value);
            if let Some([from, to]) = row.interval {
                let (_, top) = frame.at(*bits, to);
                let (_, bottom) = frame.at(*bits, from);
                canvas.line(&[(at.0, top), (at.0, bottom)], mark.colour, 1);
            }
            canvas.mark(mark, at, 6);
            canvas.tip(at, &format!("{}: {} b, {metric} {}", contender.label, fixed(*bits, 3), significant(*value, 4)));
        }
        for (_, name) in &entries {
            let own = points.iter().filter(|point| point.0.family() == *name);
            let places: Vec<(i32, i32)> = own.map(|(_, _, bits, value)| frame.at(*bits, *value)).rev().collect();
            labels.write(canvas, name, &places);
        }
        for (contender, _, bits, value) in &points {
            labels.write(canvas, &contender.rate(), &[frame.at(*bits, *value)]);
        }
        canvas.legend(frame.bottom + 50, WIDTH, &entries);
    });
    let mut caption = format!(
        "{} held-out samples. The dashed line is the uncompressed model, the band and the bars are 95 % bootstrap intervals. Lines join rows that differ in \
         nothing but their rate, where more bits bring a better figure. Diamonds are calibrated, triangles sequential, stars planned, squares other programs; open \
         marks stand behind an entropy stage.",
        first.samples
    );
    if let Some(baseline) = first.baseline.filter(|baseline| log && *baseline <= 0.0) {
        caption += &format!(" The uncompressed model's {} lies below any logarithm.", plain(baseline));
    }
    caption += &left_out(beyond.into_iter());
    Some(Chart {
        name: format!("metric-{}-{}", slug(model), slug(metric)),
        title,
        caption,
        svg,
        interactive: true,
        ..Chart::default()
    })
}
