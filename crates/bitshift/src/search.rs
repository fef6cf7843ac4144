//! The encoder's search: a tail-biting path of least squared error.
//!
//! The trellis is a shift register: state `s` is a window of `L` bits of a circular stream, the next window starts `k` bits on. All
//! `2^k` predecessors of a state agree in all but their low `k` bits, so each step is a minimum over groups of `2^k` followed by one
//! addition a state. States are laid out with their low `k` bits as the slow index; then every inner loop runs over contiguous memory
//! and a compiler vectorises it. The squared errors are added in one fixed order without fused operations: the wider instructions
//! change nothing but the time.

use crate::code::value;

/// A trellis and room to search it.
pub struct Search {
    /// Bits of a state.
    state_bits: u32,
    /// Bits of a weight.
    bits: u32,
    /// Values in the order of the costs.
    values: Vec<f32>,
    costs: Vec<f32>,
    least: Vec<f32>,
    choice: Vec<u32>,
    /// For each sample and group, which predecessor.
    decisions: Vec<u8>,
}

const NEVER: f32 = 1e30;

impl Search {
    /// A search with `state_bits` in 10..=16 and `bits` in 1..=4; `unit` turns values into the samples' scale.
    pub fn new(state_bits: u32, bits: u32, unit: f32) -> Self {
        let states = 1usize << state_bits;
        let groups = states >> bits;
        let values = (0..states).map(|at| {
            let state = ((at % groups) << bits) | (at / groups);
            value(state as u32) as f32 * unit
        });
        Self {
            state_bits,
            bits,
            values: values.collect(),
            costs: vec![0.0; states],
            least: vec![0.0; groups],
            choice: vec![0; groups],
            decisions: Vec::new(),
        }
    }

    /// The circular stream of states for `samples`; `bits x samples` is at least a state's length.
    pub fn tail_biting(&mut self, samples: &[f32]) -> Vec<u16> {
        // A first search, with free ends, finds what the window at the seam should be. Some lengths of the register on either side
        // are as good as the whole block.
        let half = (samples.len() / 2).min(4 * self.state_bits.div_ceil(self.bits) as usize);
        let (tail, head) = (&samples[samples.len() - half..], &samples[..half]);
        let free = self.search(&[tail, head].concat(), None);
        let at_seam = usize::from(free[half]);
        let overlap = at_seam & (self.least.len() - 1);
        self.search(samples, Some(overlap))
    }

    /// The best states, where `seam` is given with the bits shared by the last and the first.
    fn search(&mut self, samples: &[f32], seam: Option<usize>) -> Vec<u16> {
        let groups = self.least.len();
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
    if std::arch::is_x86_feature_detected!("avx2") {
        wide::forward(search, samples);
        return;
    }
    steps(search, samples);
}

#[inline(always)]
fn steps(search: &mut Search, samples: &[f32]) {
    match search.bits {
        1 => steps_of::<2>(search, samples),
        2 => steps_of::<4>(search, samples),
        3 => steps_of::<8>(search, samples),
        _ => steps_of::<16>(search, samples),
    }
}

#[inline(always)]
fn steps_of<const BRANCHES: usize>(search: &mut Search, samples: &[f32]) {
    let groups = search.least.len();
    let Search { values, costs, least, choice, decisions, .. } = search;
    let (least, choice) = (&mut least[..groups], &mut choice[..groups]);
    // Group `g` leads to states whose low bits are those of `g`, whatever bits come in.
    let inner = groups / BRANCHES;
    let mut dealt = vec![0f32; groups];
    for (&sample, decisions) in samples.iter().zip(decisions.chunks_exact_mut(groups)) {
        least.copy_from_slice(&costs[..groups]);
        choice.fill(0);
        for (branch, costs) in costs.chunks_exact(groups).enumerate().skip(1) {
            for ((least, choice), &cost) in least.iter_mut().zip(choice.iter_mut()).zip(costs) {
                *choice = if cost < *least { branch as u32 } else { *choice };
                *least = if cost < *least { cost } else { *least };
            }
        }
        decisions.iter_mut().zip(choice.iter()).for_each(|(to, &from)| *to = from as u8);
        for (at, group) in least.chunks_exact(BRANCHES).enumerate() {
            for (low, &cost) in group.iter().enumerate() {
                dealt[low * inner + at] = cost;
            }
        }
        for (low, dealt) in dealt.chunks_exact(inner).enumerate() {
            let range = low * groups..(low + 1) * groups;
            let targets = costs[range.clone()].chunks_exact_mut(inner).zip(values[range].chunks_exact(inner));
            for (costs, values) in targets {
                for ((cost, &value), &before) in costs.iter_mut().zip(values).zip(dealt) {
                    let miss = sample - value;
                    *cost = before + miss * miss;
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod wide {
    //! The same loops, compiled for wider registers.

    use super::{Search, steps};

    pub fn forward(search: &mut Search, samples: &[f32]) {
        // SAFETY: the caller has checked for AVX2.
        unsafe { compiled(search, samples) }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn compiled(search: &mut Search, samples: &[f32]) {
        steps(search, samples);
    }
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

    #[test]
    fn wider_registers_change_nothing() {
        let run = |f: fn(&mut Search, &[f32])| {
            let mut search = Search::new(12, 2, 1.0 / DEVIATION);
            search.decisions.resize(64 * 1024, 0);
            f(&mut search, &samples(64));
            (search.costs, search.decisions)
        };
        assert_eq!(run(forward), run(steps));
    }
}
