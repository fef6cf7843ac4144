//! What a decoder multiplies states and coefficients by, and the grid of numbers that makes for the encoder.

use crate::config::Config;
use crate::search::Grid;

/// What turns centred states into numbers in `[-1, 1]`, as the decoder multiplies it.
pub(crate) fn unit(width: u32) -> f32 {
    1.0 / ((1u32 << (width - 1)) - 1) as f32
}

/// The factor of every exponent code, exactly as the decoder multiplies it: `top 2^((code - 15) / octave)`.
pub(crate) fn factors(top: f32, octave: u8) -> [f32; 16] {
    use std::f64::consts::FRAC_1_SQRT_2;
    /// `2^(-i/n)` by `n - 1` and `i`, as constants: no library's power function decides a weight.
    const FRACTIONS: [[f64; 4]; 4] = [
        [1.0; 4],
        [1.0, FRAC_1_SQRT_2, 1.0, 1.0],
        [1.0, 0.793_700_525_984_099_8, 0.629_960_524_947_436_6, 1.0],
        [1.0, 0.840_896_415_253_714_5, FRAC_1_SQRT_2, 0.594_603_557_501_360_5],
    ];
    std::array::from_fn(|code| {
        let (octaves, fraction) = ((15 - code) / usize::from(octave), (15 - code) % usize::from(octave));
        let scale = FRACTIONS[usize::from(octave) - 1][fraction] / f64::from(1u32 << octaves);
        (f64::from(top) * scale) as f32
    })
}

/// The grid the decoder will use.
pub fn grid(config: &Config, top: f32) -> Grid {
    let unit = f64::from(unit(config.k.get() as u32));
    let high = (1i16 << (config.coefficient_bits.get() - 1)) - 1;
    Grid {
        factors: factors(top, config.exponents_per_octave.get() as u8).map(|factor| f64::from(factor) * unit),
        low: -high - 1,
        high,
    }
}
