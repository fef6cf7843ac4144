//! Quality after each layer of progressive codecs.

use seedpress_results::derive;

use super::labels::Labels;
use super::scatter::picture;
use super::shared::{WIDTH, legend, plain, slug};
use crate::canvas::{Anchor, Axis, Frame};
use crate::document::Chart;
use crate::format::fixed;
use crate::prefixes::prefix_sums;
use crate::study::{Scope, Study};
use crate::style::LIMIT;

/// Quality after each layer of progressive codecs.
pub(crate) fn prefixes(study: &Study, scope: Scope) -> Option<Chart> {
    let curves = prefix_sums(study, scope);
    let all: Vec<(f64, f64)> =
        curves.iter().flat_map(|(_, curve)| curve.iter().copied()).filter(|p| p.1 > 0.0).collect();
    if all.is_empty() {
        return None;
    }
    let entries = legend(study, curves.iter().map(|(contender, _)| *contender));
    let bits = all.iter().map(|p| p.0).fold(0.0, f64::max) * 1.08;
    let high = all.iter().map(|p| derive::snr_db(p.1)).fold(6.0, f64::max) * 1.12;
    let frame = Frame {
        left: 64,
        top: 18,
        right: WIDTH - 18,
        bottom: 420,
        x: Axis::linear(0.0, bits, "bits per weight read so far", plain),
        y: Axis::linear(0.0, high, "signal-to-noise ratio, dB (more is better)", plain),
    };
    let kind = if scope == Scope::Real { "real weights" } else { "synthetic weights" };
    let title = format!("Quality at each prefix: {kind}");
    let svg = picture(&frame, &title, &entries, |canvas| {
        let end = bits.min(high / 6.0206);
        canvas.dashed(frame.at(0.0, 0.0), frame.at(end, end * 6.0206), LIMIT, 2);
        let (x, y) = frame.at(end * 0.8, end * 0.8 * 6.0206);
        canvas.text("Gaussian source: Shannon limit", (x - 10, y - 8), Anchor::End, 13.0, LIMIT);
        let at = |&(bits, error): &(f64, f64)| frame.at(bits, derive::snr_db(error));
        let mut labels = Labels::around(&frame, all.iter().map(at));
        for (contender, curve) in &curves {
            let mark = study.mark(contender);
            let ends: Vec<(i32, i32)> = curve.iter().map(at).collect();
            canvas.line(&ends, mark.colour, 2);
            for (layer, point) in curve.iter().enumerate() {
                canvas.mark(mark, at(point), 6);
                let gap = derive::gap_to_shannon_db(point.1, point.0);
                canvas.tip(
                    at(point),
                    &format!(
                        "{}, {} layer(s): {} b, gap {} dB",
                        contender.label,
                        layer + 1,
                        fixed(point.0, 3),
                        fixed(gap, 2)
                    ),
                );
            }
        }
        for (contender, curve) in &curves {
            labels.write(canvas, &contender.label, &curve.iter().map(at).collect::<Vec<_>>());
        }
    });
    let caption = "Each mark is one more layer decoded from the same stream.".to_owned();
    Some(Chart { name: format!("prefixes-{}", slug(kind)), title, caption, svg, ..Chart::default() })
}
