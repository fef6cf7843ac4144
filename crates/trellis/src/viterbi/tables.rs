//! What every index costs, and which one of a parity is cheapest.

use std::hint::select_unpredictable;

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
    pub(super) fn stride(&self) -> usize {
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

    /// The cost of index `k` for a magnitude of `u` steps.
    #[inline]
    pub fn cost(&self, u: f32, weight: f32, context: usize, quantizer: usize, k: usize) -> f32 {
        let error = u - self.point(quantizer, k);
        weight * (error * error) + self.rate(context, k)
    }

    /// The cheapest index of a parity: one of the two that bracket `u`, or the smallest.
    #[inline]
    pub fn best(&self, u: f32, weight: f32, class: usize, quantizer: usize, parity: usize) -> (f32, usize) {
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
    pub fn branches(&self, u: f32, weight: f32, class: usize) -> [f32; 4] {
        let mut costs = [0f32; 4];
        for quantizer in 0..2 {
            let floor = ((u + quantizer as f32) * 0.5) as usize;
            let row = (2 * class + quantizer) * self.stride();
            if floor + 3 >= self.reach {
                let parity = |parity: usize| self.best(u, weight, class, quantizer, parity).0;
                costs[2 * quantizer..][..2].copy_from_slice(&[parity(0), parity(1)]);
                continue;
            }
            let (points, rates) = (&self.points[quantizer][floor..floor + 4], &self.rates[row..][floor..floor + 4]);
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
