//! Quantising column by column, with errors fed forward.
//!
//! Column `i` aims at `c_i = w_i + sum_{j<i} a_ij (w_j - q_j)` (see [`Factor`]): the weight that makes up best for all errors made so far.
//! Columns quantised together aim at what would be best for all of them at once. Errors reach the columns of the same block at once, all
//! others when a block (of 128 columns) is finished, in one product (the "lazy batch" of GPTQ, arXiv 2210.17323, section 3.3).

use seedpress_matrix::{add_scaled, transpose};

use crate::factor::Factor;
use crate::quantizer::Quantizer;

/// Sweeps row-major weights and returns what they became, row-major. The quantiser gets `width` columns at a time, fewer at the end of a
/// group and of all.
///
/// Rows do not depend on each other: to use all threads, call this for some rows at a time (about 64 fill the caches well). For
/// quantisers that look at all rows together it uses threads itself.
///
/// # Panics
/// If the weights are no rows of the factor's columns or `width` is 0.
pub fn sweep(factor: &Factor, weights: &[f32], width: usize, quantizer: &mut impl Quantizer) -> Vec<f32> {
    let (columns, height) = (factor.columns(), weights.len() / factor.columns().max(1));
    let swept = sweep_columns(factor, &transpose(weights, height, columns), width, quantizer);
    transpose(&swept, columns, height)
}

/// [`sweep`] for weights in column-major order, which it returns so.
///
/// # Panics
/// As there.
pub fn sweep_columns(factor: &Factor, weights: &[f32], width: usize, quantizer: &mut impl Quantizer) -> Vec<f32> {
    let height = weights.len() / factor.columns().max(1);
    let mut keeper = Keeper { quantizer, height, out: vec![0f32; weights.len()] };
    visit_columns(factor, weights, width, &mut keeper);
    keeper.out
}

/// Keeps what columns become.
struct Keeper<'a, Q> {
    quantizer: &'a mut Q,
    height: usize,
    /// Columns as stored.
    out: Vec<f32>,
}

impl<Q: Quantizer> Quantizer for Keeper<'_, Q> {
    fn block(&self) -> usize {
        self.quantizer.block()
    }

    fn group(&self) -> usize {
        self.quantizer.group()
    }

    fn prepare(&mut self, columns: &[usize], aims: &[f32]) {
        self.quantizer.prepare(columns, aims);
    }

    fn quantize(&mut self, columns: &[usize], aims: &[f32], out: &mut [f32]) {
        self.quantizer.quantize(columns, aims, out);
        for (&column, chosen) in columns.iter().zip(out.chunks_exact(self.height)) {
            self.out[column * self.height..][..self.height].copy_from_slice(chosen);
        }
    }
}

/// [`sweep_columns`] for a quantiser that keeps what columns become in a form of its own.
///
/// # Panics
/// As there.
pub fn visit_columns(factor: &Factor, weights: &[f32], width: usize, quantizer: &mut impl Quantizer) {
    let columns = factor.columns();
    assert!(width > 0, "columns are quantised at least one at a time");
    assert!(columns > 0 && weights.len().is_multiple_of(columns), "the weights have the columns of the factor");
    let height = weights.len() / columns;
    if height == 0 {
        return;
    }
    let mut walk = Walk { factor, weights, height, quantizer, feedback: vec![0f32; weights.len()] };
    let mut start = 0;
    while start < columns {
        let end = walk.end_of_block(start, width).min(columns);
        walk.block(start, end, width);
        start = end;
    }
}

struct Walk<'a, Q> {
    factor: &'a Factor,
    /// Column-major, columns as stored.
    weights: &'a [f32],
    height: usize,
    quantizer: &'a mut Q,
    /// What earlier errors call for, columns in the order of the sweep.
    feedback: Vec<f32>,
}

