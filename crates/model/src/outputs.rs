//! What a model says, and how far two of its answers are apart: a smooth measure, where accuracy only moves when a decision flips.

/// Answers of a model over a set of inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Outputs {
    /// Scores before the softmax, `width` an answer.
    Logits {
        /// Classes.
        width: usize,
        /// Answer after answer.
        values: Vec<f32>,
    },
    /// One probability an answer.
    Probabilities(Vec<f32>),
    /// Vectors whose direction and length matter, `width` an answer.
    Vectors {
        /// Dimensions.
        width: usize,
        /// Answer after answer.
        values: Vec<f32>,
    },
}

/// The smallest probability told from 0.
const LEAST: f64 = 1e-7;

impl Outputs {
    /// The divergence of each answer from the original's: `KL(original || given)` in nats for distributions, the squared distance over
    /// the original's squared length for vectors. Empty where the two are not answers to the same questions.
    pub fn divergences(&self, given: &Self) -> Vec<f64> {
        match (self, given) {
            (Self::Logits { width, values }, Self::Logits { width: same, values: others }) if width == same => {
                let pairs = values.chunks_exact(*width).zip(others.chunks_exact(*width));
                pairs.map(|(original, given)| softmax_divergence(original, given)).collect()
            }
            (Self::Probabilities(values), Self::Probabilities(others)) => {
                values.iter().zip(others).map(|(&original, &given)| bernoulli_divergence(original, given)).collect()
            }
            (Self::Vectors { width, values }, Self::Vectors { width: same, values: others }) if width == same => {
                let pairs = values.chunks_exact(*width).zip(others.chunks_exact(*width));
                pairs.map(|(original, given)| relative_distance(original, given)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The mean over all answers; NaN where there is none.
    pub fn divergence(&self, given: &Self) -> f64 {
        let all = self.divergences(given);
        all.iter().sum::<f64>() / all.len() as f64
    }
}

/// `sum p (ln p - ln q)` of two softmaxes.
fn softmax_divergence(original: &[f32], given: &[f32]) -> f64 {
    let normaliser = |scores: &[f32]| {
        let most = scores.iter().fold(f32::NEG_INFINITY, |most, &score| most.max(score));
        f64::from(most) + scores.iter().map(|&score| f64::from(score - most).exp()).sum::<f64>().ln()
    };
    let (own, other) = (normaliser(original), normaliser(given));
    let part = |(&a, &b): (&f32, &f32)| {
        let (p, q) = (f64::from(a) - own, f64::from(b) - other);
        p.exp() * (p - q)
    };
    original.iter().zip(given).map(part).sum::<f64>().max(0.0)
}

fn bernoulli_divergence(original: f32, given: f32) -> f64 {
    let [p, q] = [original, given].map(|value| f64::from(value).clamp(LEAST, 1.0 - LEAST));
    (p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln()).max(0.0)
}

fn relative_distance(original: &[f32], given: &[f32]) -> f64 {
    let square = |value: f64| value * value;
    let distance: f64 = original.iter().zip(given).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    let length: f64 = original.iter().map(|&a| square(f64::from(a))).sum();
    if distance == 0.0 { 0.0 } else { distance / length.max(f64::MIN_POSITIVE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergences_are_those_of_the_definition() {
        let logits = |values: &[f32]| Outputs::Logits { width: 2, values: values.to_vec() };
        let given = logits(&[0.0, 0.0]).divergence(&logits(&[3f32.ln(), 0.0]));
        // Half and half against three quarters and one.
        let expected = 0.5 * (0.5f64 / 0.75).ln() + 0.5 * (0.5f64 / 0.25).ln();
        assert!((given - expected).abs() < 1e-7, "{given} {expected}");
        let bernoulli = Outputs::Probabilities(vec![0.5]).divergence(&Outputs::Probabilities(vec![0.75]));
        assert!((bernoulli - expected).abs() < 1e-12);
        assert!(Outputs::Probabilities(vec![1.0]).divergence(&Outputs::Probabilities(vec![0.0])).is_finite());
        let vectors = |values: &[f32]| Outputs::Vectors { width: 2, values: values.to_vec() };
        assert_eq!(vectors(&[3.0, 4.0, 1.0, 0.0]).divergence(&vectors(&[3.0, 4.0, 0.0, 0.0])), 0.5);
        for same in [logits(&[1e4, -1e4, 0.1, 0.2]), Outputs::Probabilities(vec![0.0, 1.0]), vectors(&[0.0; 2])] {
            assert_eq!(same.divergence(&same.clone()), 0.0);
        }
        assert!(logits(&[0.0; 2]).divergence(&vectors(&[0.0; 2])).is_nan());
    }
}
