//! Weights, rows and columns that are out of all proportion to the rest of a tensor. What is done about them is told in
//! [`exceptions`](crate::exceptions).

/// How far an outlier is from all others, in their root mean square; a loud row or column from those below it.
const OUTLIER: f64 = 512.0;

/// At most one weight in so many is an outlier: 0.05 bits a weight at most.
const WEIGHTS_PER_OUTLIER: usize = 1024;

/// Weights of a tensor from which on it may have an outlier, and of a row or column from which on it may be loud.
const FEWEST: usize = 16;

/// A row is silent where its largest magnitude is below this part of the tensor's root mean square: 2^-16, beyond what 12 bits resolve.
const SILENCE: f64 = 1.0 / 65_536.0;

/// At most one row in so many is loud: where more are, they are what the tensor holds, and the others may be noise.
const ROWS_PER_LOUD_ROW: usize = 4;

/// At most one column in so many is loud: their weights take 1.5 bits of every weight, where a scale that reaches them takes the 9 of [`OUTLIER`].
const COLUMNS_PER_LOUD_COLUMN: usize = 32;

/// Mean square to which a loud row is brought down at least, 2^-160: far from the subnormal range.
const QUIETEST: f64 = 6.842_277_657_836_021e-49;

/// Values between two looks at a sum.
const PART: usize = 1 << 12;

pub(crate) fn energy(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}

/// The magnitude of the least outlier, if there is any.
pub(crate) fn least_outlier(values: &[f32]) -> Option<f32> {
    let count = values.len();
    if count < FEWEST {
        return None;
    }
    let most = (count / WEIGHTS_PER_OUTLIER).max(1);
    let largest = f64::from(f32::from_bits(values.iter().fold(0, |largest, value| largest.max(value.abs().to_bits()))));
    // With `most` outliers, none above `largest`, and all others below `largest / OUTLIER`, the sum of squares has a bound, which the
    // first few hundredths of an ordinary tensor exceed.
    let bound = largest * largest * (most as f64 + count as f64 / (OUTLIER * OUTLIER));
    let mut sum = 0.0;
    if largest == 0.0
        || values.chunks(PART).any(|part| {
            sum += energy(part);
            sum > bound
        })
    {
        return None;
    }
    // The bits of magnitudes sort as the magnitudes do. The one after the last candidate is kept for comparison.
    let mut sorted: Vec<u32> = values.iter().map(|value| value.abs().to_bits()).collect();
    let (top, &mut next, _) = sorted.select_nth_unstable_by(most, |a, b| b.cmp(a));
    top.sort_unstable_by(|a, b| b.cmp(a));
    let magnitude = |bits: u32| f64::from(f32::from_bits(bits));
    let last = f32::from_bits(top[most - 1]);
    // Ties with the last candidate that are no candidates themselves.
    let ties = values.iter().filter(|value| value.abs() == last).count()
        - top.iter().filter(|&&b| b == last.to_bits()).count();
    let below = values.iter().filter(|value| value.abs() < last).map(|&value| f64::from(value) * f64::from(value));
    let mut rest = below.sum::<f64>() + ties as f64 * magnitude(top[most - 1]).powi(2);
    for index in (0..most).rev() {
        let after = top.get(index + 1).copied().unwrap_or(next);
        let root = (rest / (count - index - 1) as f64).sqrt();
        if top[index] > after && magnitude(top[index]) >= OUTLIER * root {
            return Some(f32::from_bits(top[index]));
        }
        rest += magnitude(top[index]).powi(2);
    }
    None
}

/// Takes out magnitudes from `least` on, which are `original` where they are, and puts the ordinary weight before each in its place, the first
/// one before all others.
pub(crate) fn set_aside(values: &mut [f32], least: f32, original: &[f32], taken: &mut Vec<(usize, f32)>) {
    let mut ordinary = values.iter().copied().find(|value| value.abs() < least).unwrap_or(0.0);
    for (index, value) in values.iter_mut().enumerate() {
        if value.abs() >= least {
            taken.push((index, original[index]));
            *value = ordinary;
        } else {
            ordinary = *value;
        }
    }
}

/// Runs of silent rows, as their first row and their number; magnitudes from `outlier` on do not count.
pub(crate) fn silent_rows(values: &[f32], columns: usize, outlier: f32) -> Vec<(usize, usize)> {
    let ordinary =
        values.iter().filter(|value| value.abs() < outlier).map(|&value| f64::from(value) * f64::from(value));
    let limit = ((ordinary.sum::<f64>() / values.len() as f64).sqrt() * SILENCE) as f32;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    if limit == 0.0 {
        return runs;
    }
    for (row, weights) in values.chunks(columns).enumerate() {
        if weights.iter().any(|weight| weight.abs() >= limit) {
            continue;
        }
        match runs.last_mut() {
            Some((start, rows)) if *start + *rows == row => *rows += 1,
            _ => runs.push((row, 1)),
        }
    }
    runs
}

