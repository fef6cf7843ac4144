//! The pictures.

use std::collections::{BTreeMap, BTreeSet};

use seedpress_results::{Status, TensorRow, derive};

use crate::canvas::{Anchor, Axis, Canvas, Frame, draw, legend_height};
use crate::document::Chart;
use crate::format::{fixed, per_second, shorten, significant};
use crate::study::{Contender, Point, Scope, Study, frontier};
use crate::style::{INK, LIMIT, MUTED, Mark, heat};

const WIDTH: i32 = 760;

fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A file name: lower-case letters, digits and hyphens.
fn slug(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    text.chars().take(60).collect()
}

/// One legend entry for each series among contenders, in their order.
fn legend<'a>(study: &Study, contenders: impl Iterator<Item = &'a Contender>) -> Vec<(Mark, String)> {
    let mut seen = BTreeSet::new();
    contenders
        .filter(|contender| seen.insert(contender.family()))
        .map(|contender| (study.mark(contender), contender.family()))
        .collect()
}

fn describe(point: &Point) -> String {
    let sums = &point.sums;
    format!(
        "{}: {} bits per weight, SNR {} dB, gap {} dB",
        point.contender.label,
        fixed(sums.bits_per_weight(), 3),
        fixed(sums.snr(), 2),
        fixed(sums.gap(), 2)
    )
}

/// What a series' line runs through: the points where more bits bring less error.
fn runs<'a, 'b>(points: &[&'b Point<'a>]) -> Vec<Vec<&'b Point<'a>>> {
    let mut families: BTreeMap<String, Vec<&Point>> = BTreeMap::new();
    for &point in points {
        families.entry(point.contender.family()).or_default().push(point);
    }
    for run in families.values_mut() {
        run.sort_by(|a, b| a.sums.bits_per_weight().total_cmp(&b.sums.bits_per_weight()));
        let mut best = f64::INFINITY;
        run.retain(|point| {
            let keep = point.sums.relative_mse() < best;
            best = best.min(point.sums.relative_mse());
            keep
        });
    }
    families.into_values().collect()
}

/// Bits against a quality: the rate-distortion frontier, or the gap to the limit.
pub fn rates(study: &Study, scope: Scope, gap: bool) -> Option<Chart> {
    const MOST_BITS: f64 = 9.0;
    const WIDEST_GAP: f64 = 10.0;
    let points = study.points(scope);
    let value = |point: &Point| if gap { point.sums.gap() } else { point.sums.snr() };
    let inside = |point: &&Point| {
        let (bits, value) = (point.sums.bits_per_weight(), value(point));
        value.is_finite() && bits <= MOST_BITS && !point.contender.is_floor() && (!gap || value <= WIDEST_GAP)
    };
    let (shown, left_out): (Vec<&Point>, Vec<&Point>) = points.iter().partition(|point| inside(point));
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
        if gap {
            canvas.dashed(frame.at(0.0, 0.0), frame.at(bits, 0.0), LIMIT, 2);
            let (x, y) = frame.at(bits, 0.0);
            canvas.text("Shannon limit of a Gaussian source", (x - 4, y - 11), Anchor::End, 13.0, LIMIT);
        } else {
            let end = bits.min(high / decibels);
            let to = frame.at(end, end * decibels);
            canvas.dashed(frame.at(0.0, 0.0), to, LIMIT, 2);
            let from = frame.at(end * 0.82, end * 0.82 * decibels);
            canvas.text("Shannon limit, 6.02 dB a bit", (from.0 - 12, from.1 - 8), Anchor::End, 13.0, LIMIT);
        }
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
        for point in &shown {
            let at = frame.at(point.sums.bits_per_weight(), value(point));
            canvas.mark(study.mark(point.contender), at, 6);
            if front.iter().any(|other| other.contender.codec == point.contender.codec) {
                canvas.ring(at, 10);
            }
            canvas.tip(at, &describe(point));
        }
        canvas.legend(frame.bottom + 50, WIDTH, &entries);
    });
    let mut caption = format!(
        "Sums over all tensors above the small-tensor policy, {}. Ringed points are on the Pareto frontier; open marks with dashed \
         lines stand for a codec behind an entropy stage.",
        scope.name()
    );
    if !left_out.is_empty() {
        let names: Vec<String> = left_out
            .iter()
            .map(|point| format!("{} ({} b)", point.contender.label, fixed(point.sums.bits_per_weight(), 2)))
            .collect();
        caption += &format!(" Outside the picture: {}.", names.join(", "));
    }
    let partial: Vec<&str> =
        shown.iter().filter(|point| point.partial).map(|point| point.contender.label.as_str()).collect();
    if !partial.is_empty() {
        caption += &format!(" Not on all tensors, so never on the frontier: {}.", partial.join(", "));
    }
    let kind = if gap { "gap" } else { "rate-distortion" };
    let place = if scope == Scope::Real { "real" } else { "gaussian" };
    Some(Chart { name: format!("{kind}-{place}"), title, caption, svg })
}

