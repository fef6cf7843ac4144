//! Quality against encode speed along a swept option.

use std::collections::BTreeMap;

use super::shared::{WIDTH, describe, plain, slug};
use crate::canvas::{Anchor, Axis, Frame, draw};
use crate::document::Chart;
use crate::format::per_second;
use crate::study::{Point, Scope, Study};
use crate::style::INK;

/// Values of a swept option, and what they brought.
type Sweep<'a, 'b> = Vec<(f64, &'b Point<'a>)>;

/// Quality against encode speed for every option, other than the rate, that was swept.
pub(crate) fn trade_offs(study: &Study) -> Vec<Chart> {
    let scope = if study.tensors.iter().any(|row| !row.synthetic) { Scope::Real } else { Scope::Gaussian };
    let points = study.points(scope);
    let mut groups: BTreeMap<(String, String), BTreeMap<String, Sweep>> = BTreeMap::new();
    for point in &points {
        let Some(options) = point.contender.options.as_object() else { continue };
        for (key, value) in options.iter().filter(|(key, _)| !matches!(key.as_str(), "bits" | "layers" | "level")) {
            if let Some(value) = value.as_f64() {
                let mut others = options.clone();
                others.remove(key);
                let rest = serde_json::Value::Object(others).to_string();
                groups
                    .entry((point.contender.family(), key.clone()))
                    .or_default()
                    .entry(rest)
                    .or_default()
                    .push((value, point));
            }
        }
    }
    let swept = groups.into_iter().filter_map(|((family, key), lines)| {
        let lines: Vec<Vec<(f64, &Point)>> = lines.into_values().filter(|line| line.len() > 2).collect();
        trade_off(study, &family, &key, lines, scope)
    });
    swept.collect()
}

fn trade_off(
    study: &Study,
    family: &str,
    key: &str,
    mut lines: Vec<Vec<(f64, &Point)>>,
    scope: Scope,
) -> Option<Chart> {
    lines.iter_mut().for_each(|line| {
        line.retain(|(_, point)| point.sums.encode_speed().is_some() && point.sums.relative_error().is_finite());
        // By error, not by the option: 0 may stand for everything.
        line.sort_by(|a, b| a.1.sums.relative_error().total_cmp(&b.1.sums.relative_error()));
    });
    let all: Vec<(f64, f64)> = lines
        .iter()
        .flatten()
        .filter_map(|(_, point)| point.sums.encode_speed().map(|speed| (speed, point.sums.relative_error())))
        .collect();
    if all.len() < 3 {
        return None;
    }
    let range =
        |of: fn(&(f64, f64)) -> f64| all.iter().map(of).fold((f64::INFINITY, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
    let ((slow, fast), (good, bad)) = (range(|p| p.0), range(|p| p.1));
    let frame = Frame {
        left: 74,
        top: 18,
        right: WIDTH - 30,
        bottom: 360,
        x: Axis::log(slow * 0.7, fast * 1.5, "weights encoded per second (logarithmic)", per_second),
        y: Axis::linear(
            (good - (bad - good) * 0.15).max(0.0),
            bad + (bad - good) * 0.15,
            "relative error (less is better)",
            plain,
        ),
    };
    let title = format!("{family}: what {key} buys ({})", scope.name());
    let svg = draw(WIDTH as u32, (frame.bottom + 54) as u32, &title, |canvas| {
        frame.draw(canvas);
        for line in &lines {
            let ends: Vec<(i32, i32)> = line
                .iter()
                .map(|(_, p)| frame.at(p.sums.encode_speed().unwrap_or(slow), p.sums.relative_error()))
                .collect();
            if let Some((_, first)) = line.first() {
                let mark = study.mark(first.contender);
                canvas.line(&ends, mark.colour, 2);
                for ((value, point), &at) in line.iter().zip(&ends) {
                    canvas.mark(mark, at, 6);
                    canvas.text(&plain(*value), (at.0 + 9, at.1 - 9), Anchor::Start, 13.0, INK);
                    canvas.tip(at, &describe(point));
                }
            }
        }
    });
    let caption = format!("Numbers at the marks are values of {key}; all other options are equal along a line.");
    Some(Chart { name: format!("trade-off-{}-{}", slug(family), slug(key)), title, caption, svg, ..Chart::default() })
}
