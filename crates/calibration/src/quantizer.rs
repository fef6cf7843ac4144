//! What a sweep asks of whoever quantises its columns.

/// Columns whose errors are handed on together, unless a quantiser asks for others.
const BLOCK: usize = 128;

/// What a sweep asks for every column, or every few. Closures `(columns, aims, out)` are quantisers.
///
/// Rows are those handed to [`sweep`](crate::sweep), matrices are column-major: all rows of the first column, then all of the second.
pub trait Quantizer {
    /// Columns whose errors are handed on together: more of them make larger products, fewer stay in the cache where columns are long. It
    /// is part of what makes an encoder's bytes: sums inside a block and between blocks round differently.
    fn block(&self) -> usize {
        BLOCK
    }

    /// After how many columns [`prepare`](Self::prepare) is called; never if 0.
    fn group(&self) -> usize {
        0
    }

    /// Called before the first column of each group with the group's columns and what they aim at together: to fit grids to them.
    fn prepare(&mut self, _columns: &[usize], _aims: &[f32]) {}

    /// Writes what these columns (stored indices, in the order of the sweep) become: `out` as `aims`.
    fn quantize(&mut self, columns: &[usize], aims: &[f32], out: &mut [f32]);
}

impl<F: FnMut(&[usize], &[f32], &mut [f32])> Quantizer for F {
    fn quantize(&mut self, columns: &[usize], aims: &[f32], out: &mut [f32]) {
        self(columns, aims, out);
    }
}
