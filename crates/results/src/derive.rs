//! Every number derived from stored rows. Definitions are in `docs/metrics.md`.

use crate::row::{ModelRow, TensorRow};

/// Bits written per weight.
pub fn bits_per_weight(bytes: u64, weights: u64) -> f64 {
    8.0 * bytes as f64 / weights as f64
}

/// `||W - W'||^2 / ||W||^2`. Zero for an exact reconstruction, even of zeros.
pub fn relative_mse(squared_error: f64, energy: f64) -> f64 {
    if squared_error == 0.0 { 0.0 } else { squared_error / energy }
}

/// Signal-to-noise ratio in dB; infinite where nothing is lost.
pub fn snr_db(relative_mse: f64) -> f64 {
    -10.0 * relative_mse.log10()
}

/// Distance in dB to the Gaussian rate-distortion limit `D = 4^-R` at the bits really spent.
pub fn gap_to_shannon_db(relative_mse: f64, bits_per_weight: f64) -> f64 {
    10.0 * (relative_mse.log10() + bits_per_weight * 4f64.log10())
}

/// The median of all runs.
pub fn median(seconds: &[f64]) -> Option<f64> {
    if seconds.is_empty() {
        return None;
    }
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    Some(if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 })
}

/// Variance of a figure and those drawn beside it, with one degree of freedom for their mean: at least one is drawn.
pub fn scatter(figure: f64, drawn: &[f64]) -> f64 {
    let count = drawn.len() as f64 + 1.0;
    let all = || drawn.iter().copied().chain([figure]);
    let mean = all().sum::<f64>() / count;
    all().map(|figure| (figure - mean).powi(2)).sum::<f64>() / (count - 1.0)
}

impl TensorRow {
    /// Bits written per weight.
    pub fn bits_per_weight(&self) -> f64 {
        bits_per_weight(self.bytes, self.weights)
    }

    /// Squared relative error.
    pub fn relative_mse(&self) -> f64 {
        relative_mse(self.squared_error, self.energy)
    }

    /// `||W - W'||_F / ||W||_F`.
    pub fn relative_error(&self) -> f64 {
        self.relative_mse().sqrt()
    }

    /// Cosine between weights and reconstruction.
    pub fn cosine(&self) -> f64 {
        self.dot / (self.energy * self.decoded_energy).sqrt()
    }

    /// Weights per second from the median encode time.
    pub fn encode_speed(&self) -> Option<f64> {
        median(&self.encode_seconds).map(|s| self.weights as f64 / s)
    }

    /// Weights per second from the median decode time.
    pub fn decode_speed(&self) -> Option<f64> {
        median(&self.decode_seconds).map(|s| self.weights as f64 / s)
    }
}

impl ModelRow {
    /// Bits of the whole file per weight.
    pub fn bits_per_weight(&self) -> f64 {
        bits_per_weight(self.bytes, self.weights)
    }

    /// Ratio against 32-bit floats, whatever the source's type.
    pub fn ratio(&self) -> f64 {
        4.0 * self.weights as f64 / self.bytes as f64
    }

    /// Ratio against the source's own bytes.
    pub fn source_ratio(&self) -> f64 {
        self.source_bytes as f64 / self.bytes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_at_zero_db() {
        assert!((gap_to_shannon_db(0.0625, 2.0)).abs() < 1e-12);
        assert!((gap_to_shannon_db(0.0889, 2.0) - 1.53).abs() < 0.01);
        assert_eq!(relative_mse(0.0, 0.0), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0, 10.0]), Some(2.5));
    }
}
