//! The sequence laid out for decoding: every column of a window is one contiguous load.
//!
//! Column `p` of the window that starts at value `s` is `x[s + p], x[s + p + P], ..`. Row `r` of this table holds
//! `x[r], x[r + P], x[r + 2P], ..`, so the column is a run in row `s mod P + p`; with `2P - 1` rows no wrap-around is needed.

use std::sync::Arc;

use crate::cache::Cache;
use crate::sequence::Sequence;

/// A sequence de-interleaved for windows of `columns` columns and up to [`Columns::RUN`] rows.
#[derive(Debug)]
pub struct Columns {
    values: Vec<f32>,
    /// Values in a row of the table.
    stride: usize,
    /// Where column 0 of a seed's window begins, by seed.
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
        (12 << width) + 8 * columns * (Self::RUN + 4)
    }

    fn build(sequence: &Sequence, columns: usize) -> Self {
        let period = sequence.len();
        let stride = (period + 1).div_ceil(columns) + Self::RUN;
        let values = (0..2 * columns - 1).flat_map(|row| (0..stride).map(move |at| (row + at * columns) % period));
        let values = values.map(|position| sequence.values()[position]).collect();
        let mut starts = vec![0; period + 1];
        for (position, &state) in sequence.states().iter().enumerate() {
            let start = position + 1;
            starts[state as usize] = (start % columns * stride + start / columns) as u32;
        }
        Self { values, stride, starts }
    }

    /// Where column 0 of the window of `seed` begins; column `p` begins `p` strides later.
    #[inline]
    pub fn start(&self, seed: u32) -> usize {
        self.starts[seed as usize] as usize
    }

    /// The distance of neighbouring columns.
    #[inline]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The table itself.
    #[inline]
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
