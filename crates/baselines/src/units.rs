//! Runs of weights that share a scale: rows cut every so many weights, numbered in row-major order.

use std::ops::Range;

/// How a flattened tensor is cut. The last unit of a row may be short.
pub(crate) struct Units {
    pub columns: usize,
    pub unit: usize,
    pub per_row: usize,
    pub total: usize,
}

impl Units {
    /// Rows of `columns` weights cut every `unit`; 0 is a whole row. `None` where the number of units overflows.
    pub(crate) fn new((rows, columns): (usize, usize), unit: usize) -> Option<Self> {
        let unit = if unit == 0 { columns } else { unit.min(columns) }.max(1);
        let per_row = columns.div_ceil(unit);
        Some(Self { columns, unit, per_row, total: rows.checked_mul(per_row)? })
    }

    /// Calls `each` for every stretch of the weights `first .. first + count` that shares a unit: its number, and where the stretch
    /// lies counted from `first`. So work can be cut where it suits the threads, whatever the units.
    pub(crate) fn stretches(&self, first: usize, count: usize, mut each: impl FnMut(usize, Range<usize>)) {
        let (row, mut column) = (first / self.columns, first % self.columns);
        let mut number = row * self.per_row + column / self.unit;
        let mut end = ((column / self.unit + 1) * self.unit).min(self.columns);
        let mut at = 0;
        while at < count {
            let stop = (at + end - column).min(count);
            each(number, at..stop);
            (number, at) = (number + 1, stop);
            column = if end == self.columns { 0 } else { end };
            end = (column + self.unit).min(self.columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_tile_any_range_with_the_right_units() {
        for (rows, columns, unit) in [(3, 10, 4), (1, 7, 0), (5, 3, 8), (4, 1, 1), (2, 12, 4)] {
            let units = Units::new((rows, columns), unit).unwrap();
            for first in 0..rows * columns {
                for count in 0..=rows * columns - first {
                    let mut next = 0;
                    units.stretches(first, count, |number, range| {
                        assert_eq!(range.start, next);
                        next = range.end;
                        for index in range {
                            let (row, column) = ((first + index) / columns, (first + index) % columns);
                            assert_eq!(number, row * units.per_row + column / units.unit);
                        }
                    });
                    assert_eq!(next, count);
                }
            }
        }
    }
}
