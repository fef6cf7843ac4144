//! The search: the path through the trellis of least `distortion + lambda x bits`.
//!
//! All costs are `f32` sums in a fixed order without fused multiply-add, so the AVX2 kernel and the portable loop take the same
//! decisions. A cost depends on the sample, its class and the quantiser, never on the path: four branch costs a sample serve any
//! number of states.

use std::hint::select_unpredictable;

use crate::code::Code;

/// The largest magnitude in steps that is searched: beyond, indices would not fit. A layer whose step is that of ordinary residuals may
/// meet far larger ones.
pub(crate) const FURTHEST: f32 = (1 << 22) as f32;

/// Magnitudes are in units of the step; an index beyond the table costs two bits more an octave.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Indices with a table entry.
    pub reach: usize,
    /// Reproduction points of both quantisers; entry `k + 1` belongs to index `k`.
    pub points: [Vec<f32>; 2],
    /// `lambda x bits`, `reach + 1` entries a context (class x 2 + quantiser), entry `k + 1` belongs to index `k`.
    pub rates: Vec<f32>,
    /// Lambda in squared steps per bit.
    pub lambda: f32,
}

impl Tables {
    #[inline]
    fn stride(&self) -> usize {
        self.reach + 1
    }

    /// Contexts with rates.
    pub fn contexts(&self) -> usize {
        self.rates.len() / self.stride()
    }

    /// The reproduction point of an index.
    #[inline]
    pub fn point(&self, quantizer: usize, k: usize) -> f32 {
        if k < self.reach { self.points[quantizer][k + 1] } else { (2 * k - quantizer) as f32 }
    }

    fn rate(&self, context: usize, k: usize) -> f32 {
        let row = &self.rates[context * self.stride()..][..self.stride()];
        if k < self.reach {
            row[k + 1]
        } else {
            let octaves = k.ilog2() - (self.reach - 1).ilog2();
            row[self.reach] + self.lambda * (2 * octaves) as f32
        }
    }

    #[inline]
    pub(crate) fn cost(&self, u: f32, weight: f32, context: usize, quantizer: usize, k: usize) -> f32 {
        let error = u - self.point(quantizer, k);
        weight * (error * error) + self.rate(context, k)
    }

    /// The cheapest index of a parity: one of the two that bracket `u`, or the smallest.
    #[inline]
    pub(crate) fn best(&self, u: f32, weight: f32, class: usize, quantizer: usize, parity: usize) -> (f32, usize) {
        let context = 2 * class + quantizer;
        let floor = ((u + quantizer as f32) * 0.5) as usize;
        if floor + 3 >= self.reach {
            return self.best_beyond(u, weight, context, quantizer, parity, floor);
        }
        // Entry `floor + 1` belongs to `floor`: the lower neighbour of this parity may be index -1, whose rate is prohibitive.
        let below = floor + 1 - ((floor ^ parity) & 1);
        let points = &self.points[quantizer];
        let rates = &self.rates[context * self.stride()..][..self.stride()];
        let cost = |entry: usize| {
            let error = u - points[entry];
            weight * (error * error) + rates[entry]
        };
        let (low, high, least) = (cost(below), cost(below + 2), cost(parity + 1));
        // Which of them wins is noise: a branch would be mispredicted.
        let near = if high < low { high } else { low };
        let entry = below + 2 * usize::from(high < low);
        let entry = select_unpredictable(least < near, parity + 1, entry);
        (if least < near { least } else { near }, entry - 1)
    }

    #[cold]
    fn best_beyond(
        &self,
        u: f32,
        weight: f32,
        context: usize,
        quantizer: usize,
        parity: usize,
        floor: usize,
    ) -> (f32, usize) {
        let below = floor as isize - ((floor ^ parity) & 1) as isize;
        let mut best = (f32::INFINITY, parity);
        for k in [below, below + 2, parity as isize] {
            if k >= 0 {
                let cost = self.cost(u, weight, context, quantizer, k as usize);
                if cost < best.0 {
                    best = (cost, k as usize);
                }
            }
        }
        best
    }