/// A row of a bar chart.
struct Bar {
    label: String,
    mark: Mark,
    value: f64,
    tip: String,
}

const ROW: i32 = 21;
const LABELS: i32 = 236;

fn row_label(canvas: &Canvas, label: &str, y: i32) {
    canvas.text(&shorten(label, 28), (LABELS - 8, y), Anchor::End, 13.0, INK);
}

/// Encode or decode speed of every contender.
pub fn speed(study: &Study, scope: Scope, decode: bool) -> Option<Chart> {
    let points = study.points(scope);
    let mut threads = BTreeSet::new();
    let mut bars = Vec::new();
    for point in &points {
        let speed = if decode { point.sums.decode_speed() } else { point.sums.encode_speed() };
        if let Some(value) = speed {
            threads.extend(point.sums.threads.iter().copied());
            let tip = format!("{}: {} weights/s", point.contender.label, per_second(value));
            bars.push(Bar { label: point.contender.label.clone(), mark: study.mark(point.contender), value, tip });
        }
    }
    bars.sort_by(|a, b| b.value.total_cmp(&a.value));
    let roof = study.run.memcpy_bytes_per_second / 4.0;
    let roof = (decode && roof > 0.0 && roof.is_finite()).then_some(roof);
    let low = bars.iter().map(|bar| bar.value).fold(f64::INFINITY, f64::min);
    let high = bars.iter().map(|bar| bar.value).chain(roof).fold(0.0, f64::max);
    if bars.is_empty() || !high.is_finite() {
        return None;
    }
    let verb = if decode { "Decode" } else { "Encode" };
    let low = 10f64.powf((low * 0.8).log10().floor());
    let frame = Frame {
        left: LABELS,
        top: 26,
        right: WIDTH - 70,
        bottom: 30 + ROW * bars.len() as i32,
        x: Axis::log(low, high * 1.3, "weights per second (logarithmic)", per_second),
        y: Axis::linear(0.0, 1.0, "", plain),
    };
    let title = format!("{verb} speed: {}", scope.name());
    let svg = draw(WIDTH as u32, (frame.bottom + 54) as u32, &title, |canvas| {
        frame.draw_x(canvas);
        for (index, bar) in bars.iter().enumerate() {
            let y = frame.top + 12 + ROW * index as i32;
            let x = frame.across(bar.value);
            row_label(canvas, &bar.label, y);
            canvas.bar((frame.left, y - 7), (x, y + 7), bar.mark.colour, if bar.mark.hollow { 0.6 } else { 0.95 });
            canvas.text(&per_second(bar.value), (x + 6, y), Anchor::Start, 12.0, INK);
            canvas.tip((x, y), &bar.tip);
        }
        if let Some(roof) = roof {
            let x = frame.across(roof);
            canvas.dashed((x, frame.top - 4), (x, frame.bottom), LIMIT, 2);
            canvas.text(&format!("memcpy {}", per_second(roof)), (x, 12), Anchor::Middle, 13.0, LIMIT);
        }
    });
    let threads: Vec<String> = threads.iter().map(usize::to_string).collect();
    let mut caption = format!(
        "Weights over median seconds, tensor by tensor, {} thread(s) in the timed section.",
        threads.join(" or ")
    );
    if roof.is_some() {
        caption += " The roof is a plain copy of the same weights as 32-bit floats in the same run.";
    }
    Some(Chart { name: format!("{}-speed", verb.to_lowercase()), title, caption, svg })
}

