//! Sums and smooth functions on slices, in forms that vectorise and that have one fixed order.

/// The sum, in sixteen interleaved parts.
pub(crate) fn sum(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<16>();
    let mut parts = [0f32; 16];
    body.iter().for_each(|chunk| (0..16).for_each(|lane| parts[lane] += chunk[lane]));
    parts.iter().sum::<f32>() + tail.iter().sum::<f32>()
}

/// The sum of squares, in sixteen interleaved parts.
pub(crate) fn sum_of_squares(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<16>();
    let mut parts = [0f32; 16];
    body.iter().for_each(|chunk| (0..16).for_each(|lane| parts[lane] += chunk[lane] * chunk[lane]));
    parts.iter().sum::<f32>() + tail.iter().map(|value| value * value).sum::<f32>()
}

/// The largest value; negative infinity of nothing. What is not a number is passed over.
pub(crate) fn largest(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<16>();
    let mut tops = [f32::NEG_INFINITY; 16];
    for chunk in body {
        for (top, &value) in tops.iter_mut().zip(chunk) {
            *top = if value > *top { value } else { *top };
        }
    }
    tops.iter().chain(tail).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The exponential, within a relative 3e-7: `2^n e^r` with `|r| <= ln(2) / 2` and six terms of Taylor's series. Arguments are clamped
/// to what an `f32` holds.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 2^23 rounds to an integer, which is left in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln(2) in two parts, the first short enough for n times it to be exact (Cody, Waite 1980).
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series =
        1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, within an absolute 2e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// The error function, within 1.5e-7 (Abramowitz, Stegun 7.1.26).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = [1.061_405_4, -1.453_152, 1.421_413_8, -0.284_496_75, 0.254_829_6];
    let polynomial = series.into_iter().fold(0f32, |sum, term| (sum + term) * t);
    (1.0 - polynomial * exp(-x * x)).copysign(x)
}

/// Turns scores into probabilities.
pub(crate) fn softmax(x: &mut [f32]) {
    let top = largest(x);
    x.iter_mut().for_each(|value| *value = exp(*value - top));
    let scale = 1.0 / sum(x);
    x.iter_mut().for_each(|value| *value *= scale);
}

/// The logarithm of the sum of exponentials, summed in f64 over stretches of 4,096.
pub(crate) fn log_sum_exp(x: &[f32]) -> f64 {
    let top = largest(x);
    let mut total = 0f64;
    for stretch in x.chunks(4096) {
        let (body, tail) = stretch.as_chunks::<16>();
        let mut parts = [0f32; 16];
        body.iter().for_each(|chunk| (0..16).for_each(|lane| parts[lane] += exp(chunk[lane] - top)));
        total += f64::from(parts.iter().sum::<f32>() + tail.iter().map(|&value| exp(value - top)).sum::<f32>());
    }
    f64::from(top) + libm::log(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_the_standard_library() {
        for step in -800..=800 {
            let x = step as f32 / 10.0;
            let wanted = f64::from(x).exp();
            assert!((f64::from(exp(x)) / wanted - 1.0).abs() < 4e-7, "{x}");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 3e-7, "{x}");
        }
        // Tables: erf(0.5), erf(1), erf(2).
        for (x, value) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (6.0, 1.0)] {
            assert!((erf(x) - value).abs() < 5e-7 && (erf(-x) + value).abs() < 5e-7, "{x}: {}", erf(x));
        }
    }

    #[test]
    fn sums_over_exponentials_do_not_overflow() {
        let x: Vec<f32> = (0..10_000).map(|i| 500.0 + (i % 100) as f32 / 10.0).collect();
        let wanted = 500.0 + x.iter().map(|&x| (f64::from(x) - 500.0).exp()).sum::<f64>().ln();
        assert!((log_sum_exp(&x) - wanted).abs() < 1e-5);
        let mut y = [1000.0, 1000.0];
        softmax(&mut y);
        assert_eq!(y, [0.5, 0.5]);
    }
}
