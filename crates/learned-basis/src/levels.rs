//! Levels of coefficients: a scalar quantiser of least squared error (S. Lloyd, 1957), its levels rounded to binary16.

use half::f16;

/// Rounds of Lloyd's alternation.
const ROUNDS: usize = 20;
/// Coefficients that are looked at.
const SAMPLE: usize = 1 << 16;

/// `2^bits` ascending levels for these coefficients.
pub(crate) fn learn(coefficients: &[f32], bits: u8) -> Vec<f16> {
    let count = 1usize << bits;
    let wanted = coefficients.len().clamp(1, SAMPLE);
    let at = |index: usize| (index as u64 * coefficients.len() as u64 / wanted as u64) as usize;
    let mut sorted: Vec<f32> = (0..wanted).filter_map(|index| coefficients.get(at(index)).copied()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut sums = vec![0f64];
    sums.extend(sorted.iter().scan(0f64, |sum, &value| {
        *sum += f64::from(value);
        Some(*sum)
    }));
    let mut levels: Vec<f64> = (0..count)
        .map(|level| sorted.get(sorted.len() * (2 * level + 1) / (2 * count)).map_or(0.0, |&value| f64::from(value)))
        .collect();
    for _ in 0..ROUNDS {
        let mut start = 0;
        for level in 0..count {
            let end = match levels.get(level + 1) {
                Some(next) => {
                    let border = 0.5 * (levels[level] + next);
                    sorted.partition_point(|&value| f64::from(value) <= border).max(start)
                }
                None => sorted.len(),
            };
            if end > start {
                levels[level] = (sums[end] - sums[start]) / (end - start) as f64;
            }
            start = end;
        }
    }
    levels.into_iter().map(|level| f16::from_f32((level as f32).clamp(-65504.0, 65504.0))).collect()
}

/// The number of the level nearest to a coefficient; the lower of equals.
pub(crate) fn nearest(levels: &[f32], coefficient: f32) -> u32 {
    let above = levels.partition_point(|&level| level < coefficient);
    match above {
        0 => 0,
        above if above == levels.len() => above as u32 - 1,
        above if coefficient - levels[above - 1] <= levels[above] - coefficient => above as u32 - 1,
        above => above as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_become_levels() {
        let values: Vec<f32> = (0..400).map(|i| [-3.0, -1.0, 0.5, 8.0][i % 4] + (i % 5) as f32 * 0.01).collect();
        let levels: Vec<f32> = learn(&values, 2).into_iter().map(f16::to_f32).collect();
        for (level, wanted) in levels.iter().zip([-2.98, -0.98, 0.52, 8.02]) {
            assert!((level - wanted).abs() < 0.01, "{levels:?}");
        }
        assert_eq!([-9.0, -1.9, 0.0, 4.0, 9.0].map(|value| nearest(&levels, value)), [0, 1, 2, 2, 3]);
        assert_eq!(learn(&[], 3).len(), 8);
    }
}
