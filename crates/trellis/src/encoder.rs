//! The encoder: statistics, the rate search and the final passes.
//!
//! A *pass* runs the trellis with given tables and counts what it chose; the counts and the centroids make the tables of the next pass.
//! The step is searched on a sample of the tensor, by the secant rule on rate against log step, and corrected on the whole
//! tensor from bytes really written.

use rayon::prelude::*;
use seedpress_codec::{EncodeContext, EncodeError, Encoded, Role, Segment, Symbols, TensorView};
use seedpress_entropy::binary::log2;

use crate::classes::Classes;
use crate::code::Code;
use crate::math::exp2;
use crate::stream::{CHUNK, MOST_POINTS, Params, fresh_models, write_chunk, write_models};
use crate::symbols::{Counts, MOST_SHIFT, raw_bits};
use crate::viterbi::{Scratch, Tables, search};
use crate::weights::Weights;

/// How hard to search.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Memory of the trellis code.
    pub memory: u8,
    /// Passes over the whole tensor at most.
    pub passes: usize,
    /// Weights in the sample.
    pub sample: usize,
    /// Deviation from the target rate that ends the search, bits per weight.
    pub tolerance: f64,
}

/// Points with a histogram slot.
const SLOTS: usize = 64;
/// Contiguous weights of the sample.
const PIECE: usize = 2048;

/// What a pass found.
struct Outcome {
    counts: Vec<Counts>,
    raw: u64,
    /// Squared error in squared steps.
    error: f64,
    /// Sum of magnitudes and number, by quantiser and index.
    centroids: [[(f64, u32); MOST_POINTS + 1]; 2],
    indices: Vec<Vec<u32>>,
}

struct Source<'a> {
    values: &'a [f32],
    offset: f32,
    columns: usize,
    classes: Classes,
    code: Code,
}

impl Source<'_> {
    /// Runs the trellis over pieces `(start, length)`.
    fn pass(&self, pieces: &[(usize, usize)], tables: &Tables, step: f32, shift: u32) -> Outcome {
        let contexts = 2 * usize::from(self.classes.count);
        let inverse = 1.0 / f64::from(step);
        let parts: Vec<Outcome> = pieces
            .par_iter()
            .map_init(Scratch::default, |scratch, &(start, length)| {
                let values = &self.values[start..start + length];
                let offset = f64::from(self.offset);
                let u: Vec<f32> = values.iter().map(|&v| ((f64::from(v) - offset).abs() * inverse) as f32).collect();
                let mut classes = vec![0u8; length];
                self.classes.fill(start, self.columns, &mut classes);
                let mut indices = vec![0u32; length];
                search(self.code, tables, &u, &classes, scratch, &mut indices);
                let mut histogram = vec![[0u32; SLOTS]; contexts];
                let mut counts = vec![Counts::default(); contexts];
                let mut centroids = [[(0.0, 0); MOST_POINTS + 1]; 2];
                let (mut raw, mut error, mut state) = (0, 0.0, 0);
                for ((&k, &class), &u) in indices.iter().zip(&classes).zip(&u) {
                    let quantizer = state & 1;
                    let context = 2 * usize::from(class) + quantizer;
                    match histogram[context].get_mut(k as usize) {
                        Some(slot) => *slot += 1,
                        None => {
                            counts[context].add(k, 1, shift);
                            raw += u64::from(raw_bits(k, shift));
                        }
                    }
                    if let Some(centroid) = centroids[quantizer].get_mut(k as usize) {
                        centroid.0 += f64::from(u);
                        centroid.1 += 1;
                    }
                    let miss = f64::from(u - tables.point(quantizer, k as usize));
                    error += miss * miss;
                    state = self.code.next(state, k as usize & 1);
                }
                for (counts, histogram) in counts.iter_mut().zip(&histogram) {
                    for (k, &times) in histogram.iter().enumerate() {
                        if times > 0 {
                            counts.add(k as u32, times, shift);
                            raw += u64::from(times) * u64::from(raw_bits(k as u32, shift));
                        }
                    }
                }
                Outcome { counts, raw, error, centroids, indices: vec![indices] }
            })
            .collect();
        // Merged in the order of the pieces: the sums must not depend on who finished first.
        let mut parts = parts.into_iter();
        let Some(mut total) = parts.next() else {
            return Outcome {
                counts: vec![Counts::default(); contexts],
                raw: 0,
                error: 0.0,
                centroids: [[(0.0, 0); MOST_POINTS + 1]; 2],
                indices: Vec::new(),
            };
        };
        for part in parts {
            total.counts.iter_mut().zip(&part.counts).for_each(|(own, more)| own.merge(more));
            total.raw += part.raw;
            total.error += part.error;
            for (own, more) in total.centroids.iter_mut().flatten().zip(part.centroids.iter().flatten()) {
                own.0 += more.0;
                own.1 += more.1;
            }
            total.indices.extend(part.indices);
        }
        total
    }
}

