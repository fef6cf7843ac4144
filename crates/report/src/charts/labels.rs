//! Names written beside points where there is room. A name that would cover a point or another name is left to the legend.

use crate::canvas::{Anchor, Canvas, Frame};
use crate::style::INK;

const SIZE: f64 = 12.0;

/// A box: left, top, right, bottom.
type Area = (i32, i32, i32, i32);

/// Names for series, placed greedily in the order given.
pub(super) struct Labels {
    taken: Vec<Area>,
    inside: Area,
}

impl Labels {
    /// Around points that must stay visible.
    pub(super) fn around(frame: &Frame, points: impl Iterator<Item = (i32, i32)>) -> Self {
        Self {
            taken: points.map(|(x, y)| (x - 7, y - 7, x + 7, y + 7)).collect(),
            inside: (frame.left + 2, frame.top, frame.right + 14, frame.bottom - 2),
        }
    }

    /// Keeps a box free of names.
    pub(super) fn keep_free(&mut self, area: Area) {
        self.taken.push(area);
    }

    /// Writes `name` beside one of its points, the last one first.
    pub(super) fn write(&mut self, canvas: &Canvas, name: &str, points: &[(i32, i32)]) {
        if name.is_empty() {
            return;
        }
        let width = name.chars().count() as i32 * 7;
        for &(x, y) in points.iter().rev() {
            let places = [
                (x + 11, y, Anchor::Start),
                (x - 11, y, Anchor::End),
                (x + 9, y + 13, Anchor::Start),
                (x - 9, y - 13, Anchor::End),
                (x + 9, y - 13, Anchor::Start),
                (x - 9, y + 13, Anchor::End),
                (x, y - 17, Anchor::Middle),
                (x, y + 17, Anchor::Middle),
            ];
            for (x, y, anchor) in places {
                let left = match anchor {
                    Anchor::Start => x,
                    Anchor::Middle => x - width / 2,
                    Anchor::End => x - width,
                };
                let area = (left, y - 7, left + width, y + 7);
                if self.is_free(area) {
                    canvas.text(name, (x, y), anchor, SIZE, INK);
                    self.taken.push(area);
                    return;
                }
            }
        }
    }

    fn is_free(&self, (left, top, right, bottom): Area) -> bool {
        let (least_x, least_y, most_x, most_y) = self.inside;
        let inside = left >= least_x && top >= least_y && right <= most_x && bottom <= most_y;
        inside && self.taken.iter().all(|other| other.2 < left || other.0 > right || other.3 < top || other.1 > bottom)
    }
}
