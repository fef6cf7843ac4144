//! Bits against error: the rate-distortion frontier, and the gap to the Shannon limit.

use super::labels::Labels;
use super::scatter::{Dot, lines, names, picture};
use super::shared::{MOST_BITS, WIDTH, describe, left_out, legend, plain};
use crate::canvas::{Anchor, Axis, Canvas, Frame};
use crate::document::Chart;
use crate::study::{Point, Scope, Study, frontier};
use crate::style::LIMIT;

/// Gaps beyond this many decibels lie outside the picture.
const WIDEST_GAP: f64 = 10.0;

/// Decibels that a bit is worth at the Shannon limit: `20 log10(2)`.
fn decibels_per_bit() -> f64 {
    20.0 * 2f64.log10()
}

/// Bits against a quality: the rate-distortion frontier, or the gap to the limit.
pub(crate) fn rates(study: &Study, scope: Scope, gap: bool) -> Option<Chart> {
    let points = study.points(scope);
    let value = |point: &Point| if gap { point.sums.gap() } else { point.sums.snr() };
    let inside = |point: &&Point| {
        let (bits, value) = (point.sums.bits_per_weight(), value(point));
        value.is_finite() && bits <= MOST_BITS && !point.contender.is_floor() && (!gap || value <= WIDEST_GAP)
    };
    let (shown, beyond): (Vec<&Point>, Vec<&Point>) = points.iter().partition(|point| inside(point));
    if shown.is_empty() {
        return None;
    }
    let entries = legend(study, shown.iter().map(|point| point.contender));
    let (frame, bits, high) = frame(&shown, gap);
    let front = frontier(&points);
    let name = if gap { "Gap to the Shannon limit" } else { "Rate-distortion frontier" };
    let title = format!("{name}: {}", scope.name());
    let dots = shown.iter().map(|point| {
        let (bits, loss) = (point.sums.bits_per_weight(), point.sums.relative_mse());
        Dot { contender: point.contender, bits, loss, at: frame.at(bits, value(point)) }
    });
    let dots: Vec<Dot> = dots.collect();
    let svg = picture(&frame, &title, &entries, |canvas| {
        let limit = limit(canvas, &frame, bits, (!gap).then_some(high));
        lines(canvas, study, &dots, 2, |error, best| error < best);
        for (point, dot) in shown.iter().zip(&dots) {
            canvas.mark(study.mark(dot.contender), dot.at, 6);
            if front.iter().any(|other| other.contender.codec == dot.contender.codec) {
                canvas.ring(dot.at, 10);
            }
            canvas.tip(dot.at, &describe(point));
        }
        let mut labels = Labels::around(&frame, dots.iter().map(|dot| dot.at));
        labels.keep_free(limit);
        names(canvas, &mut labels, &entries, dots.iter(), dots.iter());
    });
    let mut caption = format!(
        "Sums over all tensors above the small-tensor policy, {}. Ringed points are on the Pareto frontier; open marks with dashed \
         lines stand for a codec behind an entropy stage; diamonds are calibrated, triangles sequential, stars planned, squares other programs.",
        scope.name()
    );
    caption += &left_out(beyond.iter().map(|point| (point.contender, point.sums.bits_per_weight())));
    let partial: Vec<&str> =
        shown.iter().filter(|point| point.partial).map(|point| point.contender.label.as_str()).collect();
    if !partial.is_empty() {
        caption += &format!(" Not on all tensors, so never on the frontier: {}.", partial.join(", "));
    }
    let kind = if gap { "gap" } else { "rate-distortion" };
    let place = if scope == Scope::Real { "real" } else { "gaussian" };
    Some(Chart { name: format!("{kind}-{place}"), title, caption, svg, interactive: true, ..Chart::default() })
}

/// The frame of these points, how many bits it reaches and how many decibels.
fn frame(shown: &[&Point], gap: bool) -> (Frame, f64, f64) {
    let most = |of: fn(&Point) -> f64| shown.iter().map(|point| of(point)).fold(0.0, f64::max);
    let least = |of: fn(&Point) -> f64| shown.iter().map(|point| of(point)).fold(0.0, f64::min);
    let bits = most(|point| point.sums.bits_per_weight()) * 1.05;
    let (low, high, title) = if gap {
        let (low, high) = (least(|point| point.sums.gap()), most(|point| point.sums.gap()));
        (low * 1.1, high * 1.1, "gap to the Shannon limit, dB (less is better)")
    } else {
        let (low, high) = (least(|point| point.sums.snr()), most(|point| point.sums.snr()));
        (low, high.max(6.0) * 1.08, "signal-to-noise ratio, dB (more is better)")
    };
    let frame = Frame {
        left: 64,
        top: 18,
        right: WIDTH - 18,
        bottom: 500,
        x: Axis::linear(0.0, bits, "bits per weight, all bytes counted", plain),
        y: Axis::linear(low, high, title, plain),
    };
    (frame, bits, high)
}

/// Draws the Shannon limit up to `bits`: of gaps a level line, else one that rises to at most `high` decibels. Returns the box of its name.
fn limit(canvas: &mut Canvas, frame: &Frame, bits: f64, high: Option<f64>) -> (i32, i32, i32, i32) {
    let name = "Gaussian source: Shannon limit";
    let Some(high) = high else {
        canvas.dashed(frame.at(0.0, 0.0), frame.at(bits, 0.0), LIMIT, 2);
        let (x, y) = frame.at(bits, 0.0);
        canvas.text(name, (x - 4, y - 11), Anchor::End, 13.0, LIMIT);
        return (x - 250, y - 19, x, y - 3);
    };
    let decibels = decibels_per_bit();
    let end = bits.min(high / decibels);
    canvas.dashed(frame.at(0.0, 0.0), frame.at(end, end * decibels), LIMIT, 2);
    let (x, y) = frame.at(end * 0.82, end * 0.82 * decibels);
    canvas.text(name, (x - 12, y - 8), Anchor::End, 13.0, LIMIT);
    (x - 202, y - 16, x - 12, y)
}
