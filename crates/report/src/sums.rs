//! Raw sums over tensors, and what follows from them. Sums are added first and divided last: a ratio of sums, never a mean of ratios.

use std::collections::{BTreeMap, BTreeSet};

use seedpress_results::{Status, TensorRow, derive};

/// Sums over the measured tensors of one contender.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    /// Tensors.
    pub tensors: u64,
    /// Weights.
    pub weights: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Bytes by role.
    pub parts: BTreeMap<String, u64>,
    /// Sum of squared errors.
    pub squared_error: f64,
    /// Sum of squared weights.
    pub energy: f64,
    /// Sum of weight times reconstruction.
    pub dot: f64,
    /// Sum of squared reconstructed weights.
    pub decoded_energy: f64,
    /// Relative error of each tensor.
    pub relative_errors: Vec<f64>,
    /// Median encode seconds, added, and the weights they stand for.
    pub encode: (f64, u64),
    /// Median decode seconds, added, and the weights they stand for.
    pub decode: (f64, u64),
    /// Median encode seconds of each tensor.
    pub encode_times: Vec<f64>,
    /// Threads of the timed encodes.
    pub threads: BTreeSet<usize>,
    /// Threads of the timed decodes.
    pub decode_threads: BTreeSet<usize>,
    /// Largest absolute error over the root mean square of its tensor.
    pub worst_peak: f64,
}

impl Sums {
    /// Adds up rows; failed ones count for nothing.
    pub(crate) fn over<'a>(rows: impl IntoIterator<Item = &'a TensorRow>) -> Self {
        let mut sums = Self::default();
        for row in rows.into_iter().filter(|row| row.status == Status::Ok) {
            sums.add(row);
        }
        sums
    }

    fn add(&mut self, row: &TensorRow) {
        self.tensors += 1;
        self.weights += row.weights;
        self.bytes += row.bytes;
        for (role, bytes) in &row.parts {
            *self.parts.entry(role.clone()).or_default() += bytes;
        }
        self.squared_error += row.squared_error;
        self.energy += row.energy;
        self.dot += row.dot;
        self.decoded_energy += row.decoded_energy;
        self.relative_errors.push(row.relative_error());
        if let Some(seconds) = derive::median(&row.encode_seconds) {
            self.encode.0 += seconds;
            self.encode.1 += row.weights;
            self.encode_times.push(seconds);
            self.threads.insert(row.threads);
        }
        if let Some(seconds) = derive::median(&row.decode_seconds) {
            self.decode.0 += seconds;
            self.decode.1 += row.weights;
            self.decode_threads.insert(row.decode_threads);
        }
        let rms = (row.energy / row.weights as f64).sqrt();
        let peak = if row.max_abs_error == 0.0 { 0.0 } else { row.max_abs_error / rms };
        self.worst_peak = if peak.is_nan() { peak } else { self.worst_peak.max(peak) };
    }

    /// Bits written per weight.
    pub(crate) fn bits_per_weight(&self) -> f64 {
        derive::bits_per_weight(self.bytes, self.weights)
    }

    /// Against 32-bit floats.
    pub(crate) fn ratio(&self) -> f64 {
        32.0 / self.bits_per_weight()
    }

    /// Squared relative error.
    pub(crate) fn relative_mse(&self) -> f64 {
        derive::relative_mse(self.squared_error, self.energy)
    }

    /// Relative error.
    pub(crate) fn relative_error(&self) -> f64 {
        self.relative_mse().sqrt()
    }

    /// Signal-to-noise ratio, dB.
    pub(crate) fn snr(&self) -> f64 {
        derive::snr_db(self.relative_mse())
    }

    /// Distance to the Gaussian limit, dB.
    pub(crate) fn gap(&self) -> f64 {
        derive::gap_to_shannon_db(self.relative_mse(), self.bits_per_weight())
    }

    /// Cosine between weights and reconstruction.
    pub(crate) fn cosine(&self) -> f64 {
        self.dot / (self.energy * self.decoded_energy).sqrt()
    }

    /// Mean squared error of a weight.
    pub(crate) fn mean_squared_error(&self) -> f64 {
        self.squared_error / self.weights as f64
    }

    /// Weights encoded per second.
    pub(crate) fn encode_speed(&self) -> Option<f64> {
        (self.encode.0 > 0.0).then(|| self.encode.1 as f64 / self.encode.0)
    }

    /// Weights decoded per second.
    pub(crate) fn decode_speed(&self) -> Option<f64> {
        (self.decode.0 > 0.0).then(|| self.decode.1 as f64 / self.decode.0)
    }

    /// Mean, standard deviation and largest value of the tensors' relative errors.
    pub(crate) fn error_spread(&self) -> (f64, f64, f64) {
        let largest = self.relative_errors.iter().fold(0.0, |most, &error| larger(most, error));
        let (mean, deviation) = mean_and_deviation(&self.relative_errors);
        (mean, deviation, largest)
    }
}

/// The larger value, NaN where either is: an undefined error must not hide behind a defined one.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Mean and population standard deviation.
pub(crate) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// Median of a list that may be empty.
pub(crate) fn speed(weights: u64, seconds: &[f64]) -> Option<f64> {
    derive::median(seconds).filter(|&seconds| seconds > 0.0).map(|seconds| weights as f64 / seconds)
}
