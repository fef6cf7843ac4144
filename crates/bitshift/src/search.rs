//! The encoder's search: a tail-biting path of least squared error.
//!
//! The trellis is a shift register: state `s` is a window of `L` bits of a circular stream, the next window starts `k` bits on. All
//! `2^k` predecessors of a state agree in all but their low `k` bits, so each step is a minimum over groups of `2^k` followed by one
//! addition a state.
//!
//! States are laid out with their low `k` bits as the slow index; then predecessors are read from `2^k` contiguous streams. A step goes
//! through the groups a tile at a time, few enough that minima, choices and their transpose (the successors of neighbouring groups
//! are far apart, those of every `2^k`-th group are neighbours) stay in registers; the successors' costs go to a second buffer, and the
//! values they are compared with lie in the order in which they are needed. The squared errors are added in one fixed order without
//! fused operations: the wider instructions change nothing but the time.

use crate::code::value;
#[cfg(target_arch = "x86_64")]
use crate::wide;

/// A trellis and room to search it.
pub struct Search {
    /// Bits of a state.
    state_bits: u32,
    /// Bits of a weight.
    bits: u32,
    /// Sets of states with the same predecessors.
    groups: usize,
    /// Neighbouring successors in a tile.
    length: usize,
    /// Values in the order a step needs them: tile by tile, low bits, high bits, neighbours.
    values: Vec<f32>,
    /// As many zeros: what a sample that stands for no weight is compared with.
    zeros: Vec<f32>,
    costs: Vec<f32>,
    next: Vec<f32>,
    /// For each sample and group, which predecessor.
    decisions: Vec<u8>,
}

/// Neighbouring successors in a tile.
pub(crate) const LENGTH: usize = 16;
/// The same where a short register at a high rate has no more.
const SHORT: usize = 4;

const NEVER: f32 = 1e30;