impl<Q: Quantizer> Walk<'_, Q> {
    /// Blocks end where steps end, and groups start with a block or lie within one.
    fn end_of_block(&self, start: usize, width: usize) -> usize {
        let (block, group) = (self.quantizer.block(), self.quantizer.group());
        let steps = (block / width).max(1) * width;
        match group {
            0 => start + steps,
            group if group <= block => start + block / group * group,
            _ => (start + steps).min((start / group + 1) * group),
        }
    }

    fn block(&mut self, start: usize, end: usize, width: usize) {
        let height = self.height;
        let group = self.quantizer.group();
        let mut errors = vec![0f32; (end - start) * height];
        let mut at = start;
        while at < end {
            let next_group = at.checked_div(group).map_or(end, |before| (before + 1) * group);
            let stop = (at + width).min(end).min(next_group);
            if group > 0 && at.is_multiple_of(group) {
                let whole = (at + group).min(self.factor.columns());
                let aims = self.aims(at, whole);
                self.quantizer.prepare(&self.factor.order()[at..whole], &aims);
            }
            self.step(at, stop, &mut errors[(at - start) * height..(stop - start) * height]);
            for j in at..stop {
                let error = &errors[(j - start) * height..][..height];
                for k in stop..end {
                    add_scaled(&mut self.feedback[k * height..][..height], self.factor.entry(k, j), error);
                }
            }
            at = stop;
        }
        self.hand_on(start, end, &errors);
    }

    /// Quantises some columns together and leaves their errors.
    fn step(&mut self, at: usize, stop: usize, errors: &mut [f32]) {
        let height = self.height;
        let aims = self.aims(at, stop);
        let columns = &self.factor.order()[at..stop];
        let mut chosen = vec![0f32; aims.len()];
        self.quantizer.quantize(columns, &aims, &mut chosen);
        let parts = chosen.chunks_exact(height).zip(errors.chunks_exact_mut(height));
        for (&column, (chosen, errors)) in columns.iter().zip(parts) {
            let weights = &self.weights[column * height..][..height];
            errors.iter_mut().zip(weights.iter().zip(chosen)).for_each(|(error, (&w, &q))| *error = w - q);
        }
    }

    /// What columns from `at` to `stop` aim at together, all before them being settled.
    fn aims(&self, at: usize, stop: usize) -> Vec<f32> {
        let height = self.height;
        let weight = |i: usize| &self.weights[self.factor.order()[i] * height..][..height];
        let mut aims = Vec::with_capacity((stop - at) * height);
        for i in at..stop {
            aims.extend(weight(i).iter().zip(&self.feedback[i * height..][..height]).map(|(&w, &f)| w + f));
        }
        if at == 0 || stop - at == 1 {
            return aims;
        }
        // Each moves those after it as if it were an error.
        let mut moved = vec![0f32; height];
        for j in at..stop {
            let (done, later) = aims.split_at_mut((j + 1 - at) * height);
            let aim = &done[(j - at) * height..];
            moved.iter_mut().zip(weight(j).iter().zip(aim)).for_each(|(moved, (&w, &c))| *moved = w - c);
            for (k, target) in (j + 1..stop).zip(later.chunks_exact_mut(height)) {
                add_scaled(target, self.factor.entry(k, j), &moved);
            }
        }
        aims
    }

    /// Adds what a finished block calls for to all later columns.
    fn hand_on(&mut self, start: usize, end: usize, errors: &[f32]) {
        let height = self.height;
        self.factor.feed(start, errors, end, &mut self.feedback[end * height..], height);
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::factor::{DAMPING, Order};
    use crate::output::output_error;
    use crate::statistics::InputStatistics;

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32).map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    /// Correlated inputs, of growing strength.
    fn statistics(columns: usize) -> InputStatistics {
        let entry = |i: usize, j: usize| 0.9f32.powi(i.abs_diff(j) as i32) * ((1 + i % 5) * (1 + j % 5)) as f32;
        let moment = (0..columns).flat_map(|i| (0..columns).map(move |j| entry(i, j))).collect();
        InputStatistics::from_second_moment(9, columns, moment).unwrap()
    }

    const STEP: f32 = 0.4;

    fn round(_: &[usize], aims: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(aims).for_each(|(out, aim)| *out = (aim / STEP).round() * STEP);
    }

    /// GPTQ as printed: the inverse, its upper Cholesky factor, every error spread over all later columns at once; in `f64`.
    fn gptq(statistics: &InputStatistics, weights: &[f32], order: &[usize]) -> Vec<f32> {
        let (n, moment) = (statistics.columns(), statistics.second_moment().unwrap());
        let ridge = crate::damping(statistics.mean_square(), DAMPING);
        let mut a: Vec<Vec<f64>> = order
            .iter()
            .enumerate()
            .map(|(i, &row)| {
                let mut line: Vec<f64> = order.iter().map(|&column| f64::from(moment[row * n + column])).collect();
                line[i] += ridge;
                line.extend((0..n).map(|c| if c == i { 1.0 } else { 0.0 }));
                line
            })
            .collect();
        for pivot in 0..n {
            let scale = a[pivot][pivot];
            a[pivot].iter_mut().for_each(|value| *value /= scale);
            for row in (0..n).filter(|&row| row != pivot) {
                let (factor, source) = (a[row][pivot], a[pivot].clone());
                a[row].iter_mut().zip(source).for_each(|(to, from)| *to -= factor * from);
            }
        }
        let mut upper = vec![vec![0f64; n]; n];
        for i in 0..n {
            for j in i..n {
                let sum: f64 = (0..i).map(|k| upper[k][i] * upper[k][j]).sum();
                let rest = a[i][n + j] - sum;
                upper[i][j] = if i == j { rest.sqrt() } else { rest / upper[i][i] };
            }
        }
        let mut out = vec![0f32; weights.len()];
        for (line, out) in weights.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            let mut line: Vec<f64> = order.iter().map(|&column| f64::from(line[column])).collect();
            for i in 0..n {
                let q = (line[i] / f64::from(STEP)).round() * f64::from(STEP);
                out[order[i]] = q as f32;
                let error = (line[i] - q) / upper[i][i];
                for j in i + 1..n {
                    line[j] -= error * upper[i][j];
                }
            }
        }
        out
    }

    #[test]
    fn the_sweep_is_that_of_gptq() {
        for (columns, rows) in [(1, 3), (7, 1), (40, 20), (150, 11)] {
            let (statistics, weights) = (statistics(columns), noise(columns * rows, 7));
            for order in [Order::Natural, Order::Activation] {
                let factor = Factor::new(&statistics, DAMPING, order).unwrap();
                let swept = sweep(&factor, &weights, 1, &mut round);
                let wanted = gptq(&statistics, &weights, factor.order());
                let same = swept.iter().zip(&wanted).filter(|(a, b)| (**a - **b).abs() < 1e-3).count();
                // A tie that rounding breaks otherwise moves the rest of its row.
                assert!(same * 1000 >= 995 * wanted.len(), "{columns} {order:?}: {same} of {}", wanted.len());
            }
        }
    }

    #[test]
    fn errors_fed_forward_cost_less() {
        let (statistics, weights) = (statistics(200), noise(200 * 30, 3));
        let error = |decoded: &[f32]| output_error(&weights, decoded, &statistics).unwrap().relative();
        let mut plain = vec![0.0; weights.len()];
        round(&[], &weights, &mut plain);
        let natural = Factor::new(&statistics, DAMPING, Order::Natural).unwrap();
        let fed = error(&sweep(&natural, &weights, 1, &mut round));
        assert!(fed < 0.5 * error(&plain), "{fed} {}", error(&plain));
    }

    /// The optimum of the columns that are free, by the gradient of the quadratic form.
    #[test]
    fn free_columns_take_up_what_they_can() {
        let (columns, rows, fixed) = (140, 2, 100);
        let (statistics, weights) = (statistics(columns), noise(columns * rows, 9));
        let factor = Factor::new(&statistics, DAMPING, Order::Natural).unwrap();
        let mut quantizer = |columns: &[usize], aims: &[f32], out: &mut [f32]| {
            if columns[0] < fixed { round(columns, aims, out) } else { out.copy_from_slice(aims) }
        };
        for width in [1, 20] {
            let swept = sweep(&factor, &weights, width, &mut quantizer);
            let ridge = crate::damping(statistics.mean_square(), DAMPING);
            let moment = statistics.second_moment().unwrap();
            for row in 0..rows {
                let error: Vec<f64> =
                    (0..columns).map(|i| f64::from(weights[row * columns + i] - swept[row * columns + i])).collect();
                for i in fixed..columns {
                    let along: f64 = (0..columns).map(|j| f64::from(moment[i * columns + j]) * error[j]).sum();
                    assert!((along + ridge * error[i]).abs() < 2e-3, "{width} {i}");
                }
            }
        }
    }

    #[test]
    fn groups_and_steps_cover_every_column_once() {
        struct Watch {
            group: usize,
            width: usize,
            seen: Vec<usize>,
            prepared: Vec<usize>,
        }
        impl Quantizer for Watch {
            fn group(&self) -> usize {
                self.group
            }
            fn prepare(&mut self, columns: &[usize], aims: &[f32]) {
                assert_eq!(aims.len(), columns.len() * 2);
                assert_eq!(columns[0], self.seen.len());
                self.prepared.push(columns.len());
            }
            fn quantize(&mut self, columns: &[usize], aims: &[f32], out: &mut [f32]) {
                assert!(columns.len() <= self.width);
                self.seen.extend(columns);
                round(columns, aims, out);
            }
        }
        let columns = 300;
        let factor = Factor::new(&statistics(columns), DAMPING, Order::Natural).unwrap();
        let weights = noise(columns * 2, 1);
        let mut unlike = Vec::new();
        for group in [0, 1, 7, 64, 128, 129, 200, 300, 1000] {
            for width in [1, 3, 64, 200, 500] {
                let mut watch = Watch { group, width, seen: Vec::new(), prepared: Vec::new() };
                let swept = sweep(&factor, &weights, width, &mut watch);
                assert!(watch.seen.iter().copied().eq(0..columns), "{group} {width}");
                let total: usize = watch.prepared.iter().sum();
                assert_eq!(total, if group > 0 { columns } else { 0 });
                if width == 1 {
                    unlike.push(swept);
                }
            }
        }
        // Where blocks end shows in no bit.
        assert!(unlike.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn threads_and_strips_change_no_bit() {
        let (columns, rows) = (260, 300);
        let (statistics, weights) = (statistics(columns), noise(columns * rows, 2));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let factor = Factor::new(&statistics, DAMPING, Order::Activation).unwrap();
                let whole = sweep(&factor, &weights, 1, &mut round);
                let strips: Vec<f32> = weights
                    .par_chunks(64 * columns)
                    .flat_map_iter(|strip| sweep(&factor, strip, 1, &mut round))
                    .collect();
                assert!(whole == strips);
                whole
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5));
    }

    #[test]
    fn no_rows_and_silent_columns() {
        let factor = Factor::new(&statistics(3), DAMPING, Order::Natural).unwrap();
        assert!(sweep(&factor, &[], 1, &mut round).is_empty());
        let zero = InputStatistics::from_second_moment(1, 3, vec![0.0; 9]).unwrap();
        let factor = Factor::new(&zero, DAMPING, Order::Natural).unwrap();
        let (weights, mut plain) = ([0.3, -0.7, 0.5], [0.0; 3]);
        round(&[], &weights, &mut plain);
        assert_eq!(sweep(&factor, &weights, 2, &mut round), plain);
    }
}
