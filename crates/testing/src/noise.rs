//! Seeded numbers. Golden files are made of [`Noise`]: what a seed gives never changes, on any machine.

/// A linear congruential generator (Knuth's MMIX constants). Its low bits are poor, and no method but [`bits`](Self::bits) gives them.
#[derive(Debug, Clone)]
pub struct Noise(u64);

impl Noise {
    /// A sequence of its own for each seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator's whole state: use the upper bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0
    }

    /// A number below `bound`, which is between 1 and 2^24.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 40) % bound
    }

    /// A place in something of this length, which is between 1 and 2^24.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Uniform in `[0, 1)`, 24 bits.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in `[-0.5, 0.5)`, 24 bits.
    pub fn centred(&mut self) -> f32 {
        self.unit() - 0.5
    }

    /// The sum of eight dice: a bell curve over bytes, 0 to 248, without floating point.
    pub fn bell_byte(&mut self) -> u8 {
        (0..8).map(|_| self.below(32) as u8).sum()
    }

    /// A die of a thousand sides less another, twice: a bell curve around zero, without floating point.
    pub fn bell_integer(&mut self) -> i32 {
        let mut die = || self.below(1000) as i32;
        die() - die() + die() - die()
    }

    /// The sum of so many centred uniform numbers: a bell of variance `terms / 12`.
    pub fn bell(&mut self, terms: usize) -> f32 {
        (0..terms).map(|_| self.centred()).sum()
    }
}

/// Standard normal numbers where sums of uniform ones are not normal enough: Box and Muller on SplitMix64. Logarithm and cosine are the
/// platform's, so that the last bits may differ: for statistics, not for golden files.
pub fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..count).map(|_| ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_forever() {
        let mut noise = Noise::new(11);
        // By hand: 11 times the factor plus the term, modulo 2^64.
        assert_eq!(noise.bits(), (11 * 6_364_136_223_846_793_005u128 + 1_442_695_040_888_963_407) as u64);
        let mut other = noise.clone();
        assert_eq!(noise.below(1000), (other.bits() >> 40) % 1000);
        assert!(normal(100, 7) == normal(100, 7) && normal(100, 7) != normal(100, 8));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let moments = |values: &[f32]| {
            let mean =
                |of: &dyn Fn(f64) -> f64| values.iter().map(|&v| of(f64::from(v))).sum::<f64>() / values.len() as f64;
            [mean(&|v| v), mean(&|v| v * v), mean(&|v| v.powi(4))]
        };
        let near = |found: [f64; 3], expected: [f64; 3]| {
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.06), "{found:?}");
        };
        near(moments(&normal(1 << 18, 3)), [0.0, 1.0, 3.0]);
        let mut noise = Noise::new(5);
        let mut draw = |of: &mut dyn FnMut(&mut Noise) -> f32| (0..1 << 18).map(|_| of(&mut noise)).collect::<Vec<_>>();
        near(moments(&draw(&mut |noise| noise.centred())), [0.0, 1.0 / 12.0, 1.0 / 80.0]);
        // A sum of n uniform numbers has an excess kurtosis of -1.2 / n.
        near(moments(&draw(&mut |noise| noise.bell(12))), [0.0, 1.0, 2.9]);
    }
}
