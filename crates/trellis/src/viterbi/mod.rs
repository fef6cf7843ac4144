//! The search: the path through the trellis of least `distortion + lambda x bits` (Viterbi).
//!
//! All costs are `f32` sums in a fixed order without fused multiply-add, so the vector kernels and the portable loops take the same
//! decisions. A cost depends on the sample, its class and the quantiser, never on the path: four branch costs a sample serve any
//! number of states.
//!
//! | module | idea |
//! | --- | --- |
//! | `tables` | what an index costs |
//! | `branches` | the four branch costs of every sample |
//! | `forward` | the least cost of every state, sample by sample |

mod branches;
mod forward;
mod tables;

pub(crate) use tables::FURTHEST;
pub use tables::Tables;

use crate::code::Code;

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

const MOST_STATES: usize = 1 << Code::MOST;

/// Cost of a state that no path has reached.
const UNREACHED: f32 = 1e30;

/// The best path for magnitudes `u` (in steps) with their classes; writes the indices and returns the state after them.
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
    branches::fill(tables, u, classes, weight, &mut scratch.branches);
    let width = u.len() * states.div_ceil(8);
    if scratch.decisions.len() < width {
        scratch.decisions.resize(width, 0);
    }
    let decisions = &mut scratch.decisions[..width];
    let mut costs = [UNREACHED; MOST_STATES];
    let costs = &mut costs[..states.max(8)];
    costs[start.state] = 0.0;
    forward::run(code, &scratch.branches, costs, decisions);
    let last = (1..states).fold(0, |best, state| if costs[state] < costs[best] { state } else { best });
    trace_back(code, decisions, last, indices);
    // Apart from the walk back, whose steps wait for each other, the choices are independent.
    for ((index, &u), &class) in indices.iter_mut().zip(u).zip(classes) {
        let branch = *index as usize;
        *index = tables.best(u, weight, usize::from(class), branch >> 1, branch & 1).1 as u32;
    }
    last
}

/// Follows the decisions from the state after the last sample: writes the branch of every sample, twice its quantiser plus its parity.
fn trace_back(code: Code, decisions: &[u8], last: usize, branches: &mut [u32]) {
    let width = code.states().div_ceil(8);
    let mut state = last;
    for (branch, bits) in branches.iter_mut().zip(decisions.chunks_exact(width)).rev() {
        let parity = usize::from(bits[state / 8] >> (state % 8) & 1);
        *branch = (2 * code.incoming_quantizer(state) + parity) as u32;
        state = code.previous(state, parity);
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    use seedpress_simd::Level;

    use super::*;

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
            branches::fill(&tables, &u, &classes, weight, &mut found);
            let expected = u.iter().zip(&classes).map(|(&u, &class)| tables.branches(u, weight, usize::from(class)));
            assert!(found.iter().copied().eq(expected));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn vector_kernels_take_the_portable_decisions() {
        let (tables, u) = (tables(), magnitudes(1000));
        let branches: Vec<[f32; 4]> = u.iter().map(|&u| tables.branches(u, 1.0, 1)).collect();
        for memory in 2..=8 {
            let code = Code::new(memory).unwrap();
            let run = |level| {
                let mut costs = vec![UNREACHED; code.states()];
                costs[0] = 0.0;
                let mut decisions = vec![0xA5; u.len() * code.states().div_ceil(8)];
                forward::at(level, code, &branches, &mut costs, &mut decisions);
                (costs, decisions)
            };
            let portable = run(Level::Portable);
            Level::supported().for_each(|level| assert_eq!(run(level), portable, "memory {memory}, {level:?}"));
        }
    }
}
