//! Sizes, names and words that several pictures share.

use std::collections::BTreeSet;

use crate::contender::Contender;
use crate::format::fixed;
use crate::study::{Point, Study};
use crate::style::Mark;

/// Width of a picture with two axes.
pub(super) const WIDTH: i32 = 760;

/// Bits a weight up to which axes reach. Casts to 16 bits and lossless rows lie beyond; captions name them.
pub(super) const MOST_BITS: f64 = 9.0;

pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A file name: lower-case letters, digits and hyphens.
pub(super) fn slug(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    text.chars().take(60).collect()
}

/// One legend entry for each series among contenders, in their order.
pub(super) fn legend<'a>(study: &Study, contenders: impl Iterator<Item = &'a Contender>) -> Vec<(Mark, String)> {
    let mut seen = BTreeSet::new();
    contenders
        .filter(|contender| seen.insert(contender.family()))
        .map(|contender| (study.mark(contender), contender.family()))
        .collect()
}

pub(super) fn describe(point: &Point) -> String {
    let sums = &point.sums;
    format!(
        "{}: {} bits per weight, SNR {} dB, gap {} dB",
        point.contender.label,
        fixed(sums.bits_per_weight(), 3),
        fixed(sums.snr(), 2),
        fixed(sums.gap(), 2)
    )
}

/// What lies beyond an axis, named in words.
pub(super) fn left_out<'a>(rows: impl Iterator<Item = (&'a Contender, f64)>) -> String {
    let names: Vec<String> =
        rows.map(|(contender, bits)| format!("{} ({} bits)", contender.label, fixed(bits, 2))).collect();
    if names.is_empty() { String::new() } else { format!(" Outside the picture: {}.", names.join(", ")) }
}
