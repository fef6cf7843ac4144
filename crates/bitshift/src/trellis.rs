//! The trellis: the costs of all states, and a step from one sample to the next.
//!
//! States are laid out with their low `k` bits as the slow index; then predecessors are read from `2^k` contiguous streams. A step goes
//! through the groups a tile at a time, few enough that minima, choices and their transpose (the successors of neighbouring groups
//! are far apart, those of every `2^k`-th group are neighbours) stay in registers; the successors' costs go to a second buffer, and the
//! values they are compared with lie in the order in which they are needed. The squared errors are added in one fixed order without
//! fused operations: the wider instructions change nothing but the time.

use crate::code::value;

/// A trellis and room to search it.
pub(crate) struct Trellis {
    /// Bits of a state.
    pub(crate) state_bits: u32,
    /// Bits of a weight.
    pub(crate) bits: u32,
    /// Sets of states with the same predecessors.
    pub(crate) groups: usize,
    /// Neighbouring successors in a tile.
    pub(crate) length: usize,
    /// Values in the order a step needs them: tile by tile, low bits, high bits, neighbours.
    values: Vec<f32>,
    /// As many zeros: what a sample that stands for no weight is compared with.
    zeros: Vec<f32>,
    pub(crate) costs: Vec<f32>,
    next: Vec<f32>,
    /// For each sample and group, which predecessor.
    pub(crate) decisions: Vec<u8>,
}

/// Neighbouring successors in a tile.
pub(crate) const LENGTH: usize = 16;
/// The same where a short register at a high rate has no more.
const SHORT: usize = 4;

impl Trellis {
    /// A trellis with `state_bits` in 10..=16 and `bits` in 1..=4; `unit` turns values into the samples' scale.
    pub(crate) fn new(state_bits: u32, bits: u32, unit: f32) -> Self {
        let (states, branches) = (1usize << state_bits, 1usize << bits);
        let groups = states >> bits;
        let inner = groups >> bits;
        let length = if inner >= LENGTH { LENGTH } else { SHORT };
        let mut values = Vec::with_capacity(states);
        for tile in 0..inner / length {
            for (low, high) in (0..branches).flat_map(|low| (0..branches).map(move |high| (low, high))) {
                let first = high * inner + tile * length;
                let states = (first..first + length).map(|rest| (rest << bits | low) as u32);
                values.extend(states.map(|state| value(state) as f32 * unit));
            }
        }
        let (costs, next) = (vec![0.0; states], vec![0.0; states]);
        let zeros = vec![0.0; states];
        Self { state_bits, bits, groups, length, values, zeros, costs, next, decisions: Vec::new() }
    }

    /// Calls a step for every sample with the number of groups, the decisions to write, the values, the costs and the costs to write. A
    /// sample that is NaN stands for no weight, and every value is right for it.
    #[inline(always)]
    pub(crate) fn step_through(
        &mut self,
        samples: &[f32],
        step: impl Fn(f32, usize, &mut [u8], &[f32], &[f32], &mut [f32]),
    ) {
        for (&sample, decisions) in samples.iter().zip(self.decisions.chunks_exact_mut(self.groups)) {
            let (sample, values) = if sample.is_nan() { (0.0, &self.zeros) } else { (sample, &self.values) };
            step(sample, self.groups, decisions, values, &self.costs, &mut self.next);
            std::mem::swap(&mut self.costs, &mut self.next);
        }
    }
}

/// All steps, on any machine.
#[inline(always)]
pub(crate) fn steps(trellis: &mut Trellis, samples: &[f32]) {
    match (trellis.bits, trellis.length) {
        (1, _) => steps_of::<2, LENGTH, 32>(trellis, samples),
        (2, _) => steps_of::<4, LENGTH, 64>(trellis, samples),
        (3, _) => steps_of::<8, LENGTH, 128>(trellis, samples),
        (_, LENGTH) => steps_of::<16, LENGTH, 256>(trellis, samples),
        _ => steps_of::<16, SHORT, 64>(trellis, samples),
    }
}

/// `BRANCHES` predecessors of a state, `LENGTH` neighbouring successors, `TILE` groups at a time, the product of both.
#[inline(always)]
fn steps_of<const BRANCHES: usize, const LENGTH: usize, const TILE: usize>(trellis: &mut Trellis, samples: &[f32]) {
    trellis.step_through(samples, |sample, groups, decisions, values, costs, next| {
        // Group `g` leads to states whose low bits are those of `g`, whatever bits come in.
        let inner = groups / BRANCHES;
        let tiles = decisions.chunks_exact_mut(TILE).zip(values.chunks_exact(TILE * BRANCHES));
        for (tile, (decisions, values)) in tiles.enumerate() {
            let (mut least, mut choice) = ([0f32; TILE], [0u32; TILE]);
            least.copy_from_slice(&costs[tile * TILE..][..TILE]);
            for branch in 1..BRANCHES {
                let costs = &costs[branch * groups + tile * TILE..][..TILE];
                for ((least, choice), &cost) in least.iter_mut().zip(&mut choice).zip(costs) {
                    *choice = if cost < *least { branch as u32 } else { *choice };
                    *least = if cost < *least { cost } else { *least };
                }
            }
            decisions.iter_mut().zip(&choice).for_each(|(to, &from)| *to = from as u8);
            for low in 0..BRANCHES {
                let dealt: [f32; LENGTH] = std::array::from_fn(|at| least[at * BRANCHES + low]);
                for high in 0..BRANCHES {
                    let values = &values[(low * BRANCHES + high) * LENGTH..][..LENGTH];
                    let next = &mut next[low * groups + high * inner + tile * LENGTH..][..LENGTH];
                    for ((next, &value), &before) in next.iter_mut().zip(values).zip(&dealt) {
                        let miss = sample - value;
                        *next = before + miss * miss;
                    }
                }
            }
        }
    });
}
