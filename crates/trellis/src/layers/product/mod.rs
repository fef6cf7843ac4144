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

#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use crate::code::Code;

/// Branch costs of one weight: entry `4 near + far`, either branch twice the quantiser plus the parity.
pub type Branches = [u16; 16];

/// Weights settled at a time.
const WINDOW: usize = 4096;
/// Weights looked at beyond, many times the memory of both codes.
const MARGIN: usize = 512;
/// Weights between two subtractions of the least cost: far fewer than what fills 16 bits.
const PERIOD: usize = 16;
/// States a register and a decision word.
const LANES: usize = 16;

/// The product of a code with itself.
pub struct Product {
    code: Code,
    costs: Vec<u16>,
    after: Vec<u16>,
    decisions: Vec<u32>,
}

/// Where the two rows of a butterfly lead: `targets[parity]` from `sources[0]`, the other way round from `sources[1]`.
#[derive(Clone, Copy)]
struct Butterfly {
    sources: [usize; 2],
    targets: [usize; 2],
}

/// The bit of the near parity of a column in its decision word; that of the far parity is 8 above.
#[inline]
fn place(column: usize) -> usize {
    (column & 7) + 16 * ((column % LANES) >> 3)
}

impl Product {
    /// For a code of at least 32 states.
    pub fn new(code: Code) -> Self {
        assert!(code.states() >= 2 * LANES);
        let states = code.states() * code.states();
        let decisions = vec![0; (WINDOW + MARGIN) * states / LANES];
        Self { code, costs: vec![0; states], after: vec![0; states], decisions }
    }

    /// The branch pairs (as entries of [`Branches`]) of the best path from the pair of states 0.
    pub fn search(&mut self, branches: &[Branches], chosen: &mut [u8]) {
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

    fn butterflies(&self) -> Vec<Butterfly> {
        let code = self.code;
        let first = |&state: &usize| state <= code.previous(code.next(state, 0), 1);
        (0..code.states())
            .filter(first)
            .map(|state| {
                let targets = [code.next(state, 0), code.next(state, 1)];
                Butterfly { sources: [state, code.previous(targets[0], 1)], targets }
            })
            .collect()
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

    fn portable(&mut self, branches: &[Branches]) {
        let (code, states) = (self.code, self.code.states());
        let butterflies = self.butterflies();
        let columns: Vec<[usize; 3]> =
            (0..states).map(|t| [code.previous(t, 0), code.previous(t, 1), code.incoming_quantizer(t)]).collect();
        let least = |a: u16, b: u16| if b < a { (b, 1u32) } else { (a, 0) };
        let size = states * states / LANES;
        for (index, (branch, words)) in branches.iter().zip(self.decisions.chunks_exact_mut(size)).enumerate() {
            words.fill(0);
            for butterfly in &butterflies {
                let quantizer = butterfly.sources[0] & 1;
                for (t, &[even, odd, far]) in columns.iter().enumerate() {
                    let into = |row: usize, parity: usize| {
                        let costs = &self.costs[row * states..][..states];
                        let branch = &branch[4 * (2 * quantizer + parity) + 2 * far..][..2];
                        least(costs[even].saturating_add(branch[0]), costs[odd].saturating_add(branch[1]))
                    };
                    let [first, second] = butterfly.sources;
                    // The second source reaches the first target by an odd index.
                    for (target, even, odd) in [
                        (butterfly.targets[0], into(first, 0), into(second, 1)),
                        (butterfly.targets[1], into(second, 0), into(first, 1)),
                    ] {
                        let (cost, parity) = least(even.0, odd.0);
                        let far_parity = if parity == 1 { odd.1 } else { even.1 };
                        self.after[target * states + t] = cost;
                        words[(target * states + t) / LANES] |= parity << place(t) | far_parity << (place(t) + 8);
                    }
                }
            }
            std::mem::swap(&mut self.costs, &mut self.after);
            if index % PERIOD == PERIOD - 1 {
                settle(&mut self.costs);
            }
        }
    }
}

/// Subtracts the least cost; what no path reaches stays out of reach.
fn settle(costs: &mut [u16]) {
    let least = costs.iter().copied().min().unwrap_or(0);
    costs.iter_mut().for_each(|cost| *cost = if *cost == u16::MAX { *cost } else { *cost - least });
}

#[cfg(test)]
mod tests {
    use super::*;

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