/// Compression ratio by layer type.
pub fn ratio_by_layer(study: &Study, scope: Scope) -> Option<Chart> {
    let synthetic = scope != Scope::Real;
    let rows = |row: &&TensorRow| row.synthetic == synthetic;
    let types: BTreeSet<&str> = study.measured().filter(rows).map(|row| row.layer_type.as_str()).collect();
    let types: Vec<&str> = types.into_iter().collect();
    let mut lines: BTreeMap<&str, Vec<(usize, f64)>> = BTreeMap::new();
    for (index, kind) in types.iter().enumerate() {
        for point in study.points_where(|row| row.synthetic == synthetic && row.layer_type == *kind) {
            lines.entry(&point.contender.codec).or_default().push((index, point.sums.ratio()));
        }
    }
    let most = lines.values().flatten().map(|(_, ratio)| *ratio).filter(|ratio| ratio.is_finite() && *ratio < 200.0);
    let most = most.fold(1.0, f64::max);
    let contenders: Vec<&Contender> =
        study.contenders.iter().filter(|c| lines.contains_key(c.codec.as_str()) && !c.is_floor()).collect();
    if contenders.is_empty() {
        return None;
    }
    let entries: Vec<(Mark, String)> =
        types.iter().enumerate().map(|(index, name)| (Mark::number(index), (*name).to_owned())).collect();
    let frame = Frame {
        left: LABELS,
        top: 8,
        right: WIDTH - 24,
        bottom: 12 + ROW * contenders.len() as i32,
        x: Axis::log(0.9, most * 1.15, "times smaller than 32-bit floats (logarithmic)", plain),
        y: Axis::linear(0.0, 1.0, "", plain),
    };
    let kind = if synthetic { "synthetic weights" } else { "real weights" };
    let title = format!("Compression ratio by layer type: {kind}");
    let height = frame.bottom + 52 + legend_height(WIDTH, &entries);
    let svg = draw(WIDTH as u32, height as u32, &title, |canvas| {
        frame.draw_x(canvas);
        for (row, contender) in contenders.iter().enumerate() {
            let y = frame.top + 12 + ROW * row as i32;
            row_label(canvas, &contender.label, y);
            for &(index, ratio) in &lines[contender.codec.as_str()] {
                let at = (frame.across(ratio), y);
                canvas.mark(Mark::number(index), at, 5);
                canvas.tip(at, &format!("{}, {}: {}x", contender.label, types[index], fixed(ratio, 2)));
            }
        }
        canvas.legend(frame.bottom + 50, WIDTH, &entries);
    });
    let caption = "Small tensors left to the small-tensor policy are not counted here.".to_owned();
    Some(Chart { name: format!("ratio-by-layer-{}", slug(kind)), title, caption, svg })
}

/// A model's metric against the size of its whole file: one chart for each metric.
pub fn metrics(study: &Study, model: &str) -> Vec<Chart> {
    let of_model = || study.models.iter().filter(|row| row.model == model && row.status == Status::Ok);
    let names: BTreeSet<&str> = of_model().map(|row| row.metric.as_str()).filter(|name| !name.is_empty()).collect();
    names.into_iter().filter_map(|metric| metric_chart(study, model, metric)).collect()
}

