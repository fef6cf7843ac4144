//! Behaviour over all models against size: the picture of the README.

use super::labels::Labels;
use super::scatter::{Dot, lines, names, picture};
use super::shared::{MOST_BITS, WIDTH, legend, plain};
use crate::average::{Average, average, models, reference};
use crate::canvas::{Axis, Frame};
use crate::contender::Contender;
use crate::document::Chart;
use crate::format::{fixed, significant};
use crate::study::Study;

/// Mean divergence against bits per weight of whole files.
pub(crate) fn behaviour(study: &Study) -> Option<Chart> {
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
    let dots = points.iter().map(|(contender, average)| {
        let at = frame.at(average.bits, average.ratio);
        Dot { contender, bits: average.bits, loss: average.ratio, at }
    });
    let dots: Vec<Dot> = dots.collect();
    let svg = picture(&frame, &title, &entries, |canvas| {
        lines(canvas, study, &dots, 2, |ratio, best| ratio < best);
        let mut sorted: Vec<&Dot> = dots.iter().collect();
        sorted.sort_by(|a, b| a.bits.total_cmp(&b.bits).then(a.loss.total_cmp(&b.loss)));
        let mut best = f64::INFINITY;
        for &Dot { contender, bits, loss, at } in sorted {
            canvas.mark(study.mark(contender), at, 6);
            if loss < best {
                best = loss;
                canvas.ring(at, 10);
            }
            let (bits, ratio) = (fixed(bits, 3), significant(loss, 3));
            canvas.tip(at, &format!("{}: {bits} bits per weight, {ratio} times {}", contender.label, reference.label));
        }
        let mut labels = Labels::around(&frame, dots.iter().map(|dot| dot.at));
        names(canvas, &mut labels, &entries, dots.iter(), dots.iter());
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
