//! The product of two trellises: the pair of paths of least joint cost.
//!
//! A state is a pair, the *near* code's (the row) and the *far* code's (the column); a weight has 16 branch costs, one for each pair of
//! quantiser and parity. Costs are 16-bit integers with saturating sums, so that the portable loop and the AVX2 kernel agree by
//! construction. Predecessors and successors of a row come in pairs (a butterfly): each row is read once.
//!
//! Decisions take 2 bits a state. So that they need not be kept for a whole chunk, the path is settled [`WINDOW`] weights at a time,
//! after a look [`MARGIN`] weights beyond, and the search goes on from the pair of states it settled on.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;
mod states;

pub(super) use states::{Branches, Product};

#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use states::{LANES, MARGIN, WINDOW, place};

impl Product {
    /// The branch pairs (as entries of [`Branches`]) of the best path from the pair of states 0.
    pub(super) fn search(&mut self, branches: &[Branches], chosen: &mut [u8]) {
        let (mut near, mut far) = (0, 0);
        let mut start = 0;
        while start < branches.len() {
            let seen = branches.len().min(start + WINDOW + MARGIN);
            let settled = if seen == branches.len() { seen } else { start + WINDOW };
            self.forward(&branches[start..seen], near, far);
            let (mut row, mut column) = self.cheapest();
            for at in (start..seen).rev() {
                if at + 1 == settled {
                    (near, far) = (row, column);
                }
                let words = self.code.states() / LANES;
                let word = self.decisions[((at - start) * self.code.states() + row) * words + column / LANES];
                let parities = [word >> place(column) & 1, word >> (place(column) + 8) & 1].map(|bit| bit as usize);
                let branch = |state: usize, parity: usize| 2 * self.code.incoming_quantizer(state) + parity;
                if at < settled {
                    chosen[at] = (4 * branch(row, parities[0]) + branch(column, parities[1])) as u8;
                }
                row = self.code.previous(row, parities[0]);
                column = self.code.previous(column, parities[1]);
            }
            start = settled;
        }
    }

    fn cheapest(&self) -> (usize, usize) {
        let mut best = 0;
        for state in 1..self.costs.len() {
            if self.costs[state] < self.costs[best] {
                best = state;
            }
        }
        (best / self.code.states(), best % self.code.states())
    }

    fn forward(&mut self, branches: &[Branches], near: usize, far: usize) {
        self.costs.fill(u16::MAX);
        self.costs[near * self.code.states() + far] = 0;
        #[cfg(target_arch = "x86_64")]
        if Level::fastest() >= Level::Avx2 {
            avx2::forward(self, branches);
            return;
        }
        self.portable(branches);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    fn noise(count: usize) -> Vec<Branches> {
        let mut noise = seedpress_testing::Noise::new(1);
        (0..count).map(|_| std::array::from_fn(|_| (noise.bits() >> 54) as u16)).collect()
    }

    #[test]
    fn both_paths_decide_alike() {
        for memory in 5..=7 {
            let code = Code::new(memory).unwrap();
            let branches = noise(200);
            let (mut one, mut two) = (Product::new(code), Product::new(code));
            one.costs.fill(u16::MAX);
            one.costs[0] = 0;
            one.portable(&branches);
            two.forward(&branches, 0, 0);
            assert!(one.costs == two.costs, "memory {memory}");
            let used = branches.len() * code.states() * code.states() / LANES;
            assert!(one.decisions[..used] == two.decisions[..used], "memory {memory}");
        }
    }

    /// A chosen path is one of the trellis and costs what the search says; none is cheaper, by the plain recursion in full precision.
    #[test]
    fn the_path_is_the_cheapest() {
        let code = Code::new(5).unwrap();
        let states = code.states();
        for count in [1, 37, WINDOW + MARGIN + 300] {
            let branches = noise(count);
            let mut chosen = vec![0u8; count];
            Product::new(code).search(&branches, &mut chosen);
            let (mut near, mut far, mut cost) = (0, 0, 0u64);
            for (branch, &chosen) in branches.iter().zip(&chosen) {
                let (one, two) = (usize::from(chosen) / 4, usize::from(chosen) % 4);
                assert_eq!([one / 2, two / 2], [near & 1, far & 1]);
                cost += u64::from(branch[usize::from(chosen)]);
                (near, far) = (code.next(near, one & 1), code.next(far, two & 1));
            }
            let mut costs = vec![u64::MAX / 2; states * states];
            costs[0] = 0;
            for branch in &branches {
                let mut after = vec![u64::MAX / 2; states * states];
                for (state, &cost) in costs.iter().enumerate() {
                    let (near, far) = (state / states, state % states);
                    for parities in 0..4 {
                        let next = code.next(near, parities / 2) * states + code.next(far, parities % 2);
                        let entry = 4 * (2 * (near & 1) + parities / 2) + 2 * (far & 1) + parities % 2;
                        after[next] = after[next].min(cost + u64::from(branch[entry]));
                    }
                }
                costs = after;
            }
            assert_eq!(cost, *costs.iter().min().unwrap(), "{count} weights");
        }
    }
}