    /// The four branch costs: Q0 even, Q0 odd, Q1 even, Q1 odd.
    #[inline]
    pub(crate) fn branches(&self, u: f32, weight: f32, class: usize) -> [f32; 4] {
        let mut costs = [0f32; 4];
        for quantizer in 0..2 {
            let floor = ((u + quantizer as f32) * 0.5) as usize;
            let row = (2 * class + quantizer) * self.stride();
            let (Some(points), Some(rates)) =
                (self.points[quantizer].get(floor..floor + 4), self.rates[row..].get(floor..floor + 4))
            else {
                costs[2 * quantizer] = self.best(u, weight, class, quantizer, 0).0;
                costs[2 * quantizer + 1] = self.best(u, weight, class, quantizer, 1).0;
                continue;
            };
            if floor + 3 >= self.reach {
                costs[2 * quantizer] = self.best(u, weight, class, quantizer, 0).0;
                costs[2 * quantizer + 1] = self.best(u, weight, class, quantizer, 1).0;
                continue;
            }
            let cost: [f32; 4] = std::array::from_fn(|lane| {
                let error = u - points[lane];
                weight * (error * error) + rates[lane]
            });
            let less = |a: f32, b: f32| if a < b { a } else { b };
            // Lanes are floor - 1 .. floor + 2: equal parity two apart.
            let pair = [less(cost[0], cost[2]), less(cost[1], cost[3])];
            let odd_floor = floor & 1;
            let smallest: [f32; 2] = std::array::from_fn(|k| {
                let error = u - self.points[quantizer][k + 1];
                weight * (error * error) + self.rates[row + k + 1]
            });
            costs[2 * quantizer] = less(pair[1 - odd_floor], smallest[0]);
            costs[2 * quantizer + 1] = less(pair[odd_floor], smallest[1]);
        }
        costs
    }
}

/// Memory a search needs, kept between chunks.
#[derive(Debug, Default)]
pub struct Scratch {
    branches: Vec<[f32; 4]>,
    decisions: Vec<u8>,
}

/// Where a path starts, and what its errors count.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// The state before the first sample.
    pub state: usize,
    /// Factor of every squared error.
    pub weight: f32,
}

impl Start {
    /// State 0, errors as they are.
    pub const PLAIN: Self = Self { state: 0, weight: 1.0 };
}

/// The best path for magnitudes `u` with their classes; writes the indices and returns the state after them.
pub fn search(
    code: Code,
    tables: &Tables,
    u: &[f32],
    classes: &[u8],
    start: Start,
    scratch: &mut Scratch,
    indices: &mut [u32],
) -> usize {
    let states = code.states();
    let weight = start.weight;
    fill_branches(tables, u, classes, weight, &mut scratch.branches);
    let width = states.div_ceil(8);
    scratch.decisions.clear();
    scratch.decisions.resize(u.len() * width, 0);
    let mut costs = [1e30f32; MOST_STATES];
    let costs = &mut costs[..states.max(8)];
    costs[start.state] = 0.0;
    forward(code, &scratch.branches, costs, &mut scratch.decisions);
    let mut last = 0;
    for candidate in 1..states {
        if costs[candidate] < costs[last] {
            last = candidate;
        }
    }
    let mut state = last;
    for index in (0..u.len()).rev() {
        let parity = usize::from(scratch.decisions[index * width + state / 8] >> (state % 8) & 1);
        indices[index] = (2 * code.incoming_quantizer(state) + parity) as u32;
        state = code.previous(state, parity);
    }
    // Apart from the walk back, whose steps wait for each other, the choices are independent.
    for ((index, &u), &class) in indices.iter_mut().zip(u).zip(classes) {
        let branch = *index as usize;
        *index = tables.best(u, weight, usize::from(class), branch >> 1, branch & 1).1 as u32;
    }
    last
}

/// The branch costs of all samples.
fn fill_branches(tables: &Tables, u: &[f32], classes: &[u8], weight: f32, branches: &mut Vec<[f32; 4]>) {
    branches.clear();
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        avx2::fill_branches(tables, u, classes, weight, branches);
        return;
    }
    branches.extend(u.iter().zip(classes).map(|(&u, &class)| tables.branches(u, weight, usize::from(class))));
}

const MOST_STATES: usize = 1 << Code::MOST;

/// Samples between two subtractions of the least cost.
const PERIOD: usize = 64;

fn forward(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if code.states() >= 8 && std::arch::is_x86_feature_detected!("avx2") {
        avx2::forward(code, branches, costs, decisions);
        return;
    }
    portable(code, branches, costs, decisions);
}

