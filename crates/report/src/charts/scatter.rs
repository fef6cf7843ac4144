//! What pictures of contenders as points share: lines along a rate, names beside points, the legend below.

use std::collections::BTreeMap;

use super::labels::Labels;
use super::shared::WIDTH;
use crate::canvas::{Canvas, Frame, draw, legend_height};
use crate::contender::Contender;
use crate::study::Study;
use crate::style::Mark;

/// A contender at one rate.
pub(super) struct Dot<'a> {
    pub contender: &'a Contender,
    pub bits: f64,
    /// What more bits should lower.
    pub loss: f64,
    pub at: (i32, i32),
}

/// A picture with a frame and a legend.
pub(super) fn picture(
    frame: &Frame,
    title: &str,
    entries: &[(Mark, String)],
    paint: impl FnOnce(&mut Canvas),
) -> String {
    let height = frame.bottom + 52 + legend_height(WIDTH, entries);
    draw(WIDTH as u32, height as u32, title, |canvas| {
        frame.draw(canvas);
        paint(canvas);
        canvas.legend(frame.bottom + 50, WIDTH, entries);
    })
}

/// Joins points that differ in nothing but their rate, where more bits bring less loss; `improves(loss, best so far)` says what is less.
pub(super) fn lines(canvas: &mut Canvas, study: &Study, dots: &[Dot], width: u32, improves: fn(f64, f64) -> bool) {
    let mut curves: BTreeMap<String, Vec<&Dot>> = BTreeMap::new();
    for dot in dots {
        curves.entry(dot.contender.curve()).or_default().push(dot);
    }
    for mut curve in curves.into_values() {
        curve.sort_by(|a, b| a.bits.total_cmp(&b.bits));
        let mut best = f64::INFINITY;
        curve.retain(|dot| {
            let keep = improves(dot.loss, best);
            best = best.min(dot.loss);
            keep
        });
        let Some(mark) = curve.first().map(|dot| study.mark(dot.contender)) else { continue };
        for pair in curve.windows(2) {
            let ends = [pair[0].at, pair[1].at];
            if mark.hollow {
                canvas.dashed(ends[0], ends[1], mark.colour, width);
            } else {
                canvas.line(&ends, mark.colour, width);
            }
        }
    }
}

/// Names each family beside one of its points, the last ones first, and then every point by its rate, where there is room.
pub(super) fn names<'a>(
    canvas: &Canvas,
    labels: &mut Labels,
    entries: &[(Mark, String)],
    dots: impl Iterator<Item = &'a Dot<'a>> + Clone,
    rates: impl Iterator<Item = &'a Dot<'a>>,
) {
    for (_, name) in entries {
        let own: Vec<_> = dots.clone().filter(|dot| dot.contender.family() == *name).map(|dot| dot.at).collect();
        labels.write(canvas, name, &own);
    }
    for dot in rates {
        labels.write(canvas, &dot.contender.rate(), &[dot.at]);
    }
}
