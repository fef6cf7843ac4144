//! How far an encoder's figures scatter: files of weights moved by next to nothing.
//!
//! An encoder is deterministic, but which of many nearly equal choices it takes is chance: two searches of one row on the LSTM gave KL
//! divergences of .752 and .778, further apart than the samples explain. A draw encodes the weights moved by 2^-12 of themselves, noise 72 dB
//! below them that no lossy row's error notices, and measures what the file does in place of the original. The spread of these figures
//! widens the interval of the row's own.

use std::hash::Hasher;

use seedpress_codec::{DType, Tensor};
use seedpress_model::random::SplitMix;
use seedpress_results::derive;
use xxhash_rust::xxh3::Xxh3;

/// Standard deviation of the noise, in parts of each weight.
const MOVED: f32 = 1.0 / 4096.0;

/// Two-sided 95 % points of Student's t with 1, 2, .. 16 degrees of freedom.
const STUDENT: [f64; 16] =
    [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120];

/// The weights of a tensor for draw 1, 2, ..: the same on every machine.
pub(crate) fn moved(tensor: &Tensor, name: &str, draw: u64) -> Result<Tensor, String> {
    let mut hasher = Xxh3::with_seed(draw);
    hasher.write(name.as_bytes());
    let mut random = SplitMix::new(hasher.finish());
    let values = tensor.values().iter().map(|value| value * (1.0 + MOVED * noise(random.bits()))).collect();
    // In 16 bits the noise would be rounded away.
    Tensor::new(tensor.shape().to_vec(), values, DType::F32).map_err(|error| error.to_string())
}

/// Of random bits: uniform with variance 1.
fn noise(bits: u64) -> f32 {
    // Exact: 24 bits fit a 32-bit float.
    let unit = (bits >> 40) as f32 / (1 << 24) as f32;
    (unit - 0.5) * 12f32.sqrt()
}

/// The 95 % interval of a figure when samples and encoder are both drawn anew: their half widths add as squares. Figures stay as they are
/// where nothing was drawn; no figure of ours is negative, so neither is a bound.
pub(crate) fn widened(value: f64, interval: [f64; 2], drawn: &[f64]) -> [f64; 2] {
    let Some(t) = drawn.len().checked_sub(1).and_then(|_| STUDENT.get(drawn.len() - 1)) else { return interval };
    let variance = derive::scatter(value, drawn);
    let half = |sampled: f64| (sampled.powi(2) + t.powi(2) * variance).sqrt();
    [(value - half(value - interval[0])).max(0.0), value + half(interval[1] - value)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_small_centred_and_its_own() {
        let tensor = Tensor::new(vec![64, 1024], vec![1.0; 65536], DType::BF16).unwrap();
        let one = moved(&tensor, "a", 1).unwrap();
        let noise: Vec<f64> = one.values().iter().map(|&value| (f64::from(value) - 1.0) * 4096.0).collect();
        let mean = noise.iter().sum::<f64>() / 65536.0;
        let variance = noise.iter().map(|value| value * value).sum::<f64>() / 65536.0;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert_eq!(one.values(), moved(&tensor, "a", 1).unwrap().values());
        assert_ne!(one.values(), moved(&tensor, "a", 2).unwrap().values());
        assert_ne!(one.values(), moved(&tensor, "b", 1).unwrap().values());
    }

    #[test]
    fn spreads_add_as_squares() {
        assert_eq!(widened(2.0, [1.0, 3.0], &[]), [1.0, 3.0]);
        assert_eq!(widened(2.0, [1.0, 3.0], &[2.0; 4]), [1.0, 3.0]);
        // 2, 2, 2 and 4: a standard deviation of 1, and t of 3.182.
        let [low, high] = widened(2.0, [1.5, 3.0], &[2.0, 2.0, 4.0]);
        assert_eq!(low, 0.0);
        assert!((high - (2.0 + (1.0 + 3.182f64.powi(2)).sqrt())).abs() < 1e-12, "{high}");
    }
}
