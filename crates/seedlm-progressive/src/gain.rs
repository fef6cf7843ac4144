//! The gain of every block: a track of levels, in quarter octaves, that moves only where moving pays.
//!
//! A codebook of a fixed gain loses little on a block that is somewhat louder or softer than it was made for, and a gain a block
//! would cost more bits than it saves on uniform tensors. So the track minimises distortion plus the price of moving, by dynamic
//! programming over the blocks: on independent Gaussian weights it hardly ever moves, on rows of different scale it follows them.
//!
//! On the wire each level is the difference to the level before it (0 before the first), as adaptive binary decisions: *moves?* in the
//! context of whether the last block moved, *up?*, then `size - 1` in unary, each decision with a probability of its own up to the twelfth.

use seedpress_codec::DecodeError;
use seedpress_entropy::binary::{Bit, Decoder, Encoder, log2};

/// Levels are in `-LIMIT..=LIMIT`.
pub const LIMIT: i32 = 63;

const LEVELS: usize = 2 * LIMIT as usize + 1;

/// Bits that a move by `size` levels is taken to cost: `FIRST + size * FURTHER`.
const FIRST: f64 = 4.0;
const FURTHER: f64 = 0.8;

/// Relative loss in distortion per squared natural logarithm of the gain's error.
const MISMATCH: f64 = 3.0;

/// What one bit is worth in units of the distortion: `2 ln 2`, the slope of `4^-R`.
const BIT: f64 = 2.0 * std::f64::consts::LN_2;

/// `2^(0/4)` to `2^(3/4)`.
static QUARTERS: [f32; 4] = [1.0, 1.189_207_1, std::f32::consts::SQRT_2, 1.681_792_8];

/// `2^(level / 4)` for levels in `-LIMIT..=LIMIT`, the same bits everywhere.
pub fn gain(level: i32) -> f32 {
    let octave = level.div_euclid(4);
    QUARTERS[level.rem_euclid(4) as usize] * f32::from_bits(((octave + 127) as u32) << 23)
}

/// The best track for blocks with these sums of squares and lengths, where the mean square of the tensor is `mean_square`.
pub fn track(energies: &[(f64, usize)], mean_square: f64) -> Vec<i8> {
    let mut costs = [0f64; LEVELS];
    for (index, cost) in costs.iter_mut().enumerate() {
        let size = (index as i32 - LIMIT).abs();
        *cost = if size == 0 { 0.0 } else { BIT * mean_square * (FIRST + FURTHER * f64::from(size)) };
    }
    // Where the best path to each level of each block came from.
    let mut origins: Vec<[u8; LEVELS]> = Vec::with_capacity(energies.len());
    for (block, &(energy, length)) in energies.iter().enumerate() {
        let mut origin: [u8; LEVELS] = std::array::from_fn(|index| index as u8);
        if block > 0 {
            origin = moves(&mut costs, mean_square);
        }
        origins.push(origin);
        // A silent block has no preference: its codeword is zero.
        if energy > 0.0 && energy.is_normal() {
            let level = 2.0 * log2(energy / length as f64);
            for (index, cost) in costs.iter_mut().enumerate() {
                let error = (level - f64::from(index as i32 - LIMIT)) * (std::f64::consts::LN_2 / 4.0);
                *cost += energy * MISMATCH * error * error;
            }
        }
    }
    let mut index = 0;
    for other in 1..LEVELS {
        if costs[other] < costs[index] {
            index = other;
        }
    }
    let mut levels = vec![0i8; energies.len()];
    for (level, origin) in levels.iter_mut().zip(&origins).rev() {
        *level = (index as i32 - LIMIT) as i8;
        index = usize::from(origin[index]);
    }
    levels
}

/// Lets every level be reached from every other; a cost linear in the distance takes one sweep up and one down.
fn moves(costs: &mut [f64; LEVELS], mean_square: f64) -> [u8; LEVELS] {
    let (first, further) = (BIT * mean_square * FIRST, BIT * mean_square * FURTHER);
    let mut origin: [u8; LEVELS] = std::array::from_fn(|index| index as u8);
    let stay = *costs;
    for upward in [true, false] {
        let mut carried = (f64::INFINITY, 0u8);
        for step in 0..LEVELS {
            let index = if upward { step } else { LEVELS - 1 - step };
            carried.0 += further;
            if carried.0 + first < costs[index] {
                costs[index] = carried.0 + first;
                origin[index] = carried.1;
            }
            if stay[index] < carried.0 {
                carried = (stay[index], index as u8);
            }
        }
    }
    origin
}