impl Search {
    /// A search with `state_bits` in 10..=16 and `bits` in 1..=4; `unit` turns values into the samples' scale.
    pub fn new(state_bits: u32, bits: u32, unit: f32) -> Self {
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

    #[cfg(target_arch = "x86_64")]
    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) fn length(&self) -> usize {
        self.length
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

    /// The circular stream of states for `samples`, NaN where any state will do; `bits x samples` is at least a state's length.
    pub fn tail_biting(&mut self, samples: &[f32]) -> Vec<u16> {
        // A first search, with free ends, finds what the window at the seam should be. Some lengths of the register on either side
        // are as good as the whole block.
        let half = (samples.len() / 2).min(4 * self.state_bits.div_ceil(self.bits) as usize);
        let (tail, head) = (&samples[samples.len() - half..], &samples[..half]);
        let free = self.search(&[tail, head].concat(), None);
        let at_seam = usize::from(free[half]);
        let overlap = at_seam & (self.groups - 1);
        self.search(samples, Some(overlap))
    }

    /// The best states, where `seam` is given with the bits shared by the last and the first.
    fn search(&mut self, samples: &[f32], seam: Option<usize>) -> Vec<u16> {
        let groups = self.groups;
        self.decisions.resize(samples.len() * groups, 0);
        match seam {
            None => self.costs.fill(0.0),
            Some(overlap) => {
                // Only a predecessor of the allowed first states is free; its own value never counts.
                self.costs.fill(NEVER);
                self.costs[overlap] = 0.0;
            }
        }
        forward(self, samples);
        let branches = 1usize << self.bits;
        let cost = |state: usize| self.costs[(state & (branches - 1)) * groups + (state >> self.bits)];
        let candidates = match seam {
            None => 0..groups * branches,
            Some(overlap) => overlap << self.bits..(overlap + 1) << self.bits,
        };
        let mut state = candidates.start;
        for candidate in candidates {
            if cost(candidate) < cost(state) {
                state = candidate;
            }
        }
        let mut states = vec![0u16; samples.len()];
        for (at, slot) in states.iter_mut().enumerate().rev() {
            *slot = state as u16;
            let group = state & (groups - 1);
            state = group << self.bits | usize::from(self.decisions[at * groups + group]);
        }
        states
    }
}

fn forward(search: &mut Search, samples: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(fast) = wide::on_this_machine().next() {
        return fast(search, samples);
    }
    steps(search, samples);
}

/// All steps, on any machine.
#[inline(always)]
pub(crate) fn steps(search: &mut Search, samples: &[f32]) {
    match (search.bits, search.length) {
        (1, _) => steps_of::<2, LENGTH, 32>(search, samples),
        (2, _) => steps_of::<4, LENGTH, 64>(search, samples),
        (3, _) => steps_of::<8, LENGTH, 128>(search, samples),
        (_, LENGTH) => steps_of::<16, LENGTH, 256>(search, samples),
        _ => steps_of::<16, SHORT, 64>(search, samples),
    }
}

/// `BRANCHES` predecessors of a state, `LENGTH` neighbouring successors, `TILE` groups at a time, the product of both.
#[inline(always)]
fn steps_of<const BRANCHES: usize, const LENGTH: usize, const TILE: usize>(search: &mut Search, samples: &[f32]) {
    search.step_through(samples, |sample, groups, decisions, values, costs, next| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::DEVIATION;

    fn samples(count: usize) -> Vec<f32> {
        (0..count as u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 16) as f32 / 16384.0 - 2.0).collect()
    }

    #[test]
    fn streams_are_circular() {
        for (state_bits, bits, count) in [(10, 1, 16), (12, 2, 256), (11, 3, 40), (16, 4, 8), (16, 1, 16)] {
            let mut search = Search::new(state_bits, bits, 1.0 / DEVIATION);
            let states = search.tail_biting(&samples(count));
            for at in 0..count {
                let (now, next) = (u32::from(states[at]), u32::from(states[(at + 1) % count]));
                assert_eq!(now >> bits, next & ((1 << (state_bits - bits)) - 1), "{state_bits} {bits} at {at}");
            }
        }
    }

    #[test]
    fn a_short_path_is_the_best_of_all() {
        // Five weights of two bits: every circular stream of ten bits can be tried.
        let samples = [0.3f32, -1.2, 0.9, 2.0, -0.1];
        let mut search = Search::new(10, 2, 1.0 / DEVIATION);
        let error = |states: &[u16]| -> f64 {
            let squares = states
                .iter()
                .zip(&samples)
                .map(|(&s, &x)| (f64::from(value(u32::from(s))) / f64::from(DEVIATION) - f64::from(x)).powi(2));
            squares.sum()
        };
        let all = (0..1u32 << 10).map(|stream| {
            let states: Vec<u16> =
                (0..5).map(|at| ((stream >> (2 * at) | stream << (10 - 2 * at)) & 1023) as u16).collect();
            error(&states)
        });
        let least = all.fold(f64::INFINITY, f64::min);
        // With its seam fixed the search is exact; over all seams it finds the optimum.
        let found = (0..256).map(|seam| error(&search.search(&samples, Some(seam)))).fold(f64::INFINITY, f64::min);
        assert!((found - least).abs() < 1e-5, "{found} against {least}");
        assert!(error(&search.tail_biting(&samples)) >= least - 1e-5);
    }

    /// Three weights of one bit a state of twelve: the bits that pad the block are free, and fourteen of them choose three values.
    #[test]
    fn weights_fewer_than_a_state_has_bits_get_all_of_them() {
        let wanted = [0.3f32, -1.2, 0.9];
        let mut padded = [f32::NAN; 16];
        padded[..3].copy_from_slice(&wanted);
        let unit = 1.0 / DEVIATION;
        let error = |states: &[u16]| -> f32 {
            let values = states.iter().map(|&state| value(u32::from(state)) as f32 * unit);
            values.zip(wanted).map(|(value, wanted)| (value - wanted) * (value - wanted)).sum()
        };
        let all = (0..1u32 << 14).map(|stream| error(&[0, 1, 2].map(|at| (stream >> at & 4095) as u16)));
        let least = all.fold(f32::INFINITY, f32::min);
        let found = error(&Search::new(12, 1, unit).tail_biting(&padded));
        assert!(found <= least * 1.0001, "{found} against {least}");
    }

    #[test]
    fn wider_registers_change_nothing() {
        for (state_bits, bits) in [(10, 1), (10, 2), (12, 2), (10, 3), (11, 3), (10, 4), (11, 4), (12, 4)] {
            let run = |f: fn(&mut Search, &[f32])| {
                let mut search = Search::new(state_bits, bits, 1.0 / DEVIATION);
                search.decisions.resize(63 * search.groups, 0);
                f(&mut search, &samples(63));
                (search.costs, search.decisions)
            };
            let plain = run(steps);
            #[cfg(target_arch = "x86_64")]
            for wide in wide::on_this_machine() {
                assert!(run(wide) == plain, "{state_bits} {bits}");
            }
            assert!(run(forward) == plain, "{state_bits} {bits}");
        }
    }

    /// The step by its definition, state by state.
    #[test]
    fn a_step_is_a_minimum_over_predecessors() {
        for (state_bits, bits) in [(10, 1), (12, 2), (10, 3), (10, 4), (11, 4), (12, 4)] {
            let unit = 1.0 / DEVIATION;
            let mut search = Search::new(state_bits, bits, unit);
            let (states, branches, groups) = (1usize << state_bits, 1usize << bits, search.groups);
            search.decisions.resize(5 * groups, 0);
            let mut costs = vec![0f32; states];
            for (at, &sample) in samples(5).iter().enumerate() {
                let before = costs.clone();
                for (state, cost) in costs.iter_mut().enumerate() {
                    let predecessors = (0..branches).map(|branch| before[(state & (groups - 1)) << bits | branch]);
                    let miss = sample - value(state as u32) as f32 * unit;
                    *cost = predecessors.fold(f32::INFINITY, f32::min) + miss * miss;
                }
                let mut one = vec![0u8; groups];
                std::mem::swap(&mut search.decisions, &mut one);
                forward(&mut search, &[sample]);
                for (state, &cost) in costs.iter().enumerate() {
                    let group = state & (groups - 1);
                    let chosen = group << bits | usize::from(search.decisions[group]);
                    let least =
                        (0..branches).map(|branch| before[group << bits | branch]).fold(f32::INFINITY, f32::min);
                    assert!(before[chosen] == least, "{state_bits} {bits} at {at}");
                    let place = (state & (branches - 1)) * groups + (state >> bits);
                    assert!(search.costs[place] == cost, "{state_bits} {bits} at {at}: {state}");
                }
            }
        }
    }
}
