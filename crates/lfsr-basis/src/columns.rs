//! The sequence laid out for decoding: every column of a window is one contiguous load.
//!
//! Column `p` of the window that starts at value `s` is `x[s + p], x[s + p + P], ..`. Row `r` of this table holds
//! `x[r], x[r + P], x[r + 2P], ..` for `r < P`, so the column is a run in row `(s + p) mod P` from place `(s + p) div P` on. Each row
//! goes on past the end of the cycle, so that no run wraps around.

use std::sync::Arc;

use crate::cache::Cache;
use crate::sequence::Sequence;

/// A sequence de-interleaved for windows of `columns` columns and up to [`Columns::RUN`] rows.
#[derive(Debug)]
pub struct Columns {
    values: Vec<f32>,
    /// Values in a row of the table.
    stride: usize,
    columns: usize,
    /// `(s mod P) << 24 | s div P`, by seed: where the window of the seed begins.
    starts: Vec<u32>,
}

static TABLES: Cache<(crate::Register, u32, usize), Columns> = Cache::new(32 << 20);

impl Columns {
    /// Rows a window may have.
    pub const RUN: usize = 64;

    /// The table of a sequence, shared while it is in use often.
    pub fn new(sequence: &Sequence, columns: usize) -> Arc<Self> {
        let key = (sequence.register(), sequence.decimation(), columns);
        let bytes = Self::memory(sequence.register().width(), columns);
        TABLES.get(key, bytes, || Self::build(sequence, columns))
    }

    /// Upper bound of the bytes the table takes.
    pub const fn memory(width: u32, columns: usize) -> usize {
        (8 << width) + 4 * columns * (Self::RUN + 4)
    }

    fn build(sequence: &Sequence, columns: usize) -> Self {
        let period = sequence.len();
        let stride = (period + 1).div_ceil(columns) + Self::RUN + 2;
        let values = (0..columns).flat_map(|row| (0..stride).map(move |at| (row + at * columns) % period));
        let values = values.map(|position| sequence.values()[position]).collect();
        let mut starts = vec![0; period + 1];
        for (position, &state) in sequence.states().iter().enumerate() {
            let start = position + 1;
            starts[state as usize] = (start % columns << 24 | start / columns) as u32;
        }
        Self { values, stride, columns, starts }
    }

    /// Where the window of `seed` begins: a name for [`column`](Self::column).
    #[inline]
    pub fn start(&self, seed: u32) -> u32 {
        self.starts[seed as usize]
    }

    /// Where each column of a window begins in [`values`](Self::values), relative to the low 24 bits of its
    /// [`start`](Self::start); indexed by the high 8 bits of the start, then by column.
    pub fn offsets<const COLUMNS: usize>(&self) -> [[u32; COLUMNS]; COLUMNS] {
        std::array::from_fn(|residue| std::array::from_fn(|column| self.offset(residue, column)))
    }

    fn offset(&self, residue: usize, column: usize) -> u32 {
        let at = residue + column;
        (at % self.columns * self.stride + at / self.columns) as u32
    }

    /// The first `rows <=` [`RUN`](Self::RUN) values of a column of the window that begins at `start`.
    #[inline]
    pub fn column(&self, start: u32, column: usize, rows: usize) -> &[f32] {
        let at = (start & 0xFF_FFFF) + self.offset((start >> 24) as usize, column);
        &self.values[at as usize..][..rows]
    }

    /// The table itself.
    #[inline]
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_window() {
        for (width, columns) in [(2, 1), (3, 6), (8, 2), (8, 3), (10, 4), (11, 5), (12, 6)] {
            let sequence = Sequence::new(width, None, 1).unwrap();
            let table = Columns::new(&sequence, columns);
            for seed in (1..=sequence.register().period()).step_by(1 + sequence.len() / 300) {
                let window = sequence.basis(seed, columns * 16);
                for column in 0..columns {
                    let expected: Vec<f32> = window.iter().copied().skip(column).step_by(columns).collect();
                    assert_eq!(table.column(table.start(seed), column, 16), expected);
                }
            }
        }
    }
}
