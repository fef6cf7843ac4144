//! Weights as columns.

/// A matrix, column by column.
pub struct Matrix {
    /// Numbers in a column.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Column-major.
    pub values: Vec<f32>,
}

impl Matrix {
    /// The numbers of a column.
    pub fn column(&self, column: usize) -> &[f32] {
        &self.values[column * self.rows..][..self.rows]
    }
}
