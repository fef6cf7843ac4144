//! What a stream of a rate may spend.

use seedpress_entropy::binary::log2;

use crate::classes::Classes;
use crate::math::exp2;

/// Bits of a header and the counts of its varints, about.
const HEADER_BYTES: usize = 10;

/// Indices have at most this many bits.
const INDEX_BITS: u32 = 22;

/// The rate of a stream and what follows from it.
pub(crate) struct Budget {
    /// Bits per weight in all.
    pub(super) bits: f64,
    /// Bits per weight of the indices.
    pub(super) rate: f64,
    /// Squared steps per bit.
    pub(super) lambda: f32,
    /// Trained reproduction points at most.
    pub(super) most_points: usize,
    pub(super) weight_bytes: Option<Vec<u8>>,
    pub(super) class_bytes: Option<Vec<u8>>,
    /// Mean magnitude.
    pub(super) mean: f64,
    /// Logarithms of the least and the greatest step.
    pub(super) floor: f64,
    ceiling: f64,
    /// Smallest step, for a start.
    least: f64,
}

impl Budget {
    /// For `count` weights of this mean and largest magnitude at `bits` per weight, of which coded column weights and classes take
    /// their part.
    pub(crate) fn new(
        count: usize,
        weight_bytes: Option<Vec<u8>>,
        classes: &Classes,
        bits: f64,
        [mean, largest]: [f64; 2],
    ) -> Self {
        // The least step a finite binary32 can hold and whose indices stay within their bits.
        let most_index = f64::from(1 << INDEX_BITS);
        let least = (largest / most_index).max(f64::from(f32::MIN_POSITIVE) / most_index);
        // Fixed bytes are known ahead and leave the search with what the indices may take.
        let none = classes.rows.is_empty() && classes.columns.is_empty();
        let class_bytes = (!none).then(|| classes.to_bytes());
        let most_points = match count {
            0..1024 => 0,
            1024..16_384 => 2,
            16_384..131_072 => 4,
            _ => 12,
        };
        let sides = class_bytes.as_ref().map_or(0, Vec::len) + weight_bytes.as_ref().map_or(0, Vec::len);
        let fixed = (sides + HEADER_BYTES + 2 * most_points) as f64 * 8.0 / count as f64;
        // A tensor too small for its own header gets most of the rate for its weights all the same.
        let bits = bits.max(0.9 * bits + fixed);
        let rate = bits - fixed;
        // Nothing is left above the largest weight; and the step itself must be finite.
        let ceiling = (log2(largest) + 1.0).min(127.0);
        let (lambda, floor) = (lambda(rate), log2(least));
        Self { bits, rate, lambda, most_points, weight_bytes, class_bytes, mean, floor, ceiling, least }
    }

    /// How much squared error one more bit saves with this step, in units of the squared values.
    pub(crate) fn slope(&self, step: f32) -> f64 {
        let step = f64::from(step);
        f64::from(self.lambda) * step * step
    }

    /// The step of a logarithm, kept within what is possible.
    pub(super) fn step(&self, log_step: f64) -> f32 {
        exp2(log_step.clamp(self.floor.min(self.ceiling), self.ceiling)) as f32
    }

    /// A logarithm of a step kept within what is possible.
    pub(super) fn clamp(&self, log_step: f64) -> f64 {
        log_step.max(self.floor).min(self.ceiling)
    }

    /// About where a search ends for Laplacian weights.
    pub(super) fn first_log_step(&self) -> f64 {
        log2((self.mean * 1.3 * exp2(-(self.rate - 1.2))).max(self.least)).min(self.ceiling)
    }
}

/// Lambda in squared steps per bit at a rate: the slope of the operational curve, measured on Gaussian and Laplacian sources.
fn lambda(bits: f64) -> f32 {
    const CURVE: [(f64, f64); 6] = [(0.5, 0.5), (1.07, 0.6), (1.6, 0.65), (2.0, 0.6), (3.0, 0.45), (4.0, 0.38)];
    let Some(above) = CURVE.iter().position(|&(rate, _)| rate >= bits) else { return 0.38 };
    if above == 0 {
        return 0.5;
    }
    let ((r0, l0), (r1, l1)) = (CURVE[above - 1], CURVE[above]);
    (l0 + (l1 - l0) * (bits - r0) / (r1 - r0)) as f32
}
