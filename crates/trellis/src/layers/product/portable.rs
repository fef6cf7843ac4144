//! Costs through the weights in plain Rust.

use super::states::{Branches, LANES, PERIOD, Product, place, settle};

impl Product {
    /// Takes the costs of all pairs through the weights.
    pub(super) fn portable(&mut self, branches: &[Branches]) {
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
