//! Behaviour over all models against size: the picture of the README.

use std::collections::BTreeMap;

use super::labels::Labels;
use super::{MOST_BITS, WIDTH, legend, plain};
use crate::average::{Average, average, models, reference};
use crate::canvas::{Axis, Frame, draw, legend_height};
use crate::contender::Contender;
use crate::document::Chart;
use crate::format::{fixed, significant};
use crate::study::Study;

/// Mean divergence against bits per weight of whole files.
pub fn behaviour(study: &Study) -> Option<Chart> {
    let models = models(study);
    let reference = reference(study)?;
    let average = |contender| Some((contender, average(study, contender, reference, &models)?));
    let fits = |point: &(&Contender, Average)| point.1.bits <= MOST_BITS && point.1.ratio > 0.0 && !point.0.is_floor();
    let points: Vec<(&Contender, Average)> = study.contenders.iter().filter_map(average).filter(fits).collect();
    if points.is_empty() || models.is_empty() {
        return None;
    }
    let range = |of: fn(&Average) -> f64| {
        points.iter().map(|point| of(&point.1)).fold((f64::INFINITY, 0.0f64), |(a, b), v| (a.min(v), b.max(v)))
    };
    let ((_, most), (low, high)) = (range(|a| a.bits), range(|a| a.ratio));
    let entries = legend(study, points.iter().map(|point| point.0));
    let what = format!("KL divergence, times that of {} (less is better), logarithmic", reference.label);
    let frame = Frame {
        left: 74,
        top: 18,
        right: WIDTH - 18,
        bottom: 480,
        x: Axis::linear(0.0, most * 1.06, "bits per weight of whole files", plain),
        y: Axis::log(low / 1.5, high * 1.5, &what, |value| significant(value, 1)),
    };
    let title = "Behaviour against size, over all models".to_owned();
    let height = frame.bottom + 52 + legend_height(WIDTH, &entries);
    let place = |average: &Average| frame.at(average.bits, average.ratio);
    let svg = draw(WIDTH as u32, height as u32, &title, |canvas| {
        frame.draw(canvas);
        for curve in curves(&points) {
            let mark = study.mark(curve[0].0);
            let ends: Vec<(i32, i32)> = curve.iter().map(|point| place(&point.1)).collect();
            for pair in ends.windows(2) {
                if mark.hollow {
                    canvas.dashed(pair[0], pair[1], mark.colour, 2);
                } else {
                    canvas.line(pair, mark.colour, 2);
                }
            }
        }
        let mut sorted: Vec<&(&Contender, Average)> = points.iter().collect();
        sorted.sort_by(|a, b| a.1.bits.total_cmp(&b.1.bits).then(a.1.ratio.total_cmp(&b.1.ratio)));
        let mut best = f64::INFINITY;
        for (contender, average) in sorted {
            let at = place(average);
            canvas.mark(study.mark(contender), at, 6);
            if average.ratio < best {
                best = average.ratio;
                canvas.ring(at, 10);
            }
            let (bits, ratio) = (fixed(average.bits, 3), significant(average.ratio, 3));
            canvas.tip(at, &format!("{}: {bits} bits per weight, {ratio} times {}", contender.label, reference.label));
        }
        let mut labels = Labels::around(&frame, points.iter().map(|point| place(&point.1)));
        for (_, name) in &entries {
            let own = points.iter().filter(|point| point.0.family() == *name);
            labels.write(canvas, name, &own.map(|point| place(&point.1)).collect::<Vec<_>>());
        }
        for (contender, average) in &points {
            labels.write(canvas, &contender.rate(), &[place(average)]);
        }
        canvas.legend(frame.bottom + 50, WIDTH, &entries);
    });
    let caption = format!(
        "Geometric mean over {} of the KL divergence to the uncompressed model, each as a ratio to {}'s. Rings: no row has both fewer bits and less \
         of it. Diamonds are calibrated, triangles sequential, stars planned, squares other programs; open marks stand behind an entropy stage; numbers are rates. Lossless \
         rows and casts lie outside.",
        models.join(", "),
        reference.label
    );
    Some(Chart { name: "behaviour".to_owned(), title, caption, svg, interactive: true, ..Chart::default() })
}

/// Of each curve the points where more bits bring less divergence.
fn curves<'a, 'b>(points: &'b [(&'a Contender, Average)]) -> Vec<Vec<&'b (&'a Contender, Average)>> {
    let mut curves: BTreeMap<String, Vec<&(&Contender, Average)>> = BTreeMap::new();
    for point in points {
        curves.entry(point.0.curve()).or_default().push(point);
    }
    for curve in curves.values_mut() {
        curve.sort_by(|a, b| a.1.bits.total_cmp(&b.1.bits));
        let mut best = f64::INFINITY;
        curve.retain(|point| {
            let keep = point.1.ratio < best;
            best = best.min(point.1.ratio);
            keep
        });
    }
    curves.into_values().collect()
}
