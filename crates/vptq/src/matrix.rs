//! Weights as columns.

/// A matrix, column by column.
pub(crate) struct Matrix {
    /// Numbers in a column.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Column-major.
    pub values: Vec<f32>,
}

impl Matrix {
    /// The numbers of a column.
    pub(crate) fn column(&self, column: usize) -> &[f32] {
        &self.values[column * self.rows..][..self.rows]
    }
}
