//! What a stream holds, and the shape of it.

use seedpress_codec::{DecodeError, EncodedView};

use crate::packed::grid::Grid;

/// What a stream holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    /// A grid.
    Grid(Grid),
    /// Codes that mean more than a grid says: why, and what works instead.
    Other(&'static str, &'static str),
}

/// Rows, columns, weights and groups of a matrix whose groups have `group` columns (0: a whole row).
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) count: usize,
    pub(super) group: usize,
    /// Groups of all rows.
    pub(super) total: usize,
}

impl Shape {
    pub(super) fn of(encoded: &EncodedView<'_>, group: usize) -> Result<Self, DecodeError> {
        let &[rows, columns] = encoded.shape else { return Err(DecodeError::corrupt("no matrix")) };
        let group = if group == 0 { columns.max(1) } else { group.min(columns.max(1)) };
        let overflow = DecodeError::corrupt("the shape overflows");
        let total = rows.checked_mul(columns.div_ceil(group)).ok_or(overflow.clone())?;
        let count = rows.checked_mul(columns).ok_or(overflow)?;
        Ok(Self { rows, columns, count, group, total })
    }
}
