//! The encoder's search: a tail-biting path of least squared error.
//!
//! The trellis is a shift register: state `s` is a window of `L` bits of a circular stream, the next window starts `k` bits on. All
//! `2^k` predecessors of a state agree in all but their low `k` bits, so each step is a minimum over groups of `2^k` followed by one
//! addition a state (`trellis`).
use crate::trellis::{Trellis, steps};
#[cfg(target_arch = "x86_64")]
use crate::wide;

/// A trellis and room to search it.
pub struct Search(Trellis);

/// More than any path costs.
const NEVER: f32 = 1e30;

impl Search {
    /// A search with `state_bits` in 10..=16 and `bits` in 1..=4; `unit` turns values into the samples' scale.
    pub fn new(state_bits: u32, bits: u32, unit: f32) -> Self {
        Self(Trellis::new(state_bits, bits, unit))
    }

    /// The circular stream of states for `samples`, NaN where any state will do; `bits x samples` is at least a state's length.
    pub fn tail_biting(&mut self, samples: &[f32]) -> Vec<u16> {
        let Trellis { state_bits, bits, groups, .. } = self.0;
        // A first search, with free ends, finds what the window at the seam should be. Some lengths of the register on either side
        // are as good as the whole block.
        let half = (samples.len() / 2).min(4 * state_bits.div_ceil(bits) as usize);
        let (tail, head) = (&samples[samples.len() - half..], &samples[..half]);
        let free = self.search(&[tail, head].concat(), None);
        let at_seam = usize::from(free[half]);
        let overlap = at_seam & (groups - 1);
        self.search(samples, Some(overlap))
    }

    /// The best states, where `seam` is given with the bits shared by the last and the first.
    fn search(&mut self, samples: &[f32], seam: Option<usize>) -> Vec<u16> {
        let trellis = &mut self.0;
        let groups = trellis.groups;
        trellis.decisions.resize(samples.len() * groups, 0);
        match seam {
            None => trellis.costs.fill(0.0),
            Some(overlap) => {
                // Only a predecessor of the allowed first states is free; its own value never counts.
                trellis.costs.fill(NEVER);
                trellis.costs[overlap] = 0.0;
            }
        }
        forward(trellis, samples);
        let branches = 1usize << trellis.bits;
        let cost = |state: usize| trellis.costs[(state & (branches - 1)) * groups + (state >> trellis.bits)];
        let candidates = match seam {
            None => 0..groups * branches,
            Some(overlap) => overlap << trellis.bits..(overlap + 1) << trellis.bits,
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
            state = group << trellis.bits | usize::from(trellis.decisions[at * groups + group]);
        }
        states
    }
}

fn forward(trellis: &mut Trellis, samples: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(fast) = wide::on_this_machine().next() {
        return fast(trellis, samples);
    }
    steps(trellis, samples);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::{DEVIATION, value};

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
            let run = |f: fn(&mut Trellis, &[f32])| {
                let mut trellis = Trellis::new(state_bits, bits, 1.0 / DEVIATION);
                trellis.decisions.resize(63 * trellis.groups, 0);
                f(&mut trellis, &samples(63));
                (trellis.costs, trellis.decisions)
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
            let mut trellis = Trellis::new(state_bits, bits, unit);
            let (states, branches, groups) = (1usize << state_bits, 1usize << bits, trellis.groups);
            trellis.decisions.resize(5 * groups, 0);
            let mut costs = vec![0f32; states];
            for (at, &sample) in samples(5).iter().enumerate() {
                let before = costs.clone();
                for (state, cost) in costs.iter_mut().enumerate() {
                    let predecessors = (0..branches).map(|branch| before[(state & (groups - 1)) << bits | branch]);
                    let miss = sample - value(state as u32) as f32 * unit;
                    *cost = predecessors.fold(f32::INFINITY, f32::min) + miss * miss;
                }
                let mut one = vec![0u8; groups];
                std::mem::swap(&mut trellis.decisions, &mut one);
                forward(&mut trellis, &[sample]);
                for (state, &cost) in costs.iter().enumerate() {
                    let group = state & (groups - 1);
                    let chosen = group << bits | usize::from(trellis.decisions[group]);
                    let least =
                        (0..branches).map(|branch| before[group << bits | branch]).fold(f32::INFINITY, f32::min);
                    assert!(before[chosen] == least, "{state_bits} {bits} at {at}");
                    let place = (state & (branches - 1)) * groups + (state >> bits);
                    assert!(trellis.costs[place] == cost, "{state_bits} {bits} at {at}: {state}");
                }
            }
        }
    }
}