fn portable(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    let states = code.states();
    let width = states.div_ceil(8);
    let previous: Vec<[usize; 3]> =
        (0..states).map(|t| [code.previous(t, 0), code.previous(t, 1), code.incoming_quantizer(t)]).collect();
    let mut after = vec![0f32; states];
    for (index, (branch, bits)) in branches.iter().zip(decisions.chunks_exact_mut(width)).enumerate() {
        for (t, &[even, odd, quantizer]) in previous.iter().enumerate() {
            let (a, b) = (costs[even] + branch[2 * quantizer], costs[odd] + branch[2 * quantizer + 1]);
            after[t] = if b < a { b } else { a };
            bits[t / 8] |= u8::from(b < a) << (t % 8);
        }
        costs[..states].copy_from_slice(&after);
        if index % PERIOD == PERIOD - 1 {
            let least = costs[..states].iter().copied().fold(f32::INFINITY, f32::min);
            costs[..states].iter_mut().for_each(|cost| *cost -= least);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2 {
    //! Eight states a register; with eight states the costs never leave it.

    use std::arch::x86_64::*;

    use super::{Code, PERIOD, Tables};

    pub fn fill_branches(tables: &Tables, u: &[f32], classes: &[u8], weight: f32, branches: &mut Vec<[f32; 4]>) {
        assert!(tables.points.iter().all(|points| points.len() > tables.reach) && tables.reach >= 3);
        // SAFETY: the caller has checked for AVX2; the points reach as far as was just checked.
        unsafe { both_quantizers(tables, u, classes, weight, branches) }
    }

    /// As `Tables::branches`, the first quantiser in the lower half of a register and the second in the upper.
    #[target_feature(enable = "avx2")]
    unsafe fn both_quantizers(tables: &Tables, u: &[f32], classes: &[u8], weight: f32, branches: &mut Vec<[f32; 4]>) {
        let stride = tables.stride();
        let (points, weights) = (tables.points.each_ref().map(|points| points.as_ptr()), _mm256_set1_ps(weight));
        let load = |low: *const f32, high: *const f32| {
            // SAFETY: four elements can be read at either, see the calls.
            unsafe { _mm256_set_m128(_mm_loadu_ps(high), _mm_loadu_ps(low)) }
        };
        // A table has more than three entries.
        let first_points = load(points[0], points[1]);
        // What lane of a half holds the costs of even and of odd indices, by the lowest bit of both floors.
        let orders = [[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]]
            .map(|[a, b, c, d]| _mm256_setr_epi32(a, b, a, b, c, d, c, d));
        branches.extend(u.iter().zip(classes).map(|(&u, &class)| {
            let floors = [(u * 0.5) as usize, ((u + 1.0) * 0.5) as usize];
            let rows = 2 * usize::from(class) * stride;
            let Some(rates) = tables.rates.get(rows..rows + 2 * stride) else { return [f32::INFINITY; 4] };
            // Of an infinite aim the floor is the largest number there is.
            if floors[1] >= tables.reach - 3 {
                return tables.branches(u, weight, usize::from(class));
            }
            let rates = [rates.as_ptr(), rates[stride..].as_ptr()];
            // SAFETY: `floor + 3` is below the reach, and points and rates have more entries than that.
            let (near_points, near_rates) = unsafe {
                (
                    load(points[0].add(floors[0]), points[1].add(floors[1])),
                    load(rates[0].add(floors[0]), rates[1].add(floors[1])),
                )
            };
            let first_rates = load(rates[0], rates[1]);
            let u = _mm256_set1_ps(u);
            let cost = |points, rates| {
                let error = _mm256_sub_ps(u, points);
                _mm256_add_ps(_mm256_mul_ps(weights, _mm256_mul_ps(error, error)), rates)
            };
            let near = cost(near_points, near_rates);
            let near = _mm256_min_ps(near, _mm256_permute_ps::<0b01_00_11_10>(near));
            let near = _mm256_permutevar_ps(near, orders[(floors[0] & 1) | (floors[1] & 1) << 1]);
            // Entries 1 and 2 belong to indices 0 and 1.
            let first = _mm256_permute_ps::<0b00_00_10_01>(cost(first_points, first_rates));
            let least = _mm256_min_ps(near, first);
            let halves = _mm_movelh_ps(_mm256_castps256_ps128(least), _mm256_extractf128_ps::<1>(least));
            let mut four = [0f32; 4];
            // SAFETY: four elements.
            unsafe { _mm_storeu_ps(four.as_mut_ptr(), halves) };
            four
        }));
    }

    pub fn forward(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
        assert!(costs.len() == code.states() && decisions.len() == branches.len() * (code.states() / 8));
        // SAFETY: the caller has checked for AVX2; all indices stay below `states`, which is the length of both cost arrays.
        unsafe {
            match code.states() {
                8 => eight(code, branches, costs, decisions),
                16 => many::<2>(code, branches, costs, decisions),
                32 => many::<4>(code, branches, costs, decisions),
                64 => many::<8>(code, branches, costs, decisions),
                128 => many::<16>(code, branches, costs, decisions),
                _ => many::<32>(code, branches, costs, decisions),
            }
        }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn eight(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
        let table = |f: &dyn Fn(usize) -> usize| -> [i32; 8] { std::array::from_fn(|t| f(t) as i32) };
        // SAFETY: loads and stores of eight elements from arrays of eight, of four from arrays of four.
        unsafe {
            let load = |array: [i32; 8]| _mm256_loadu_si256(array.as_ptr().cast());
            let even = load(table(&|t| code.previous(t, 0)));
            let odd = load(table(&|t| code.previous(t, 1)));
            let even_branch = load(table(&|t| 2 * code.incoming_quantizer(t)));
            let odd_branch = load(table(&|t| 2 * code.incoming_quantizer(t) + 1));
            let mut cost = _mm256_loadu_ps(costs.as_ptr());
            for (index, (branch, bits)) in branches.iter().zip(decisions.iter_mut()).enumerate() {
                let four = _mm256_broadcast_ps(&*branch.as_ptr().cast::<__m128>());
                let a = _mm256_add_ps(_mm256_permutevar8x32_ps(cost, even), _mm256_permutevar_ps(four, even_branch));
                let b = _mm256_add_ps(_mm256_permutevar8x32_ps(cost, odd), _mm256_permutevar_ps(four, odd_branch));
                *bits = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(b, a)) as u8;
                cost = _mm256_min_ps(b, a);
                if index % PERIOD == PERIOD - 1 {
                    let mut lanes = [0f32; 8];
                    _mm256_storeu_ps(lanes.as_mut_ptr(), cost);
                    let least = lanes.iter().copied().fold(f32::INFINITY, f32::min);
                    cost = _mm256_sub_ps(cost, _mm256_set1_ps(least));
                }
            }
            _mm256_storeu_ps(costs.as_mut_ptr(), cost);
        }
    }

    /// Where the register of even (or odd) elements of two registers, as `shuffle_ps` leaves it, holds the element of this rank.
    const PLACE: [i32; 8] = [0, 1, 4, 5, 2, 3, 6, 7];

    /// The predecessors of eight states in a row are every other of sixteen states in a row, permuted: two loads and two shuffles.
    #[target_feature(enable = "avx2")]
    unsafe fn many<const BLOCKS: usize>(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
        let states = 8 * BLOCKS;
        assert!(states >= 16 && code.states() == states);
        let mut firsts = [[0usize; 2]; BLOCKS];
        let mut places = [[_mm256_setzero_si256(); 2]; BLOCKS];
        for block in 0..BLOCKS {
            for parity in 0..2 {
                let first = code.previous(8 * block, parity) & !15;
                assert!(first + 16 <= states);
                let place: [i32; 8] =
                    std::array::from_fn(|lane| PLACE[(code.previous(8 * block + lane, parity) - first) / 2]);
                firsts[block][parity] = first;
                // SAFETY: a load of eight elements from an array of eight.
                places[block][parity] = unsafe { _mm256_loadu_si256(place.as_ptr().cast()) };
            }
        }
        assert_eq!(costs.len(), states);
        let mut now = costs.to_vec();
        let mut after = vec![0f32; states];
        for (index, (branch, bits)) in branches.iter().zip(decisions.chunks_exact_mut(BLOCKS)).enumerate() {
            // SAFETY: both cost arrays have `states` elements; sixteen from each `first` are among them, as checked above.
            unsafe {
                let (source, target) = (now.as_ptr(), after.as_mut_ptr());
                for block in 0..BLOCKS {
                    let [even, odd] = firsts[block];
                    let (a0, a1) = (_mm256_loadu_ps(source.add(even)), _mm256_loadu_ps(source.add(even + 8)));
                    let (b0, b1) = (_mm256_loadu_ps(source.add(odd)), _mm256_loadu_ps(source.add(odd + 8)));
                    // The quantiser of the predecessors, their lowest bit, is the top bit of the state: constant over a block.
                    let (a, b, quantizer) = if block < BLOCKS / 2 {
                        (_mm256_shuffle_ps::<0x88>(a0, a1), _mm256_shuffle_ps::<0x88>(b0, b1), 0)
                    } else {
                        (_mm256_shuffle_ps::<0xDD>(a0, a1), _mm256_shuffle_ps::<0xDD>(b0, b1), 2)
                    };
                    let a = _mm256_permutevar8x32_ps(a, places[block][0]);
                    let b = _mm256_permutevar8x32_ps(b, places[block][1]);
                    let a = _mm256_add_ps(a, _mm256_set1_ps(branch[quantizer]));
                    let b = _mm256_add_ps(b, _mm256_set1_ps(branch[quantizer + 1]));
                    bits[block] = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(b, a)) as u8;
                    _mm256_storeu_ps(target.add(8 * block), _mm256_min_ps(b, a));
                }
            }
            std::mem::swap(&mut now, &mut after);
            if index % PERIOD == PERIOD - 1 {
                let least = now.iter().copied().fold(f32::INFINITY, f32::min);
                now.iter_mut().for_each(|cost| *cost -= least);
            }
        }
        costs.copy_from_slice(&now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Forward = fn(Code, &[[f32; 4]], &mut [f32], &mut [u8]);

    fn tables() -> Tables {
        let reach = 12;
        let points = [0usize, 1].map(|q| {
            let lattice = (0..reach).map(|k| if k == 0 { 0.0 } else { (2 * k - q) as f32 });
            std::iter::once(0.0).chain(lattice).collect()
        });
        let mut rates = Vec::new();
        for context in 0..4 {
            rates.push(1e30);
            rates.extend((0..reach).map(|k| 0.3 + 0.5 * k as f32 + 0.1 * context as f32));
        }
        Tables { reach, points, rates, lambda: 0.5 }
    }

    fn magnitudes(count: usize) -> Vec<f32> {
        (0..count as u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 20) as f32 / 500.0).collect()
    }

    fn path_cost(code: Code, tables: &Tables, u: &[f32], indices: &[u32]) -> f64 {
        let mut state = 0;
        let mut cost = 0.0;
        for (&u, &k) in u.iter().zip(indices) {
            cost += f64::from(tables.cost(u, 1.0, state & 1, state & 1, k as usize));
            state = code.next(state, k as usize & 1);
        }
        cost
    }

    #[test]
    fn no_path_of_brute_force_is_cheaper() {
        let (code, tables, u) = (Code::new(3).unwrap(), tables(), magnitudes(6));
        let mut indices = vec![0; u.len()];
        search(code, &tables, &u, &[0; 6], Start::PLAIN, &mut Scratch::default(), &mut indices);
        let found = path_cost(code, &tables, &u, &indices);
        let mut least = f64::INFINITY;
        for number in 0..7u32.pow(6) {
            let path: Vec<u32> = (0..6).map(|digit| number / 7u32.pow(digit) % 7).collect();
            least = least.min(path_cost(code, &tables, &u, &path));
        }
        assert!((found - least).abs() < 1e-4, "{found} against {least}");
    }

    #[test]
    fn branch_costs_are_the_portable_ones() {
        let tables = tables();
        let u: Vec<f32> = magnitudes(4000).into_iter().map(|u| u * 6.0).collect();
        let classes: Vec<u8> = (0..u.len()).map(|i| (i % 2) as u8).collect();
        for weight in [1.0, 0.3] {
            let mut found = Vec::new();
            fill_branches(&tables, &u, &classes, weight, &mut found);
            let expected = u.iter().zip(&classes).map(|(&u, &class)| tables.branches(u, weight, usize::from(class)));
            assert!(found.iter().copied().eq(expected));
        }
    }

    #[test]
    fn the_vector_kernel_takes_the_portable_decisions() {
        let (tables, u) = (tables(), magnitudes(1000));
        let branches: Vec<[f32; 4]> = u.iter().map(|&u| tables.branches(u, 1.0, 1)).collect();
        for memory in 3..=8 {
            let code = Code::new(memory).unwrap();
            let run = |f: Forward| {
                let mut costs = vec![1e30; code.states()];
                costs[0] = 0.0;
                let mut decisions = vec![0; u.len() * code.states() / 8];
                f(code, &branches, &mut costs, &mut decisions);
                (costs, decisions)
            };
            assert_eq!(run(forward), run(portable), "memory {memory}");
        }
    }
}
