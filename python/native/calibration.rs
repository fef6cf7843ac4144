//! Statistics of a layer's inputs.

use std::sync::Arc;

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use seedpress_calibration::{Accumulator as Sums, InputStatistics, StatisticsError};

use crate::errors;
use crate::work::{self, in_pool};

/// Rows that are added between two looks at signals.
const ROWS: usize = 1 << 14;

/// Checked statistics.
#[pyclass(frozen, module = "seedpress._native")]
pub struct Statistics(pub Arc<InputStatistics>);

#[pymethods]
impl Statistics {
    /// From a full second moment or means of squares alone, and means of magnitudes where there are any.
    #[new]
    fn new(
        py: Python<'_>,
        samples: u64,
        second_moment: Option<PyReadonlyArray2<'_, f32>>,
        mean_square: Option<PyReadonlyArray1<'_, f32>>,
        mean_abs: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<Self> {
        let vector = |array: PyReadonlyArray1<'_, f32>| array.as_array().to_vec();
        let made = match (second_moment, mean_square) {
            (Some(moment), None) => {
                let [rows, columns] = sides(&moment);
                if rows != columns {
                    let message = format!("a second moment is square, not {rows} by {columns}");
                    return Err(errors::raise(py, "CalibrationError", message));
                }
                InputStatistics::from_second_moment(samples, columns, moment.as_array().iter().copied().collect())
            }
            (None, Some(squares)) => InputStatistics::from_mean_square(samples, vector(squares)),
            _ => return Err(PyValueError::new_err("give the second moment or the mean squares")),
        };
        let made = made.and_then(|made| match mean_abs {
            Some(values) => made.with_mean_abs(vector(values)),
            None => Ok(made),
        });
        made.map(|made| Self(Arc::new(made))).map_err(|error| errors::statistics(py, &error))
    }

    #[getter]
    fn samples(&self) -> u64 {
        self.0.samples()
    }

    #[getter]
    fn columns(&self) -> usize {
        self.0.columns()
    }

    #[getter]
    fn mean_square<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, self.0.mean_square())
    }

    #[getter]
    fn mean_abs<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f32>>> {
        self.0.mean_abs().map(|values| PyArray1::from_slice(py, values))
    }

    #[getter]
    fn second_moment<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        let columns = self.0.columns();
        let matrix = |values| PyArray1::from_slice(py, values).reshape([columns, columns]);
        self.0.second_moment().map(matrix).transpose()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Sums over inputs.
#[pyclass(module = "seedpress._native")]
pub struct Accumulator(Option<Sums>);

#[pymethods]
impl Accumulator {
    #[new]
    fn new(columns: usize, squares_only: bool, cap: Option<f32>) -> Self {
        let sums = if squares_only { Sums::squares(columns) } else { Sums::new(columns) };
        Self(Some(match cap {
            Some(times) => sums.capped(times),
            None => sums,
        }))
    }

    #[getter]
    fn samples(&self) -> u64 {
        self.0.as_ref().map_or(0, Sums::samples)
    }

    #[getter]
    fn columns(&self) -> usize {
        self.0.as_ref().map_or(0, Sums::columns)
    }

    /// Adds inputs, one a row.
    fn add(&mut self, py: Python<'_>, rows: PyReadonlyArray2<'_, f32>) -> PyResult<()> {
        let sums = self.0.as_mut().ok_or_else(over)?;
        let [_, columns] = sides(&rows);
        if columns != sums.columns() {
            let message = format!("inputs of {columns} columns where the layer has {}", sums.columns());
            return Err(errors::raise(py, "CalibrationError", message));
        }
        let values = rows.as_slice().map_err(|_| PyValueError::new_err("rows are not contiguous"))?;
        work::run(py, None, 0, |hands| {
            in_pool(0, || {
                for block in values.chunks(ROWS * columns.max(1)) {
                    if hands.stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    sums.add(block);
                }
            })
        })?
        .map_err(PyValueError::new_err)
    }

    /// The means; nothing can be added afterwards.
    fn finish(&mut self, py: Python<'_>) -> PyResult<Statistics> {
        let sums = self.0.take().ok_or_else(over)?;
        let made: Result<InputStatistics, StatisticsError> =
            work::run(py, None, 0, |_| in_pool(0, || sums.finish()))?.map_err(PyValueError::new_err)?;
        made.map(|made| Statistics(Arc::new(made))).map_err(|error| errors::statistics(py, &error))
    }
}

fn over() -> PyErr {
    PyValueError::new_err("these sums were finished")
}

/// Rows and columns.
fn sides(matrix: &PyReadonlyArray2<'_, f32>) -> [usize; 2] {
    let shape = matrix.shape();
    [shape[0], shape[1]]
}