/// Rows out of all proportion to all others, ascending, each with the power of two that brings it to their root mean square; magnitudes from
/// `outlier` on do not count.
pub(crate) fn loud_rows(values: &[f32], columns: usize, outlier: f32) -> Vec<(usize, u8)> {
    if columns < FEWEST {
        return Vec::new();
    }
    let energies = values.chunks(columns).map(|row| row_energy(row, outlier));
    let mut rows: Vec<(usize, f64)> = energies.enumerate().filter(|&(_, energy)| energy > 0.0).collect();
    rows.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    let most = (rows.len() / ROWS_PER_LOUD_ROW).max(1).min(rows.len());
    let mut rest: f64 = rows[most..].iter().map(|(_, energy)| energy).sum();
    for count in (1..=most).rev() {
        // Rows have the same length: their mean squares compare as these sums do.
        let mean = rest / (rows.len() - count) as f64;
        let reference = mean.max(QUIETEST * columns as f64);
        let least = rows[count - 1].1;
        if rows.len() > count && least >= OUTLIER * OUTLIER * reference {
            // Half the exponent of a ratio of squares below 2^256, rounded: rows come within a factor of the root of 2.
            let exponent = |energy: f64| ((((2.0 * energy / reference).to_bits() >> 52) as i64 - 1023) / 2) as u8;
            let mut loud: Vec<(usize, u8)> =
                rows[..count].iter().map(|&(row, energy)| (row, exponent(energy))).collect();
            loud.sort_unstable();
            return loud;
        }
        rest += least;
    }
    Vec::new()
}

/// Columns out of all proportion to those below them, ascending.
pub(crate) fn loud_columns(values: &[f32], columns: usize) -> Vec<usize> {
    let most = columns / COLUMNS_PER_LOUD_COLUMN;
    if most == 0 || values.len() / columns < FEWEST {
        return Vec::new();
    }
    let mut energies = vec![0f64; columns];
    for row in values.chunks(columns) {
        energies.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) * f64::from(value));
    }
    let Some(reference) = loudest_below(&energies, most) else { return Vec::new() };
    (0..columns).filter(|&column| energies[column] >= OUTLIER * OUTLIER * reference).collect()
}

/// The largest of `energies` below the `most` largest, where it is more than nothing.
fn loudest_below(energies: &[f64], most: usize) -> Option<f64> {
    if energies.len() <= most {
        return None;
    }
    let (_, &mut below, _) = energies.to_vec().select_nth_unstable_by(most, |a, b| b.total_cmp(a));
    (below > 0.0).then_some(below)
}

/// Takes out the weights of loud columns, which are `original` where they are, and puts those of the ordinary column before in their place, of the
/// first one where none is before.
pub(crate) fn set_columns_aside(
    values: &mut [f32],
    columns: usize,
    loud: &[usize],
    original: &[f32],
    taken: &mut Vec<(usize, f32)>,
) {
    let is_loud = |column: &usize| loud.binary_search(column).is_ok();
    let first = (0..columns).find(|column| !is_loud(column)).unwrap_or(0);
    let before = |column: usize| (0..column).rev().find(|column| !is_loud(column)).unwrap_or(first);
    let sources: Vec<(usize, usize)> = loud.iter().map(|&column| (column, before(column))).collect();
    for (row, weights) in values.chunks_mut(columns).enumerate() {
        for &(column, source) in &sources {
            let index = row * columns + column;
            taken.push((index, original[index]));
            weights[column] = weights[source];
        }
    }
}

/// The sum of squares of magnitudes below `outlier` but the largest, which says little of its row; added in a fixed order of several sums, so
/// that they are added as vectors.
fn row_energy(row: &[f32], outlier: f32) -> f64 {
    let counted = |value: f32| if value.abs() < outlier { value.abs() } else { 0.0 };
    let largest = row.iter().fold(0f32, |largest, &value| largest.max(counted(value)));
    let (mut sums, mut ties) = ([0f64; 8], 0u32);
    for part in row.chunks(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(part) {
            let value = counted(value);
            ties += u32::from(value == largest);
            let below = if value < largest { f64::from(value) } else { 0.0 };
            *sum += below * below;
        }
    }
    sums.iter().sum::<f64>() + f64::from(ties.saturating_sub(1)) * f64::from(largest) * f64::from(largest)
}

/// `2^exponent`.
fn power(exponent: i64) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// Whether values are far enough from the subnormal range for their rows to be divided by powers of two.
pub(crate) fn may_be_halved(values: &[f32]) -> bool {
    energy(values) >= QUIETEST * values.len() as f64
}

