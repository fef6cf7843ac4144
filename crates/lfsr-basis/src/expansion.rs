//! A window from its seed without any large table: 64 consecutive output bits at once.
//!
//! The state after `k` steps is bits `k ..= k + K - 1` of the register's output, and every output bit is an XOR of bits of the seed. So
//! the output is the XOR of two table entries, one for each byte of the seed, and the tables (4 KiB) stay in the first cache.

use crate::register::Register;

/// Output bits of a register of at most 16 bits.
#[derive(Debug, Clone)]
pub struct Expansion {
    low: [u64; 256],
    high: [u64; 256],
}

impl Expansion {
    /// The tables of a register; `None` above 16 bits.
    pub fn new(register: Register) -> Option<Self> {
        let width = register.width();
        if width > 16 {
            return None;
        }
        let single = |bit: u32| {
            let (mut state, mut bits) = (1u32 << bit, 0u64);
            for index in 0..64 {
                bits |= u64::from(state & 1) << index;
                state = register.step(state);
            }
            bits
        };
        let sum = |byte: u32, first: u32| {
            let bits = (0..8).filter(|bit| byte >> bit & 1 == 1 && first + bit < width);
            bits.fold(0, |sum, bit| sum ^ single(first + bit))
        };
        Some(Self {
            low: std::array::from_fn(|byte| sum(byte as u32, 0)),
            high: std::array::from_fn(|byte| sum(byte as u32, 8)),
        })
    }

    /// The seed and the output bits that follow it, the first lowest: `(bits >> k) mod 2^K` is the state after `k <= 64 - K` steps.
    #[inline]
    pub fn bits(&self, seed: u32) -> u64 {
        self.low[(seed & 255) as usize] ^ self.high[(seed >> 8 & 255) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifted_bits_are_the_states() {
        for width in 2..=16 {
            let register = Register::new(width).unwrap();
            let expansion = Expansion::new(register).unwrap();
            for seed in (1..=register.period()).step_by(1 + register.period() as usize / 200) {
                let (bits, mut state) = (expansion.bits(seed), seed);
                for steps in 0..=64 - width {
                    assert_eq!((bits >> steps) as u32 & register.period(), state);
                    state = register.step(state);
                }
            }
        }
        assert!(Expansion::new(Register::new(17).unwrap()).is_none());
    }
}
