//! Where the bytes go: the share of each role.

use std::collections::BTreeMap;

use super::bars::{BODY, ROW, label_width, line, row_label};
use super::shared::plain;
use crate::canvas::{Anchor, Axis, Frame, draw, legend_height};
use crate::document::Chart;
use crate::format::fixed;
use crate::study::{Point, Scope, Study};
use crate::style::{MUTED, Mark, Shape};

/// Where the bytes go: share of each role.
pub(crate) fn parts(study: &Study, scope: Scope) -> Option<Chart> {
    let points: Vec<Point> = study
        .points(scope)
        .into_iter()
        .filter(|p| !p.contender.is_floor() && p.sums.bytes > 0 && !p.sums.parts.is_empty())
        .collect();
    if points.is_empty() {
        return None;
    }
    let mut roles: BTreeMap<&str, u64> = BTreeMap::new();
    for (role, bytes) in points.iter().flat_map(|point| &point.sums.parts) {
        *roles.entry(role).or_default() += bytes;
    }
    let roles: Vec<&str> = roles.into_iter().filter(|(_, bytes)| *bytes > 0).map(|(role, _)| role).collect();
    let colour = |role: usize| Mark { shape: Shape::Square, ..Mark::number(role) };
    let entries: Vec<(Mark, String)> =
        roles.iter().enumerate().map(|(i, role)| (colour(i), (*role).to_owned())).collect();
    let left = label_width(points.iter().map(|point| point.contender.label.as_str()));
    let frame = Frame {
        left,
        top: 8,
        right: left + BODY,
        bottom: 12 + ROW * points.len() as i32,
        x: Axis::linear(0.0, 100.0, "share of all bytes written, %", plain),
        y: Axis::linear(0.0, 1.0, "", plain),
    };
    let title = format!("Where the bytes go: {}", scope.name());
    let width = frame.right + 96;
    let height = frame.bottom + 52 + legend_height(width, &entries);
    let svg = draw(width as u32, height as u32, &title, |canvas| {
        frame.draw_x(canvas);
        for (row, point) in points.iter().enumerate() {
            let y = line(frame.top, row);
            row_label(canvas, &point.contender.label, frame.left, y);
            let mut before = 0.0;
            for (index, role) in roles.iter().enumerate() {
                let bytes = point.sums.parts.get(*role).copied().unwrap_or(0);
                let share = 100.0 * bytes as f64 / point.sums.bytes as f64;
                if share > 0.0 {
                    let (from, to) = (frame.across(before), frame.across(before + share));
                    canvas.bar((from, y - 7), (to, y + 7), colour(index).colour, 0.95);
                    canvas
                        .tip(((from + to) / 2, y), &format!("{}: {role} {} %", point.contender.label, fixed(share, 2)));
                    before += share;
                }
            }
            let total = format!("{} bits", fixed(point.sums.bits_per_weight(), 2));
            canvas.text(&total, (frame.right + 8, y), Anchor::Start, 12.0, MUTED);
        }
        canvas.legend(frame.bottom + 50, width, &entries);
    });
    let caption = "The number at the right is the bits per weight that are shared out.".to_owned();
    Some(Chart { name: "where-the-bytes-go".to_owned(), title, caption, svg, ..Chart::default() })
}
