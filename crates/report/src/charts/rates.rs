//! Bits against error: the rate-distortion frontier, and the gap to the Shannon limit.

use std::collections::BTreeMap;

use super::labels::Labels;
use super::{MOST_BITS, WIDTH, describe, left_out, legend, plain};
use crate::canvas::{Anchor, Axis, Frame, draw, legend_height};
use crate::document::Chart;
use crate::study::{Point, Scope, Study, frontier};
use crate::style::LIMIT;

/// What lines run through: of each curve the points where more bits bring less error.
fn runs<'a, 'b>(points: &[&'b Point<'a>]) -> Vec<Vec<&'b Point<'a>>> {
    let mut curves: BTreeMap<String, Vec<&Point>> = BTreeMap::new();
    for &point in points {
        curves.entry(point.contender.curve()).or_default().push(point);
    }
    for run in curves.values_mut() {
        run.sort_by(|a, b| a.sums.bits_per_weight().total_cmp(&b.sums.bits_per_weight()));
        let mut best = f64::INFINITY;
        run.retain(|point| {
            let keep = point.sums.relative_mse() < best;
            best = best.min(point.sums.relative_mse());
            keep
        });
    }
    curves.into_values().collect()
}

/// Bits against a quality: the rate-distortion frontier, or the gap to the limit.
pub fn rates(study: &Study, scope: Scope, gap: bool) -> Option<Chart> {
    const WIDEST_GAP: f64 = 10.0;
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
    let most = |of: fn(&Point) -> f64| shown.iter().map(|point| of(point)).fold(0.0, f64::max);
    let bits = most(|point| point.sums.bits_per_weight()) * 1.05;
    let (low, high, title) = if gap {
        let low = shown.iter().map(|point| point.sums.gap()).fold(0.0, f64::min);
        (low * 1.1, most(|point| point.sums.gap()) * 1.1, "gap to the Shannon limit, dB (less is better)")
    } else {
        let low = shown.iter().map(|point| point.sums.snr()).fold(0.0, f64::min);
        (low, most(|point| point.sums.snr()).max(6.0) * 1.08, "signal-to-noise ratio, dB (more is better)")
    };
    let frame = Frame {
        left: 64,
        top: 18,
        right: WIDTH - 18,
        bottom: 500,
        x: Axis::linear(0.0, bits, "bits per weight, all bytes counted", plain),
        y: Axis::linear(low, high, title, plain),
    };
    let front = frontier(&points);
    let name = if gap { "Gap to the Shannon limit" } else { "Rate-distortion frontier" };
    let title = format!("{name}: {}", scope.name());
    let height = frame.bottom + 52 + legend_height(WIDTH, &entries);
    let svg = draw(WIDTH as u32, height as u32, &title, |canvas| {
        frame.draw(canvas);
        let decibels = 20.0 * 2f64.log10();
        let limit = if gap {
            canvas.dashed(frame.at(0.0, 0.0), frame.at(bits, 0.0), LIMIT, 2);
            let (x, y) = frame.at(bits, 0.0);
            canvas.text("Gaussian source: Shannon limit", (x - 4, y - 11), Anchor::End, 13.0, LIMIT);
            (x - 250, y - 19, x, y - 3)
        } else {
            let end = bits.min(high / decibels);
            let to = frame.at(end, end * decibels);
            canvas.dashed(frame.at(0.0, 0.0), to, LIMIT, 2);
            let from = frame.at(end * 0.82, end * 0.82 * decibels);
            canvas.text("Gaussian source: Shannon limit", (from.0 - 12, from.1 - 8), Anchor::End, 13.0, LIMIT);
            (from.0 - 202, from.1 - 16, from.0 - 12, from.1)
        };
        for run in runs(&shown) {
            let mark = study.mark(run[0].contender);
            for pair in run.windows(2) {
                let ends = [pair[0], pair[1]].map(|p| frame.at(p.sums.bits_per_weight(), value(p)));
                if mark.hollow {
                    canvas.dashed(ends[0], ends[1], mark.colour, 2);
                } else {
                    canvas.line(&ends, mark.colour, 2);
                }
            }
        }
        let place = |point: &Point| frame.at(point.sums.bits_per_weight(), value(point));
        for point in &shown {
            let at = place(point);
            canvas.mark(study.mark(point.contender), at, 6);
            if front.iter().any(|other| other.contender.codec == point.contender.codec) {
                canvas.ring(at, 10);
            }
            canvas.tip(at, &describe(point));
        }
        let mut labels = Labels::around(&frame, shown.iter().map(|point| place(point)));
        labels.keep_free(limit);
        for (_, name) in &entries {
            let own = shown.iter().filter(|point| point.contender.family() == *name);
            labels.write(canvas, name, &own.map(|point| place(point)).collect::<Vec<_>>());
        }
        for point in &shown {
            labels.write(canvas, &point.contender.rate(), &[place(point)]);
        }
        canvas.legend(frame.bottom + 50, WIDTH, &entries);
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
