//! What pictures with one line a contender share: a column of names at the left.

use crate::canvas::{Anchor, Canvas};
use crate::format::shorten;
use crate::style::INK;

/// Height of a line.
pub(super) const ROW: i32 = 21;
/// Width of the part beside the names.
pub(super) const BODY: i32 = 450;
/// Characters of the longest name that is written out.
const LONGEST: usize = 46;

/// Width of the column that holds these names.
pub(super) fn label_width<'a>(labels: impl Iterator<Item = &'a str>) -> i32 {
    // 7.7 pixels is a generous mean over letters of a sans-serif face at 13 pixels.
    let longest = labels.map(|label| label.chars().count().min(LONGEST)).max().unwrap_or(0);
    (longest as i32 * 77 / 10 + 18).max(120)
}

/// Writes a name so that it ends before `left`.
pub(super) fn row_label(canvas: &Canvas, label: &str, left: i32, y: i32) {
    canvas.text(&shorten(label, LONGEST), (left - 8, y), Anchor::End, 13.0, INK);
}

/// Middle of a line, counted from the top of the first.
pub(super) fn line(top: i32, index: usize) -> i32 {
    top + 12 + ROW * index as i32
}
