//! The one accumulator of second moments: rows in [batches](crate::batch), their products in [tiles](crate::tiles).

use crate::batch::{Batch, cap, scaled};
use crate::statistics::{InputStatistics, StatisticsError};
use crate::tiles::Tiles;

/// Sums over the inputs of one layer, from which come its [`InputStatistics`].
///
/// ```
/// use seedpress_calibration::Accumulator;
///
/// let mut moments = Accumulator::new(2);
/// moments.add(&[1.0, 2.0, 3.0, -4.0]);
/// let statistics = moments.finish()?;
/// assert_eq!(statistics.second_moment(), Some([5.0, -5.0, -5.0, 10.0].as_slice()));
/// assert_eq!((statistics.mean_abs(), statistics.samples()), (Some([2.0, 3.0].as_slice()), 2));
/// # Ok::<(), seedpress_calibration::StatisticsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Accumulator {
    samples: u64,
    /// Sum of the rows' weights.
    weight: f64,
    /// `None` where only squares are wanted.
    products: Option<Tiles>,
    square: Vec<f64>,
    magnitude: Vec<f64>,
    cap: Option<f32>,
    pending: Batch,
}

impl Accumulator {
    /// Of a layer of so many inputs, none seen yet.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { products: Some(Tiles::lower(columns)), ..Self::squares(columns) }
    }

    /// Without the second moment, for codecs that weigh columns only: memory grows with the columns, not with their square.
    #[must_use]
    pub fn squares(columns: usize) -> Self {
        Self {
            samples: 0,
            weight: 0.0,
            products: None,
            square: vec![0.0; columns],
            magnitude: vec![0.0; columns],
            cap: None,
            pending: Batch::default(),
        }
    }

    /// From now on no row counts for more than `times` the median energy `|x|^2` among its batch of 256 rows (silent rows left out):
    /// louder rows are turned down to that, and still count as one row.
    ///
    /// Some positions of a language model ("attention sinks", most often the first) carry 10^4 to 10^5 times the energy of all others.
    /// Plain moments are then those of one direction that every other input knows nothing of, and damping, which is relative to the
    /// mean square, drowns the rest. `times = 16` leaves usual variation alone.
    #[must_use]
    pub fn capped(self, times: f32) -> Self {
        Self { cap: Some(times), ..self }
    }

    /// Number of inputs of the layer.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.square.len()
    }

    /// Input vectors seen.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Adds input vectors, one a row. How they are cut into calls changes no bit.
    ///
    /// # Panics
    /// If `rows` is not a multiple of the columns.
    pub fn add(&mut self, rows: &[f32]) {
        self.add_rows(rows, None);
    }

    /// Adds input vectors that count `weights`, one weight a row, not negative: `H = sum w x x^T / sum w`.
    ///
    /// # Panics
    /// If there are not as many weights as rows, or as [`add`](Self::add).
    pub fn add_weighted(&mut self, rows: &[f32], weights: &[f32]) {
        assert_eq!(rows.len(), weights.len() * self.columns(), "one weight a row");
        self.add_rows(rows, Some(weights));
    }

    fn add_rows(&mut self, rows: &[f32], weights: Option<&[f32]>) {
        let columns = self.columns();
        assert!(rows.is_empty() || (columns > 0 && rows.len().is_multiple_of(columns)), "whole rows are added");
        let mut pending = std::mem::take(&mut self.pending);
        pending.push(rows, weights, columns, |rows, weights| self.absorb(rows, weights));
        self.pending = pending;
    }

    /// Adds one batch.
    pub(crate) fn absorb(&mut self, rows: &[f32], weights: &mut [f32]) {
        let columns = self.columns();
        self.samples += weights.len() as u64;
        self.weight += weights.iter().map(|&w| f64::from(w)).sum::<f64>();
        if let Some(times) = self.cap {
            cap(rows, columns, times, weights);
        }
        for (row, &weight) in rows.chunks_exact(columns).zip(&*weights) {
            let weight = f64::from(weight);
            for ((square, magnitude), &x) in self.square.iter_mut().zip(&mut self.magnitude).zip(row) {
                let x = f64::from(x);
                *square += weight * x * x;
                *magnitude += weight * x.abs();
            }
        }
        if let Some(products) = &mut self.products {
            let scaled = scaled(rows, columns, weights);
            let rows = scaled.as_deref().unwrap_or(rows);
            products.add(rows, rows);
        }
    }

    fn flush(&mut self) {
        let mut rest = std::mem::take(&mut self.pending);
        if !rest.weights.is_empty() {
            self.absorb(&rest.rows, &mut rest.weights);
        }
    }

    /// Adds what another accumulator has seen, as if its rows had come after (the last batches of both stay as they are).
    ///
    /// # Errors
    /// Another number of columns.
    pub fn merge(&mut self, mut other: Self) -> Result<(), StatisticsError> {
        if other.columns() != self.columns() {
            let (what, found, wanted) = ("the other accumulator", other.columns(), self.columns());
            return Err(StatisticsError::Length { what, found, wanted });
        }
        self.flush();
        other.flush();
        self.samples += other.samples;
        self.weight += other.weight;
        let add = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut self.square, &other.square);
        add(&mut self.magnitude, &other.magnitude);
        self.products = self.products.take().zip(other.products).map(|(mut own, other)| {
            own.merge(&other);
            own
        });
        Ok(())
    }

    /// The means.
    ///
    /// # Errors
    /// No rows, no columns, or sums that are not finite: an input was NaN or infinite, or its square beyond `f32`.
    pub fn finish(mut self) -> Result<InputStatistics, StatisticsError> {
        self.flush();
        if self.columns() == 0 {
            return Err(StatisticsError::NoColumns);
        }
        if self.samples == 0 || self.weight <= 0.0 {
            return Err(StatisticsError::NoSamples);
        }
        let (samples, weight, columns) = (self.samples, self.weight, self.columns());
        let mean = |sum: f64| (sum / weight) as f32;
        let statistics = match &self.products {
            Some(products) => InputStatistics::from_second_moment(samples, columns, products.full(mean))?,
            None => InputStatistics::from_mean_square(samples, self.square.into_iter().map(mean).collect())?,
        };
        statistics.with_mean_abs(self.magnitude.into_iter().map(mean).collect())
    }

    /// Sum of the rows' weights.
    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32).map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    fn of(columns: usize, rows: &[f32]) -> InputStatistics {
        let mut moments = Accumulator::new(columns);
        moments.add(rows);
        moments.finish().unwrap()
    }

    #[test]
    fn moments_are_means_of_products() {
        for (columns, count) in [(1, 1), (3, 1), (200, 700), (129, 256), (5, 1000)] {
            let rows = noise(columns * count, 4);
            let statistics = of(columns, &rows);
            let moment = statistics.second_moment().unwrap();
            for i in 0..columns {
                for j in 0..columns {
                    let sum: f64 = rows.chunks_exact(columns).map(|row| f64::from(row[i]) * f64::from(row[j])).sum();
                    assert!((f64::from(moment[i * columns + j]) - sum / count as f64).abs() < 1e-6);
                    assert_eq!(moment[i * columns + j], moment[j * columns + i]);
                }
                assert_eq!(statistics.mean_square()[i], moment[i * columns + i]);
                let sum: f64 = rows.chunks_exact(columns).map(|row| f64::from(row[i].abs())).sum();
                assert!((f64::from(statistics.mean_abs().unwrap()[i]) - sum / count as f64).abs() < 1e-6);
            }
            assert_eq!(statistics.samples(), count as u64);
        }
    }

    /// A plain sum in `f32` stalls here: each addend is below half a unit in the last place of the sum.
    #[test]
    fn many_samples_lose_no_digits() {
        let mut moments = Accumulator::new(1);
        let batch = vec![1.0f32; 1 << 20];
        (0..40).for_each(|_| moments.add(&batch));
        assert_eq!(moments.finish().unwrap().mean_square(), [1.0]);
    }

    #[test]
    fn portions_and_threads_change_no_bit() {
        let (columns, count) = (150, 900);
        let rows = noise(columns * count, 6);
        let whole = of(columns, &rows);
        for portion in [1, 7, 256, 300] {
            let mut moments = Accumulator::new(columns);
            rows.chunks(portion * columns).for_each(|rows| moments.add(rows));
            assert!(moments.finish().unwrap() == whole, "{portion}");
        }
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| of(columns, &rows)) == whole);
        }
    }

    #[test]
    fn merging_is_seeing_both() {
        let (columns, count) = (20, 512);
        let rows = noise(columns * count, 8);
        let (first, second) = rows.split_at(256 * columns);
        let mut own = Accumulator::new(columns);
        own.add(first);
        let mut other = Accumulator::new(columns);
        other.add(second);
        own.merge(other).unwrap();
        assert!(own.finish().unwrap() == of(columns, &rows));
        assert!(Accumulator::new(3).merge(Accumulator::new(4)).is_err());
    }

    #[test]
    fn weights_count_rows() {
        let rows = [1.0, 2.0, 3.0, 5.0];
        let mut weighted = Accumulator::new(2);
        weighted.add_weighted(&rows, &[3.0, 1.0]);
        let weighted = weighted.finish().unwrap();
        let repeated = of(2, &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 3.0, 5.0]);
        for (a, b) in weighted.second_moment().unwrap().iter().zip(repeated.second_moment().unwrap()) {
            assert!((a - b).abs() < 1e-5);
        }
        assert_eq!((weighted.mean_abs(), weighted.samples()), (repeated.mean_abs(), 2));
        let mut none = Accumulator::new(2);
        none.add_weighted(&rows, &[0.0, 0.0]);
        assert_eq!(none.finish(), Err(StatisticsError::NoSamples));
    }

    #[test]
    fn a_cap_keeps_sinks_from_drowning_the_rest() {
        let (columns, count) = (16, 1024);
        let mut rows = noise(columns * count, 9);
        let clean = of(columns, &rows);
        // One row in 256 has 1e5 times the energy.
        rows.chunks_exact_mut(256 * columns).for_each(|part| part[..columns].iter_mut().for_each(|x| *x *= 316.0));
        let moments = |mut accumulator: Accumulator| {
            accumulator.add(&rows);
            accumulator.finish().unwrap()
        };
        let far = |statistics: &InputStatistics| {
            let pairs = statistics.second_moment().unwrap().iter().zip(clean.second_moment().unwrap());
            let square: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let own: f64 = clean.second_moment().unwrap().iter().map(|&b| f64::from(b).powi(2)).sum();
            (square / own).sqrt()
        };
        let (plain, capped) = (moments(Accumulator::new(columns)), moments(Accumulator::new(columns).capped(16.0)));
        assert!(far(&plain) > 100.0 && far(&capped) < 0.2, "{} {}", far(&plain), far(&capped));
        // A cap that nothing reaches changes no bit.
        assert!(moments(Accumulator::new(columns).capped(1e9)) == plain);
    }

    #[test]
    fn squares_alone_are_those_of_the_moment() {
        let rows = noise(30 * 500, 2);
        let mut squares = Accumulator::squares(30);
        squares.add(&rows);
        let (squares, full) = (squares.finish().unwrap(), of(30, &rows));
        assert!(squares.second_moment().is_none());
        assert!(squares.mean_square().iter().zip(full.mean_square()).all(|(a, b)| (a / b - 1.0).abs() < 1e-5));
        assert_eq!(squares.mean_abs(), full.mean_abs());
    }

    #[test]
    fn nothing_and_nonsense_are_errors() {
        assert_eq!(Accumulator::new(3).finish(), Err(StatisticsError::NoSamples));
        assert_eq!(Accumulator::new(0).finish(), Err(StatisticsError::NoColumns));
        for bad in [f32::NAN, f32::INFINITY, 1e30] {
            let mut moments = Accumulator::new(2);
            moments.add(&[1.0, bad]);
            assert!(matches!(moments.finish(), Err(StatisticsError::NotFinite { .. })));
        }
        let silent = of(2, &[0.0; 8]);
        assert_eq!(silent.mean_square(), [0.0, 0.0]);
    }
}
