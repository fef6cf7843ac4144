//! A matrix inside a slice.

/// Element `(row, column)` lies at `row * row_stride + column * column_stride`. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// Rows of `columns` values that start `stride` values apart.
    ///
    /// # Panics
    /// If the matrix does not lie within the values.
    #[must_use]
    pub fn strided(values: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        let end = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(end <= values.len(), "the matrix lies within");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Rows of `columns` values that follow each other: as many as there are, none of no columns.
    #[must_use]
    pub fn new(values: &'a [T], columns: usize) -> Self {
        Self::strided(values, values.len().checked_div(columns).unwrap_or(0), columns, columns)
    }

    /// Its rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.rows
    }

    /// Its columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns
    }

    /// The transpose.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Some of its rows.
    ///
    /// # Panics
    /// If they lie outside.
    #[must_use]
    pub fn rows(self, from: usize, count: usize) -> Self {
        assert!(from + count <= self.rows, "the rows lie within");
        let values = if count == 0 { &[] } else { &self.values[from * self.row_stride..] };
        Self { values, rows: count, ..self }
    }

    /// Some of its columns.
    ///
    /// # Panics
    /// If they lie outside.
    #[must_use]
    pub fn columns(self, from: usize, count: usize) -> Self {
        self.t().rows(from, count).t()
    }

    /// The slice from the first element on.
    pub(crate) fn values(&self) -> &'a [T] {
        self.values
    }

    /// From one row to the next, and from one column to the next.
    pub(crate) fn strides(&self) -> (usize, usize) {
        (self.row_stride, self.column_stride)
    }
}