/// The adaptive decisions of a track.
#[derive(Default)]
struct Model {
    moves: [Bit; 2],
    up: Bit,
    more: [Bit; 12],
}

/// Writes a track.
pub fn write(levels: &[i8]) -> Vec<u8> {
    let (mut encoder, mut model) = (Encoder::new(), Model::default());
    let (mut before, mut moved) = (0i32, 0usize);
    for &level in levels {
        let step = i32::from(level) - before;
        encoder.adaptive(&mut model.moves[moved], step != 0);
        if step != 0 {
            encoder.adaptive(&mut model.up, step > 0);
            for size in 1..=step.abs() {
                encoder.adaptive(&mut model.more[(size as usize - 1).min(11)], size < step.abs());
            }
        }
        moved = usize::from(step != 0);
        before = i32::from(level);
    }
    encoder.finish()
}

/// Reads a track into `levels`.
///
/// # Errors
/// Corrupt where a level leaves its range or bytes are left over.
pub fn read(bytes: &[u8], levels: &mut [i8]) -> Result<(), DecodeError> {
    let (mut decoder, mut model) = (Decoder::new(bytes), Model::default());
    let (mut level, mut moved) = (0i32, 0usize);
    for slot in levels {
        let moves = decoder.adaptive(&mut model.moves[moved]);
        if moves {
            let up = decoder.adaptive(&mut model.up);
            let mut size = 1;
            while decoder.adaptive(&mut model.more[(size as usize - 1).min(11)]) {
                size += 1;
                if size > 2 * LIMIT {
                    return Err(DecodeError::corrupt("a gain moves out of its range"));
                }
            }
            level += if up { size } else { -size };
            if level.abs() > LIMIT {
                return Err(DecodeError::corrupt("a gain is out of its range"));
            }
        }
        moved = usize::from(moves);
        *slot = level as i8;
    }
    decoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_quarter_octaves() {
        for level in -LIMIT..=LIMIT {
            assert!((f64::from(gain(level)) / (f64::from(level) / 4.0).exp2() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn tracks_round_trip() {
        let levels: Vec<i8> = (0..500i32).map(|i| if i % 7 < 5 { 3 } else { (i * 37 % 127 - 63) as i8 }).collect();
        let bytes = write(&levels);
        let mut back = vec![0; levels.len()];
        read(&bytes, &mut back).unwrap();
        assert_eq!(back, levels);
        let mut longer = bytes.clone();
        longer.extend([1; 9]);
        assert!(read(&longer, &mut back).is_err());
    }

    /// Against all paths of a small problem.
    #[test]
    fn the_track_is_the_cheapest() {
        let energies = [(16.0, 16), (70.0, 16), (64.0, 16), (1.0, 16), (20.0, 16)];
        let mean_square = 171.0 / 80.0;
        let cost = |levels: &[i32]| {
            let mut total = 0.0;
            for (index, &(energy, length)) in energies.iter().enumerate() {
                let error = (2.0 * (energy / length as f64).log2() - f64::from(levels[index])) * 2f64.ln() / 4.0;
                total += energy * MISMATCH * error * error;
                let step = (levels[index] - if index == 0 { 0 } else { levels[index - 1] }).abs();
                total += if step == 0 { 0.0 } else { BIT * mean_square * (FIRST + FURTHER * f64::from(step)) };
            }
            total
        };
        let mut best = f64::INFINITY;
        let choices = 21i32;
        for path in 0..choices.pow(5) {
            let levels: Vec<i32> = (0..5).map(|i| path / choices.pow(i) % choices - 12).collect();
            best = best.min(cost(&levels));
        }
        let found: Vec<i32> = track(&energies, mean_square).iter().map(|&l| i32::from(l)).collect();
        assert!((cost(&found) - best).abs() < 1e-9, "{found:?} {} {best}", cost(&found));
    }
}
