//! What a model keeps of its metric against the size of its whole file.

use seedpress_results::{ModelRow, Status};

use super::labels::Labels;
use super::scatter::{Dot, lines, names, picture};
use super::shared::{MOST_BITS, WIDTH, left_out, legend, plain, slug};
use crate::canvas::{Anchor, Axis, Canvas, Frame};
use crate::contender::Contender;
use crate::document::Chart;
use crate::format::{fixed, significant};
use crate::study::Study;
use crate::style::LIMIT;

/// A model's metric against the size of its whole file: one chart for each metric.
pub(crate) fn metrics(study: &Study, model: &str) -> Vec<Chart> {
    study.metrics(model).into_iter().filter_map(|metric| metric_chart(study, model, metric)).collect()
}

/// Beyond this many times the uncompressed model's figure, a row is named below the picture.
const MOST_LOSS: f64 = 1.6;

/// A tick of a logarithmic axis, short at any size.
fn power(value: f64) -> String {
    if value < 0.001 { format!("{value:.0e}") } else { significant(value, 1) }
}

/// An error of this many times the least one is shown on a logarithm.
const WIDE: f64 = 30.0;

/// A contender's row, its bits and its value.
struct Entry<'a> {
    contender: &'a Contender,
    row: &'a ModelRow,
    bits: f64,
    value: f64,
}

/// What is drawn, and what lies beyond the picture: contenders with their bits.
fn sort_out<'a>(study: &'a Study, model: &'a str, metric: &str) -> (Vec<Entry<'a>>, Vec<(&'a Contender, f64)>) {
    let (mut points, mut beyond) = (Vec::new(), Vec::new());
    for contender in &study.contenders {
        for row in study.whole(contender, model).filter(|row| row.metric == metric && row.status == Status::Ok) {
            let bits = row.bits_per_weight();
            let Some(value) = row.compressed.filter(|value| value.is_finite() && bits.is_finite()) else { continue };
            if bits <= MOST_BITS && !contender.is_floor() {
                points.push(Entry { contender, row, bits, value });
            } else {
                beyond.push((contender, bits));
            }
        }
    }
    // A model that has lost its task would squeeze all others into a line.
    let most = points.first().and_then(|Entry { row, .. }| {
        row.baseline.filter(|baseline| !row.higher_is_better && *baseline > 0.0).map(|baseline| baseline * MOST_LOSS)
    });
    let lost = points.extract_if(.., |point| most.is_some_and(|most| point.value > most));
    beyond.extend(lost.map(|point| (point.contender, point.bits)));
    (points, beyond)
}

fn metric_chart(study: &Study, model: &str, metric: &str) -> Option<Chart> {
    let (points, beyond) = sort_out(study, model, metric);
    // What the rows of a metric have in common: the uncompressed model and the direction.
    let first = points.first()?.row;
    let entries = legend(study, points.iter().map(|point| point.contender));
    let (y, log) = value_axis(metric, first, &points);
    let most = points.iter().map(|point| point.bits).fold(1.0, f64::max);
    let frame = Frame {
        left: 74,
        top: 18,
        right: WIDTH - 18,
        bottom: 440,
        x: Axis::linear(0.0, most * 1.06, "bits per weight of the whole file", plain),
        y,
    };
    let title = format!("{metric} against size: {}", study.model_title(model));
    let loss = |row: &ModelRow, value: f64| if row.higher_is_better { -value } else { value };
    let dots = points.iter().map(|&Entry { contender, row, bits, value }| Dot {
        contender,
        bits,
        loss: loss(row, value),
        at: frame.at(bits, value),
    });
    let dots: Vec<Dot> = dots.collect();
    let svg = picture(&frame, &title, &entries, |canvas| {
        let mut labels = Labels::around(&frame, dots.iter().map(|dot| dot.at));
        uncompressed(canvas, &frame, first, log, &mut labels);
        lines(canvas, study, &dots, 1, |loss, best| loss <= best);
        for (Entry { contender, row, bits, value }, &Dot { at, .. }) in points.iter().zip(&dots) {
            let mark = study.mark(contender);
            if let Some([from, to]) = row.interval {
                let (_, top) = frame.at(*bits, to);
                let (_, bottom) = frame.at(*bits, from);
                canvas.line(&[(at.0, top), (at.0, bottom)], mark.colour, 1);
            }
            canvas.mark(mark, at, 6);
            canvas.tip(at, &format!("{}: {} b, {metric} {}", contender.label, fixed(*bits, 3), significant(*value, 4)));
        }
        names(canvas, &mut labels, &entries, dots.iter().rev(), dots.iter());
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

/// The axis of values, and whether it is logarithmic.
fn value_axis(metric: &str, first: &ModelRow, points: &[Entry]) -> (Axis, bool) {
    let own = || points.iter().map(|point| point.value);
    let values = own().chain(first.baseline).chain(first.baseline_interval.into_iter().flatten());
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    // An error whose best value is 0 has no place for it on a logarithm: the least error met stands at the bottom instead.
    let positive = own().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    let log = !first.higher_is_better && low >= 0.0 && positive.is_finite() && high / positive > WIDE;
    let direction = if first.higher_is_better { "more is better" } else { "less is better" };
    let name = format!("{metric} ({direction})");
    if log {
        let low = if low > 0.0 { low } else { positive };
        (Axis::log(low * 0.8, high * 1.2, &format!("{name}, logarithmic"), power), true)
    } else {
        let margin = (high - low).max(high.abs() * 0.01) * 0.06;
        (Axis::linear(low - margin, high + margin, &name, plain), false)
    }
}

/// The uncompressed model as a dashed line with its interval as a band.
fn uncompressed(canvas: &mut Canvas, frame: &Frame, first: &ModelRow, log: bool, labels: &mut Labels) {
    if let Some([from, to]) = first.baseline_interval.filter(|[from, to]| to > from) {
        let (_, top) = frame.at(1.0, to);
        let (_, bottom) = frame.at(1.0, from);
        canvas.bar((frame.left, top), (frame.right, bottom), LIMIT, 0.14);
    }
    let Some(baseline) = first.baseline.filter(|baseline| !log || *baseline > 0.0) else { return };
    let (_, y) = frame.at(1.0, baseline);
    canvas.dashed((frame.left, y), (frame.right, y), LIMIT, 2);
    let up = if first.higher_is_better { -11 } else { 12 };
    let text = format!("uncompressed {}", significant(baseline, 4));
    canvas.text(&text, (frame.left + 8, y + up), Anchor::Start, 13.0, LIMIT);
    labels.keep_free((frame.left, y + up - 8, frame.left + 160, y + up + 8));
}