fn metric_chart(study: &Study, model: &str, metric: &str) -> Option<Chart> {
    let mut points = Vec::new();
    for contender in &study.contenders {
        for row in study.whole(contender, model).filter(|row| row.metric == metric && row.status == Status::Ok) {
            let bits = row.bits_per_weight();
            if let Some(value) = row.compressed.filter(|value| value.is_finite())
                && bits <= 17.0
                && bits.is_finite()
                && !contender.is_floor()
            {
                points.push((contender, row, bits, value));
            }
        }
    }
    let (_, first, ..) = *points.first()?;
    let entries = legend(study, points.iter().map(|point| point.0));
    let values =
        points.iter().map(|point| point.3).chain(first.baseline).chain(first.baseline_interval.into_iter().flatten());
    let (mut low, mut high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let margin = (high - low).max(high.abs() * 0.01) * 0.06;
    let log = low > 0.0 && high / low > 30.0 && !first.higher_is_better;
    let direction = if first.higher_is_better { "more is better" } else { "less is better" };
    let name = format!("{metric} ({direction})");
    let y = if log {
        Axis::log(low * 0.9, high * 1.1, &format!("{name}, logarithmic"), |value| significant(value, 2))
    } else {
        (low, high) = (low - margin, high + margin);
        Axis::linear(low, high, &name, plain)
    };
    let bits = points.iter().map(|point| point.2);
    let (fewest, most) = bits.fold((f64::INFINITY, 0.0), |(a, b): (f64, f64), v| (a.min(v), b.max(v)));
    let frame = Frame {
        left: 74,
        top: 18,
        right: WIDTH - 18,
        bottom: 440,
        x: Axis::log(fewest * 0.9, most * 1.1, "bits per weight of the whole file (logarithmic)", plain),
        y,
    };
    let title = format!("{metric} against size: {}", study.model_title(model));
    let height = frame.bottom + 52 + legend_height(WIDTH, &entries);
    let svg = draw(WIDTH as u32, height as u32, &title, |canvas| {
        frame.draw(canvas);
        if let Some([from, to]) = first.baseline_interval {
            let (_, top) = frame.at(1.0, to);
            let (_, bottom) = frame.at(1.0, from);
            canvas.bar((frame.left, top), (frame.right, bottom), LIMIT, 0.14);
        }
        if let Some(baseline) = first.baseline {
            let (_, y) = frame.at(1.0, baseline);
            canvas.dashed((frame.left, y), (frame.right, y), LIMIT, 2);
            let up = if first.higher_is_better { -11 } else { 12 };
            let text = format!("uncompressed {}", significant(baseline, 4));
            canvas.text(&text, (frame.left + 8, y + up), Anchor::Start, 13.0, LIMIT);
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
        canvas.legend(frame.bottom + 50, WIDTH, &entries);
    });
    let caption = format!(
        "{} held-out samples. The dashed line is the uncompressed model, the band and the bars are 95 % bootstrap intervals.",
        first.samples
    );
    Some(Chart { name: format!("metric-{}-{}", slug(model), slug(metric)), title, caption, svg })
}

/// Bits and SNR after each layer of the progressive contenders, over the tensors of a scope.
pub fn prefix_sums(study: &Study, scope: Scope) -> Vec<(&Contender, Vec<(f64, f64)>)> {
    let mut curves = Vec::new();
    for contender in &study.contenders {
        let rows: Vec<&TensorRow> = study
            .measured()
            .filter(|row| {
                row.codec == contender.codec && row.synthetic == (scope != Scope::Real) && row.prefixes.len() > 1
            })
            .collect();
        let layers = rows.iter().map(|row| row.prefixes.len()).max().unwrap_or(0);
        let weights: u64 = rows.iter().map(|row| row.weights).sum();
        let energy: f64 = rows.iter().map(|row| row.energy).sum();
        let curve: Vec<(f64, f64)> = (0..layers)
            .map(|layer| {
                // A tensor with fewer layers is complete at its last one.
                let prefixes = rows.iter().filter_map(|row| row.prefixes.get(layer).or(row.prefixes.last()));
                let (bytes, error) =
                    prefixes.fold((0, 0.0), |(b, e), prefix| (b + prefix.bytes, e + prefix.squared_error));
                (derive::bits_per_weight(bytes, weights), derive::relative_mse(error, energy))
            })
            .collect();
        if curve.len() > 1 {
            curves.push((contender, curve));
        }
    }
    curves
}

/// Quality after each layer of progressive codecs.
pub fn prefixes(study: &Study, scope: Scope) -> Option<Chart> {
    let curves = prefix_sums(study, scope);
    let all: Vec<(f64, f64)> =
        curves.iter().flat_map(|(_, curve)| curve.iter().copied()).filter(|p| p.1 > 0.0).collect();
    if all.is_empty() {
        return None;
    }
    let entries: Vec<(Mark, String)> = curves
        .iter()
        .enumerate()
        .map(|(index, (contender, _))| (Mark::number(index), contender.label.clone()))
        .collect();
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
    let height = frame.bottom + 52 + legend_height(WIDTH, &entries);
    let svg = draw(WIDTH as u32, height as u32, &title, |canvas| {
        frame.draw(canvas);
        let end = bits.min(high / 6.0206);
        canvas.dashed(frame.at(0.0, 0.0), frame.at(end, end * 6.0206), LIMIT, 2);
        let (x, y) = frame.at(end * 0.8, end * 0.8 * 6.0206);
        canvas.text("Shannon limit", (x - 10, y - 8), Anchor::End, 13.0, LIMIT);
        for (index, (contender, curve)) in curves.iter().enumerate() {
            let at = |&(bits, error): &(f64, f64)| frame.at(bits, derive::snr_db(error));
            let ends: Vec<(i32, i32)> = curve.iter().map(at).collect();
            canvas.line(&ends, Mark::number(index).colour, 2);
            for (layer, point) in curve.iter().enumerate() {
                canvas.mark(Mark::number(index), at(point), 6);
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
        canvas.legend(frame.bottom + 50, WIDTH, &entries);
    });
    let caption = "Each mark is one more layer decoded from the same stream.".to_owned();
    Some(Chart { name: format!("prefixes-{}", slug(kind)), title, caption, svg })
}

/// Where the bytes go: share of each role.
pub fn parts(study: &Study, scope: Scope) -> Option<Chart> {
    let points: Vec<Point> =
        study.points(scope).into_iter().filter(|p| p.sums.bytes > 0 && !p.sums.parts.is_empty()).collect();
    if points.is_empty() {
        return None;
    }
    let mut roles: BTreeMap<&str, u64> = BTreeMap::new();
    for (role, bytes) in points.iter().flat_map(|point| &point.sums.parts) {
        *roles.entry(role).or_default() += bytes;
    }
    let roles: Vec<&str> = roles.into_iter().filter(|(_, bytes)| *bytes > 0).map(|(role, _)| role).collect();
    let colour = |role: usize| Mark { shape: crate::style::Shape::Square, ..Mark::number(role) };
    let entries: Vec<(Mark, String)> =
        roles.iter().enumerate().map(|(i, role)| (colour(i), (*role).to_owned())).collect();
    let frame = Frame {
        left: LABELS,
        top: 8,
        right: WIDTH - 86,
        bottom: 12 + ROW * points.len() as i32,
        x: Axis::linear(0.0, 100.0, "share of all bytes written, %", plain),
        y: Axis::linear(0.0, 1.0, "", plain),
    };
    let title = format!("Where the bytes go: {}", scope.name());
    let height = frame.bottom + 52 + legend_height(WIDTH, &entries);
    let svg = draw(WIDTH as u32, height as u32, &title, |canvas| {
        frame.draw_x(canvas);
        for (row, point) in points.iter().enumerate() {
            let y = frame.top + 12 + ROW * row as i32;
            row_label(canvas, &point.contender.label, y);
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
            let total = format!("{} b/w", significant(point.sums.bits_per_weight(), 3));
            canvas.text(&total, (frame.right + 8, y), Anchor::Start, 12.0, MUTED);
        }
        canvas.legend(frame.bottom + 50, WIDTH, &entries);
    });
    let caption = "The number at the right is the bits per weight that are shared out.".to_owned();
    Some(Chart { name: "where-the-bytes-go".to_owned(), title, caption, svg })
}

/// Relative error of each layer of a model under each codec.
pub fn heatmap(study: &Study, model: &str) -> Option<Chart> {
    const MOST_LAYERS: usize = 40;
    let rows: Vec<&TensorRow> = study.measured().filter(|row| row.model == model).collect();
    let mut seen = BTreeSet::new();
    let all: Vec<&str> = rows.iter().map(|row| row.tensor.as_str()).filter(|name| seen.insert(*name)).collect();
    let layers = &all[..all.len().min(MOST_LAYERS)];
    let errors: BTreeMap<(&str, &str), f64> =
        rows.iter().map(|row| ((row.codec.as_str(), row.tensor.as_str()), row.relative_error())).collect();
    let lossy = |c: &&Contender| {
        !c.is_floor() && layers.iter().any(|layer| errors.get(&(c.codec.as_str(), *layer)).is_some_and(|e| *e > 0.0))
    };
    let contenders: Vec<&Contender> = study.contenders.iter().filter(lossy).collect();
    if contenders.is_empty() || layers.len() < 2 {
        return None;
    }
    let longest = layers.iter().map(|layer| layer.chars().count().min(26)).max().unwrap_or(0) as i32;
    let (left, top) = (LABELS, longest * 8 + 16);
    let cell = ((WIDTH - left - 16) / layers.len() as i32).clamp(13, 62);
    let numbers = cell >= 36;
    let title = format!("Relative error of each layer: {}", study.model_title(model));
    let width = (left + cell * layers.len() as i32 + 16).max(520);
    let height = top + ROW * contenders.len() as i32 + 12;
    let svg = draw(width as u32, height as u32, &title, |canvas| {
        for (column, layer) in layers.iter().enumerate() {
            let x = left + cell * column as i32 + cell / 2;
            canvas.upward(&shorten(layer, 26), (x, top - 6), Anchor::Start, 12.0, INK);
        }
        for (line, contender) in contenders.iter().enumerate() {
            let y = top + ROW * line as i32;
            row_label(canvas, &contender.label, y + ROW / 2);
            for (column, layer) in layers.iter().enumerate() {
                let x = left + cell * column as i32;
                let Some(&error) = errors.get(&(contender.codec.as_str(), *layer)) else {
                    canvas.text("-", (x + cell / 2, y + ROW / 2), Anchor::Middle, 12.0, MUTED);
                    continue;
                };
                // .003 (8 bits) is pale, 1 (nothing left) is darkest.
                let level = if error.is_nan() { 1.0 } else { (error.max(1e-9).log10() + 2.5) / 2.5 };
                let (colour, ink) = heat(level);
                canvas.bar((x, y), (x + cell - 1, y + ROW - 1), colour, 1.0);
                if numbers {
                    canvas.text(&significant(error, 2), (x + cell / 2, y + ROW / 2), Anchor::Middle, 11.0, ink);
                }
                canvas.tip(
                    (x + cell / 2, y + ROW / 2),
                    &format!("{}, {layer}: {}", contender.label, significant(error, 3)),
                );
            }
        }
    });
    let mut caption = "Darker is worse; the scale is logarithmic from .003 to 1. The same codec spends the same options on every layer.".to_owned();
    if all.len() > layers.len() {
        caption += &format!(" The first {} of {} layers.", layers.len(), all.len());
    }
    Some(Chart { name: format!("heatmap-{}", slug(model)), title, caption, svg })
}

/// Values of a swept option, and what they brought.
type Sweep<'a, 'b> = Vec<(f64, &'b Point<'a>)>;

/// Quality against encode speed for every option, other than the rate, that was swept.
pub fn trade_offs(study: &Study) -> Vec<Chart> {
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
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
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
    Some(Chart { name: format!("trade-off-{}-{}", slug(family), slug(key)), title, caption, svg })
}
