//! Unit directions: learned from blocks, read from bytes, or cut from a register's sequence.

use rayon::prelude::*;
use seedpress_lfsr_basis::Register;

/// Blocks a parallel task works on.
pub(crate) const TASK: usize = 512;

/// Steps of the register from one number to the next: neighbouring states are shifts of each other, states this far apart look
/// independent, and the period has no such factor.
const DECIMATION: u32 = 11;
/// Bits of the register.
const WIDTH: u32 = 16;
/// Rounds of learning, and blocks for each direction that they look at.
const ROUNDS: usize = 10;
const SAMPLE: usize = 64;

/// Directions of one length, as rows, and again as columns for the search.
#[derive(Debug, Clone)]
pub(crate) struct Directions {
    block: usize,
    rows: Vec<f32>,
}

impl Directions {
    fn new(rows: Vec<f32>, block: usize) -> Self {
        let mut directions = Self { block, rows };
        directions.rows.chunks_exact_mut(block).for_each(normalise);
        directions
    }

    /// Signed bytes, row by row.
    pub(crate) fn from_bytes(bytes: &[u8], block: usize) -> Self {
        Self::new(bytes.iter().map(|&byte| f32::from(byte as i8)).collect(), block)
    }

    /// The first so many windows of the paper's 16-bit register, whose states are mapped as in Eq. 1 of the paper.
    pub(crate) fn of_register(count: usize, block: usize) -> Self {
        let Ok(register) = Register::new(WIDTH) else { return Self::new(vec![0.0; count * block], block) };
        let half = 1i32 << (WIDTH - 1);
        let mut state = 1;
        let numbers = (0..count * block).map(|_| {
            (0..DECIMATION).for_each(|_| state = register.step(state));
            (state as i32 - half) as f32
        });
        Self::new(numbers.collect(), block)
    }

    /// Learns as many directions from blocks, row by row; blocks of zeros teach nothing.
    pub(crate) fn learn(blocks: &[f32], block: usize, count: usize) -> Self {
        let total = blocks.len() / block;
        let wanted = (SAMPLE * count).min(total);
        // Evenly spaced, so that every part of the tensor is heard.
        let at =
            |index: usize| &blocks[(index as u64 * total as u64 / wanted.max(1) as u64) as usize * block..][..block];
        let sample: Vec<f32> = (0..wanted).flat_map(at).copied().collect();
        let seeds = |index: usize| (index as u64 * wanted as u64 / count as u64) as usize;
        let rows = (0..count).flat_map(|index| match wanted {
            0 => vec![0.0; block],
            _ => sample[seeds(index) * block..][..block].to_vec(),
        });
        let mut directions = Self::new(rows.collect(), block);
        for _ in 0..ROUNDS {
            let nearest = directions.nearest(&sample);
            let mut sums = vec![0f64; directions.rows.len()];
            for (values, &(index, along)) in sample.chunks_exact(block).zip(&nearest) {
                let sums = &mut sums[index as usize * block..][..block];
                sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(along) * f64::from(value));
            }
            for (row, sums) in directions.rows.chunks_exact_mut(block).zip(sums.chunks_exact(block)) {
                // What no block is near stays where it was.
                if sums.iter().any(|&sum| sum != 0.0) {
                    row.iter_mut().zip(sums).for_each(|(to, &sum)| *to = sum as f32);
                    normalise(row);
                }
            }
        }
        directions
    }

    /// Signed bytes, the largest of each direction 127 or -127.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let row = |row: &[f32]| {
            let largest = row.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            row.iter().map(|value| (value * factor).round() as i8 as u8).collect::<Vec<u8>>()
        };
        self.rows.chunks_exact(self.block).flat_map(row).collect()
    }

    /// One of them.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> &[f32] {
        &self.rows[index * self.block..][..self.block]
    }

    /// For each block the direction, of either sign, that comes nearest to it, and its length along that; the first of equals.
    pub(crate) fn nearest(&self, blocks: &[f32]) -> Vec<(u32, f32)> {
        let count = self.rows.len() / self.block;
        let columns: Vec<f32> =
            (0..self.block).flat_map(|at| self.rows.iter().skip(at).step_by(self.block).copied()).collect();
        blocks
            .par_chunks(TASK * self.block)
            .flat_map_iter(|blocks| {
                let mut along = vec![0f32; count];
                let nearest = |block: &[f32]| {
                    along.fill(0.0);
                    for (column, &value) in columns.chunks_exact(count).zip(block) {
                        along.iter_mut().zip(column).for_each(|(along, &entry)| *along += value * entry);
                    }
                    let mut best = (0u32, 0f32);
                    for (index, &length) in (0u32..).zip(&along) {
                        if length.abs() > best.1.abs() {
                            best = (index, length);
                        }
                    }
                    best
                };
                blocks.chunks_exact(self.block).map(nearest).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// Scales to length 1; zeros stay.
fn normalise(row: &mut [f32]) {
    let square: f32 = row.iter().map(|value| value * value).sum();
    if square > 0.0 {
        let inverse = 1.0 / square.sqrt();
        row.iter_mut().for_each(|value| *value *= inverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_that_are_there_are_found() {
        let truth: [[f32; 4]; 3] = [[0.5, 0.5, -0.5, 0.5], [1.0, 0.0, 0.0, 0.0], [0.0, 0.6, 0.0, -0.8]];
        let noise = |i: usize| ((i as u32).wrapping_mul(0x9E37_79B9) >> 8) as f32 / 16_777_216.0 - 0.5;
        let blocks: Vec<f32> = (0..600)
            .flat_map(|i| {
                (0..4)
                    .map(move |c| (i % 7) as f32 * noise(i).signum() * truth[i / 150 % 3][c] + 0.05 * noise(4 * i + c))
            })
            .collect();
        let learned = Directions::learn(&blocks, 4, 4);
        for wanted in truth {
            let along = |row: &[f32]| row.iter().zip(wanted).map(|(a, b)| a * b).sum::<f32>().abs();
            // The fourth direction may take a part of one that is there from another.
            assert!(learned.rows.chunks(4).any(|row| along(row) > 0.98), "{wanted:?} among {:?}", learned.rows);
        }
        let back = Directions::from_bytes(&learned.to_bytes(), 4);
        assert!(back.rows.iter().zip(&learned.rows).all(|(a, b)| (a - b).abs() < 0.01));
    }

    #[test]
    fn a_registers_directions_are_spread() {
        let directions = Directions::of_register(256, 8);
        assert!(directions.rows.chunks(8).all(|row| (row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5));
        let mean: f32 = directions.rows.iter().sum::<f32>() / 2048.0;
        assert!(mean.abs() < 0.02, "{mean}");
    }

    #[test]
    fn nothing_teaches_nothing() {
        let learned = Directions::learn(&[0.0; 40], 8, 16);
        assert!(learned.rows.iter().all(|&value| value == 0.0));
        assert!(Directions::learn(&[], 8, 2).rows.iter().all(|&value| value == 0.0));
        assert_eq!(learned.nearest(&[0.0; 8]), [(0, 0.0)]);
    }
}
