//! Bits for tensors whose errors are known as quadratic forms: reverse water-filling over all columns of a model at once.
//!
//! Where a tensor's error `D` costs `scale / 2 tr(D H D^T)`, a sweep with error feedback makes of it a sum over columns, `H = A^T L A`
//! with `A` unit lower triangular: column `i` costs `scale / 2 l_i` for each of its squared errors, whatever those before it did.
//! A Gaussian source of variance `v` coded at `r` bits has a squared error of `v 2^-2r`, so all columns of all tensors are parallel
//! Gaussian channels: the least cost at a total of bits puts the same cost on every weight that gets bits, and none on weights whose
//! whole variance costs less than that (C. Shannon 1959; T. Cover, J. Thomas, "Elements of Information Theory", section 10.3.3; within
//! one layer: "WaterSIC", arXiv 2603.04956). Nothing has to be encoded to find it. A real codec is above the Gaussian curve by about
//! the same factor everywhere, which moves no bit from one tensor to another.

/// A tensor's columns as channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Weights of each channel: the rows of a column, or of a part of it.
    pub rows: f64,
    /// What it costs to leave a weight of each column out: `scale / 2 l_i v_i`, in nats, not negative.
    pub costs: Vec<f64>,
}

impl Spectrum {
    /// Bits a weight when no weight that gets bits costs more than `level`.
    pub fn bits(&self, level: f64) -> f64 {
        let bits = |&cost: &f64| if cost > level { 0.5 * (cost / level).log2() } else { 0.0 };
        self.costs.iter().map(bits).sum::<f64>() / self.costs.len().max(1) as f64
    }

    /// The cost of all weights then.
    pub fn cost(&self, level: f64) -> f64 {
        self.rows * self.costs.iter().map(|&cost| cost.min(level)).sum::<f64>()
    }

    /// The cost of all weights at so many bits a weight.
    pub fn cost_at(&self, bits: f64) -> f64 {
        let largest = self.costs.iter().copied().fold(0.0, f64::max);
        if largest <= 0.0 {
            return 0.0;
        }
        self.cost(level(largest, |level| self.bits(level) > bits))
    }

    /// Number of weights.
    pub fn weights(&self) -> f64 {
        self.rows * self.costs.len() as f64
    }
}

/// Halvings of the interval that holds the level: beyond these `f64` has no digits left.
const STEPS: usize = 200;

/// Bits a weight of each tensor, within `range`, that cost least at `total` bits of all together. What lies outside the range is moved to
/// its end and the rest shared anew. Tensors that cost nothing get the least.
pub fn fill(spectra: &[Spectrum], total: f64, range: std::ops::RangeInclusive<f64>) -> Vec<f64> {
    let at = |level: f64| -> Vec<f64> {
        spectra.iter().map(|spectrum| spectrum.bits(level).clamp(*range.start(), *range.end())).collect()
    };
    let sum = |bits: &[f64]| spectra.iter().zip(bits).map(|(spectrum, bits)| spectrum.weights() * bits).sum::<f64>();
    let largest = spectra.iter().flat_map(|spectrum| &spectrum.costs).copied().fold(0.0, f64::max);
    if largest <= 0.0 || !largest.is_finite() {
        let even = total / spectra.iter().map(Spectrum::weights).sum::<f64>().max(1.0);
        return vec![even.clamp(*range.start(), *range.end()); spectra.len()];
    }
    at(level(largest, |level| sum(&at(level)) > total))
}

/// The least level that is high enough, at most the largest cost and 128 octaves below it at the least: between 0 and 64 bits a weight.
fn level(largest: f64, too_low: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (-128.0, 0.0);
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        if too_low(largest * f64::exp2(middle)) { low = middle } else { high = middle }
    }
    largest * f64::exp2(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(rows: u32, costs: &[f64]) -> Spectrum {
        Spectrum { rows: f64::from(rows), costs: costs.to_vec() }
    }

    #[test]
    fn equal_tensors_get_equal_bits_and_four_times_the_cost_one_more() {
        let bits = fill(&[spectrum(10, &[1.0, 1.0]), spectrum(10, &[1.0, 1.0])], 40.0 * 3.0, 0.0..=16.0);
        assert!(bits.iter().all(|bits| (bits - 3.0).abs() < 1e-9));
        let bits = fill(&[spectrum(10, &[1.0; 4]), spectrum(10, &[4.0; 4])], 80.0 * 3.0, 0.0..=16.0);
        assert!((bits[0] - 2.5).abs() < 1e-9 && (bits[1] - 3.5).abs() < 1e-9, "{bits:?}");
    }

    /// Against brute force over a grid of shares.
    #[test]
    fn no_other_share_costs_less() {
        let (a, b) = (spectrum(7, &[0.5, 3.0, 20.0]), spectrum(2, &[8.0, 1e-4, 1e-6, 0.1]));
        let (of_a, of_b) = (a.weights(), b.weights());
        // The cost of one tensor at a rate, by its own water level.
        let alone = |spectrum: &Spectrum, bits: f64| {
            let (mut low, mut high) = (-120.0f64, 10.0f64);
            for _ in 0..100 {
                let middle = 0.5 * (low + high);
                if spectrum.bits(middle.exp2()) > bits { low = middle } else { high = middle }
            }
            spectrum.cost(high.exp2())
        };
        for total in [8.0, 40.0, 90.0] {
            let bits = fill(&[a.clone(), b.clone()], total, 0.0..=60.0);
            assert!((of_a * bits[0] + of_b * bits[1] - total).abs() < 1e-6, "{bits:?}");
            let best = alone(&a, bits[0]) + alone(&b, bits[1]);
            for share in 0..=200 {
                let given = total * f64::from(share) / 200.0;
                let other = alone(&a, given / of_a) + alone(&b, (total - given) / of_b);
                assert!(best <= other * (1.0 + 1e-6), "{total} {share}: {best} {other}");
            }
        }
    }

    #[test]
    fn ranges_hold_and_nothing_is_defined() {
        let spectra = [spectrum(4, &[1e9; 3]), spectrum(4, &[0.0; 3])];
        let bits = fill(&spectra, 24.0 * 2.0, 0.5..=3.0);
        assert!((bits[0] - 3.0).abs() < 1e-9 && bits[1] == 0.5, "{bits:?}");
        assert_eq!(fill(&[spectrum(4, &[0.0; 3])], 24.0, 0.0..=8.0), [2.0]);
        assert!(fill(&[], 24.0, 0.0..=8.0).is_empty());
    }
}
