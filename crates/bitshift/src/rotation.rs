//! Random signs and a Hadamard transform of a block: what makes any weights look normal.
//!
//! The transform is its own inverse up to a factor of [`SIDE`]. The decoder applies it to integers, exactly.

use std::ops::{Add, Sub};

/// Weights in a block.
pub const SIDE: usize = 256;

/// The unnormalised Hadamard transform.
#[inline(always)]
pub fn hadamard<T: Copy + Add<Output = T> + Sub<Output = T>>(block: &mut [T; SIDE]) {
    let mut half = 1;
    while half < SIDE {
        for pair in block.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// Signs of a block: a set bit is a minus. SplitMix64 of seed and place (G. L. Steele et al., OOPSLA 2014).
#[inline(always)]
pub fn signs(seed: u32, block: usize) -> [u64; SIDE / 64] {
    std::array::from_fn(|word| {
        let at = (block as u64).wrapping_mul(4).wrapping_add(word as u64 + 1);
        let mut z = (u64::from(seed) << 32).wrapping_add(at.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// 1 or -1 for a place in a block.
#[inline(always)]
pub fn sign(signs: &[u64; SIDE / 64], at: usize) -> f32 {
    if signs[at / 64] >> (at % 64) & 1 == 1 { -1.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_transform_is_a_factor() {
        let block: [i32; SIDE] = std::array::from_fn(|i| (i * i % 97) as i32 - 40);
        let mut twice = block;
        hadamard(&mut twice);
        hadamard(&mut twice);
        assert!(twice.iter().zip(&block).all(|(&a, &b)| a == 256 * b));
    }

    #[test]
    fn signs_are_balanced() {
        let ones: u32 = (0..1000).flat_map(|block| signs(7, block)).map(u64::count_ones).sum();
        assert!((126_000..130_000).contains(&ones), "{ones}");
    }
}