impl Outcome {
    fn bits(&self) -> f64 {
        self.raw as f64 + self.counts.iter().map(Counts::adaptive_bits).sum::<f64>()
    }

    /// Centroids as offsets from the lattice, as many as pay for themselves.
    fn points(&self, most: usize) -> Vec<[i8; 2]> {
        let mut points: Vec<[i8; 2]> = (1..=most)
            .map(|k| {
                [0, 1].map(|quantizer| {
                    let (sum, count) = self.centroids[quantizer][k];
                    if count < 16 {
                        return 0;
                    }
                    let offset = sum / f64::from(count) - (2 * k - quantizer) as f64;
                    (offset * 64.0).round().clamp(-127.0, 127.0) as i8
                })
            })
            .collect();
        while points.last() == Some(&[0, 0]) {
            points.pop();
        }
        points
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

/// Entries of the cost tables.
const REACH: usize = 160;

fn tables(params: &Params, counts: &[Counts], lambda: f32) -> Tables {
    let reach = (REACH << params.shift.saturating_sub(2)).min(1 << 11);
    let points =
        [0, 1].map(|quantizer| std::iter::once(0.0).chain((0..reach).map(|k| params.point(quantizer, k))).collect());
    let mut rates = Vec::with_capacity(counts.len() * (reach + 1));
    let mut costs = vec![0f32; reach];
    for counts in counts {
        counts.costs(params.shift, &mut costs);
        rates.push(1e30);
        rates.extend(costs.iter().map(|bits| bits * lambda));
    }
    Tables { reach, points, rates, lambda }
}

/// Where the search starts: counts as a Laplacian of mean magnitude `mean` (in steps) would leave them, with Q1's zero as frequent as
/// `zero` of its share. The alternation of path and tables has two good optima: one in which Q1 does without its zero (Gaussian sources,
/// high rates) and one in which both quantisers favour it (peaked sources, low rates).
fn guess(mean: f64, shift: u32, contexts: usize, zero: f64) -> Vec<Counts> {
    let reach = (16u32 << shift).min(512);
    let rate = 2.0 / mean.max(0.05);
    let quantizer = |zero: f64| {
        let mut counts = Counts::default();
        for k in 0..reach {
            let weight = exp2(-f64::from(k) * rate * std::f64::consts::LOG2_E) * if k == 0 { zero } else { 1.0 };
            counts.add(k, (weight * 20_000.0) as u32 + 1, shift);
        }
        counts
    };
    let both = [quantizer(1.0), quantizer(zero)];
    (0..contexts).map(|context| both[context % 2].clone()).collect()
}

/// Compresses a tensor at `bits` per weight.
///
/// # Errors
/// Cancellation.
pub fn encode(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    weights: Option<&Weights>,
    bits: f64,
    effort: Search,
) -> Result<Encoded, EncodeError> {
    let mut scaled = Vec::new();
    let values = match weights {
        Some(weights) => {
            scaled.extend_from_slice(tensor.values());
            weights.apply(&mut scaled);
            &scaled[..]
        }
        None => tensor.values(),
    };
    let (rows, columns) = (tensor.rows(), tensor.columns());
    // An offset would have to be weighted too.
    let offset = if weights.is_some() { 0.0 } else { offset(values) };
    let weight_bytes = weights.map(Weights::to_bytes);
    let magnitude = |v: f32| (f64::from(v) - f64::from(offset)).abs();
    let largest = values.iter().map(|&v| magnitude(v)).fold(0.0, f64::max);
    let code = Code::new(effort.memory).ok_or_else(|| EncodeError::Internal("unknown trellis code".into()))?;
    let params = Params { offset, step: 0.0, memory: effort.memory, shift: 0, points: Vec::new(), weighted: false };
    let classes = Classes::choose(values, offset, rows, columns);
    // The least step a finite binary32 can hold and whose indices stay within 22 bits.
    let least = (largest / f64::from(1 << 22)).max(f64::from(f32::MIN_POSITIVE) / f64::from(1 << 22));
    if largest == 0.0 {
        return Ok(Encoded::single(params.to_bytes(&Classes::none(), []), Vec::new()));
    }
    let params = Params { weighted: weights.is_some(), ..params };
    let mean = values.iter().map(|&v| magnitude(v)).sum::<f64>() / values.len() as f64;
    let source = Source { values, offset, columns, classes, code };
    let contexts = 2 * usize::from(source.classes.count);
    let count = values.len();
    let chunks: Vec<(usize, usize)> =
        (0..count).step_by(CHUNK).map(|start| (start, CHUNK.min(count - start))).collect();
    let sample: Vec<(usize, usize)> = if count <= 2 * effort.sample {
        chunks.clone()
    } else {
        let pieces = effort.sample / PIECE;
        (0..pieces).map(|piece| (piece * (count / pieces), PIECE)).collect()
    };
    let sampled: usize = sample.iter().map(|&(_, length)| length).sum();
    // Fixed bytes are known ahead and leave the search with what the indices may take.
    let class_bytes = if source.classes.rows.is_empty() && source.classes.columns.is_empty() {
        None
    } else {
        Some(source.classes.to_bytes())
    };
    let most_points = match count {
        0..1024 => 0,
        1024..16_384 => 2,
        16_384..131_072 => 4,
        _ => 12,
    };
    let fixed =
        (class_bytes.as_ref().map_or(0, Vec::len) + weight_bytes.as_ref().map_or(0, Vec::len) + 10 + 2 * most_points)
            as f64
            * 8.0
            / count as f64;
    // A tensor too small for its own header gets most of the rate for its weights all the same.
    let bits = bits.max(0.9 * bits + fixed);
    let rate = bits - fixed;
    let lambda = lambda(rate);
    let floor = log2(least);
    // Nothing is left above the largest weight; and the step itself must be finite.
    let ceiling = (log2(largest) + 1.0).min(127.0);
    let step_of = |log_step: f64| exp2(log_step.clamp(floor.min(ceiling), ceiling)) as f32;
    let starts: &[f64] = if rate < 2.2 && count >= 1024 { &[0.01, 1.0] } else { &[0.01] };
    // Low rates converge slowly: the points move far from the lattice.
    let settled = if rate < 2.2 { 8 } else { 4 };
    let mut found: Option<(f64, f64, Params, Tables)> = None;
    for &zero in starts {
        let mut params = params.clone();
        // About where a Laplacian ends up; the search does the rest.
        let mut log_step = log2((mean * 1.3 * exp2(-(rate - 1.2))).max(least)).min(ceiling);
        params.step = step_of(log_step);
        params.shift = shift(mean, params.step);
        let mut state = tables(&params, &guess(mean / f64::from(params.step), params.shift, contexts, zero), lambda);
        let mut merit = f64::INFINITY;
        // Step and tables move together: the rate falls by less than one bit an octave, so the iteration contracts, and no
        // bracket goes stale while the tables still change.
        for pass in 0..14 {
            context.check_cancelled()?;
            let outcome = source.pass(&sample, &state, params.step, params.shift);
            params.points = outcome.points(most_points);
            state = tables(&params, &outcome.counts, lambda);
            let reached = outcome.bits() / sampled as f64;
            let error = (outcome.error / sampled as f64).max(1e-30);
            merit = log2(error * f64::from(params.step) * f64::from(params.step)) + 2.0 * reached;
            let miss = reached - rate;
            if pass >= settled && miss.abs() < effort.tolerance || log_step <= floor && miss < 0.0 {
                break;
            }
            log_step = (log_step + miss.clamp(-2.0, 2.0)).max(floor).min(ceiling);
            params.step = step_of(log_step);
            let moved = shift(mean, params.step);
            if moved != params.shift {
                params.shift = moved;
                state = tables(&params, &guess(mean / f64::from(params.step), moved, contexts, zero), lambda);
            }
        }
        if found.as_ref().is_none_or(|(least, ..)| merit < *least) {
            found = Some((merit, log_step, params, state));
        }
    }
    let (_, mut log_step, mut params, mut state) =
        found.ok_or_else(|| EncodeError::Internal("no start was tried".into()))?;
    let mut secant = Secant::default();
    let mut best: Option<(f64, Encoded)> = None;
    for pass in 0..effort.passes {
        context.check_cancelled()?;
        let outcome = source.pass(&chunks, &state, params.step, params.shift);
        params.points = outcome.points(most_points);
        let (models, table_bytes) = if chunks.len() > 1 {
            write_models(&outcome.counts, params.shift)
        } else {
            (fresh_models(contexts), Vec::new())
        };
        let coded: Vec<Vec<u8>> = chunks
            .par_iter()
            .zip(&outcome.indices)
            .map(|(&(start, length), indices)| {
                let mut classes = vec![0u8; length];
                source.classes.fill(start, columns, &mut classes);
                write_chunk(code, params.shift, &models, &classes, indices, |i| values[start + i] < offset)
            })
            .collect();
        let scales = [weight_bytes.as_deref(), class_bytes.as_deref()];
        let encoded = assemble(&params, &source.classes, scales, table_bytes, &coded, count, columns);
        let size = encoded.params.len() + encoded.layers[0].segments.iter().map(|s| s.bytes.len()).sum::<usize>();
        let miss = size as f64 * 8.0 / count as f64 - bits;
        if best.as_ref().is_none_or(|(least, _)| miss.abs() < *least) {
            best = Some((miss.abs(), encoded));
        }
        // A byte more or less may be all there is to gain on a small tensor.
        if miss.abs() <= effort.tolerance.max(4.0 / count as f64)
            || log_step <= floor && miss < 0.0
            || pass + 1 == effort.passes
        {
            break;
        }
        // The first passes still move the tables, so their rates make no bracket; afterwards the tables rest.
        if pass < 2 {
            state = tables(&params, &outcome.counts, lambda);
            log_step += miss.clamp(-2.0, 2.0);
        } else {
            log_step = secant.next(log_step, miss);
        }
        log_step = log_step.max(floor).min(ceiling);
        params.step = step_of(log_step);
    }
    context.advance(count);
    best.map(|(_, encoded)| encoded).ok_or_else(|| EncodeError::Internal("no pass was made".into()))
}

fn assemble(
    params: &Params,
    classes: &Classes,
    scales: [Option<&[u8]>; 2],
    table_bytes: Vec<u8>,
    coded: &[Vec<u8>],
    count: usize,
    columns: usize,
) -> Encoded {
    use seedpress_codec::wire::Put;
    let mut segments = Vec::new();
    for bytes in scales.into_iter().flatten() {
        segments.push(Segment::new(Role::Scales, Symbols::OPAQUE, bytes.to_vec()));
    }
    if let [heads @ .., _] = coded
        && !heads.is_empty()
    {
        let mut bytes = Vec::new();
        heads.iter().for_each(|chunk| bytes.put_varint(chunk.len() as u64));
        bytes.extend(table_bytes);
        segments.push(Segment::new(Role::Tables, Symbols::OPAQUE, bytes));
    }
    // Coded already: the count is kept for reports, the packing says that there is nothing left to model.
    let symbols = Symbols { count: count as u64, row: u32::try_from(columns).unwrap_or(0), ..Symbols::OPAQUE };
    segments.push(Segment::new(Role::Indices, symbols, coded.concat()));
    let lengths: Vec<usize> = segments.iter().map(|segment| segment.bytes.len()).collect();
    Encoded::single(params.to_bytes(classes, lengths), segments)
}

/// The mean, where the weights lie to one side of zero (gains of norms); else 0, which costs nothing.
fn offset(values: &[f32]) -> f32 {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let square = values.iter().map(|&v| (f64::from(v) - mean) * (f64::from(v) - mean)).sum::<f64>() / count;
    if values.iter().all(|&v| v == values[0]) {
        return values[0];
    }
    // Removing the mean saves log2(1 + mean^2 / variance) / 2 bits a weight; it costs 32.
    if mean * mean * count > 45.0 * square { mean as f32 } else { 0.0 }
}

/// Low bits that keep the unary part short.
fn shift(mean: f64, step: f32) -> u32 {
    let index = mean / f64::from(step) / 2.0;
    (0..MOST_SHIFT).find(|&shift| index < f64::from(5u32 << shift)).unwrap_or(MOST_SHIFT)
}

/// Finds the zero of a falling function of slope about -1.
#[derive(Default)]
struct Secant {
    above: Option<(f64, f64)>,
    below: Option<(f64, f64)>,
}

impl Secant {
    fn next(&mut self, x: f64, y: f64) -> f64 {
        if y > 0.0 {
            self.above = Some((x, y))
        } else {
            self.below = Some((x, y))
        }
        match (self.above, self.below) {
            (Some((x0, y0)), Some((x1, y1))) => {
                // Regula falsi kept away from the ends, so that both of them move.
                let part = (y0 / (y0 - y1)).clamp(0.08, 0.92);
                x0 + (x1 - x0) * part
            }
            _ => x + y.clamp(-3.0, 3.0) * 1.02,
        }
    }
}
