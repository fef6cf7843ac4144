//! Grids inside the streams of our codecs: codes are taken over as they are, since quantising what they decode to would give the same ones
//! only by luck.

pub mod gptq;
pub mod hqq;
pub mod rtn;

use seedpress_codec::{DecodeError, EncodedView};

use super::grid::Grid;

/// Codecs whose streams hold a grid.
pub const CODECS: &[&str] = &["rtn", "gptq", "awq", "hqq"];

/// What a stream holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    /// A grid.
    Grid(Grid),
    /// Codes that mean more than a grid says: why, and what works instead.
    Other(&'static str, &'static str),
}

/// The grid of a stream of `codec`; `None` where streams of this codec hold none.
///
/// # Errors
/// A damaged stream.
pub fn held(codec: &str, encoded: &EncodedView<'_>) -> Result<Option<Held>, DecodeError> {
    Ok(Some(match codec {
        "rtn" => Held::Grid(rtn::grid(encoded)?),
        "gptq" | "awq" => gptq::grid(encoded)?,
        "hqq" => Held::Grid(hqq::grid(encoded)?),
        _ => return Ok(None),
    }))
}

/// Rows, columns, weights and groups of a matrix whose groups have `group` columns (0: a whole row).
struct Shape {
    rows: usize,
    columns: usize,
    count: usize,
    group: usize,
    /// Groups of all rows.
    total: usize,
}

impl Shape {
    fn of(encoded: &EncodedView<'_>, group: usize) -> Result<Self, DecodeError> {
        let &[rows, columns] = encoded.shape else { return Err(DecodeError::corrupt("no matrix")) };
        let group = if group == 0 { columns.max(1) } else { group.min(columns.max(1)) };
        let overflow = DecodeError::corrupt("the shape overflows");
        let total = rows.checked_mul(columns.div_ceil(group)).ok_or(overflow.clone())?;
        let count = rows.checked_mul(columns).ok_or(overflow)?;
        Ok(Self { rows, columns, count, group, total })
    }
}