/// Divides a row by `2^exponent`.
pub(crate) fn bring_down(row: &mut [f32], exponent: u8) {
    let factor = power(-i64::from(exponent));
    row.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
}

/// Multiplies a row by `2^exponent`; what would overflow becomes the largest finite value.
pub(crate) fn bring_up(row: &mut [f32], exponent: u8) {
    let factor = power(i64::from(exponent));
    for value in row.iter_mut().filter(|value| value.is_finite()) {
        *value = ((f64::from(*value) * factor) as f32).clamp(f32::MIN, f32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of deviation near 1, row by row times `scale`.
    fn scaled(rows: usize, columns: usize, scale: impl Fn(usize) -> f32) -> Vec<f32> {
        let noise = (0..rows * columns).map(|i| ((i * 2_654_435_761) % 10_007) as f32 / 10_007.0 * 3.4 - 1.7 + 1e-4);
        noise.enumerate().map(|(i, value)| value * scale(i / columns)).collect()
    }

    fn loud(values: &[f32]) -> Vec<(usize, u8)> {
        loud_rows(values, 64, f32::INFINITY)
    }

    #[test]
    fn rows_are_loud_against_all_others() {
        const NONE: [usize; 0] = [];
        let rows =
            |scale: fn(usize) -> f32| loud(&scaled(64, 64, scale)).iter().map(|&(row, _)| row).collect::<Vec<_>>();
        assert_eq!(rows(|row| if row == 9 { 1e4 } else { 1.0 }), [9]);
        assert_eq!(rows(|row| if row % 4 == 1 { 1e30 } else { 1e-30 }), (1..64).step_by(4).collect::<Vec<_>>());
        assert_eq!(rows(|row| if row == 9 { 400.0 } else { 1.0 }), NONE);
        assert_eq!(rows(|row| 10f32.powi(row as i32 % 3)), NONE);
        // Of rows of all magnitudes, the loudest stay the loudest.
        assert_eq!(rows(|row| 10f32.powi(row as i32 % 12)), NONE);
        assert_eq!(rows(|row| if row < 17 { 1e9 } else { 1.0 }), NONE, "more than a quarter");
        assert_eq!(rows(|row| if row == 9 { 1.0 } else { 0.0 }), NONE, "beside nothing");
        assert_eq!(loud(&scaled(2, 64, |row| [1.0, 1e6][row])).len(), 1);
        assert!(loud(&scaled(1, 64, |_| 1.0)).is_empty() && loud(&[]).is_empty());
        assert!(loud_rows(&scaled(64, 4, |row| if row == 9 { 1e9 } else { 1.0 }), 4, f32::INFINITY).is_empty());
    }

    #[test]
    fn exponents_bring_a_row_near_the_others_and_back() {
        for size in [2e3f32, 1e6, 1e20, 3e38] {
            let values = scaled(8, 64, |row| if row == 3 { size / 2.0 } else { 1.0 });
            let [(3, exponent)] = loud(&values)[..] else { panic!("{size:e}") };
            let mut row = values[3 * 64..4 * 64].to_vec();
            bring_down(&mut row, exponent);
            let root = (energy(&row) / 64.0).sqrt();
            assert!((0.6..2.0).contains(&root), "{size:e}: {root}");
            bring_up(&mut row, exponent);
            assert_eq!(row, values[3 * 64..4 * 64]);
        }
        // Beside rows in the subnormal range, nothing is lost.
        let values = scaled(8, 64, |row| if row == 3 { 1e-4 } else { 1e-44 });
        let mut row = values[3 * 64..4 * 64].to_vec();
        let [(3, exponent)] = loud(&values)[..] else { panic!("none") };
        bring_down(&mut row, exponent);
        bring_up(&mut row, exponent);
        assert_eq!(row, values[3 * 64..4 * 64]);
    }

    #[test]
    fn a_column_is_loud_where_it_is_one_of_many() {
        let spoilt = |columns: usize, size: f32| {
            let mut values = scaled(48, columns, |_| 1.0);
            values.chunks_mut(columns).for_each(|row| row[7] *= size);
            loud_columns(&values, columns)
        };
        assert_eq!([32, 64, 300].map(|columns| spoilt(columns, 1e4)), [[7], [7], [7]]);
        assert!(spoilt(31, 1e4).is_empty() && spoilt(64, 300.0).is_empty() && spoilt(64, 1.0).is_empty());
        assert!(loud_columns(&scaled(8, 64, |_| 1.0), 64).is_empty() && loud_columns(&[], 64).is_empty());
        assert!(loud_columns(&vec![0.0; 64 * 64], 64).is_empty());
    }
}
