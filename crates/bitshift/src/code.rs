//! The computed code: what a state stands for.
//!
//! A state is multiplied by an odd constant; the four bytes of the product are as good as independent uniform numbers, and their sum is
//! nearly normal (the idea of QTIP's "1MAD" code). A cubic then stretches the tails that a sum of four lacks (kurtosis -0.3; first
//! Cornish-Fisher term), which matters from three bits on. All of it is integer arithmetic without branches or tables.

/// Chosen among random odd numbers by the error on normal weights, at 12 and 16 bits of state.
const MULTIPLIER: u32 = 0xC6B4_F629;
const INCREMENT: u32 = 0x5D2C_6A93;
/// `26 283 = 2^-6 x 0.9625 / 0.0125 x 4 (2^16 - 1) / 12`: the weight of the linear term.
const LINEAR: i32 = 26_283;

/// The value of a state, about normal with standard deviation [`DEVIATION`].
#[inline(always)]
pub fn value(state: u32) -> i32 {
    let x = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
    let pairs = (x & 0x00FF_00FF) + (x >> 8 & 0x00FF_00FF);
    let centred = ((pairs & 0xFFFF) + (pairs >> 16)) as i32 - 510;
    (centred * (LINEAR + ((centred * centred) >> 6))) >> 4
}

/// Standard deviation of the values of uniform states, rounded.
pub const DEVIATION: f32 = 252_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_nearly_normal() {
        for bits in [10, 12, 14, 16] {
            let values: Vec<f64> = (0..1u32 << bits).map(|s| f64::from(value(s)) / f64::from(DEVIATION)).collect();
            let moment = |p: i32| values.iter().map(|v| v.powi(p)).sum::<f64>() / values.len() as f64;
            let (mean, square, fourth) = (moment(1), moment(2), moment(4));
            assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.05, "{bits}: {mean} {square}");
            assert!((fourth / square.powi(2) - 3.0).abs() < 0.25, "{bits}: {}", fourth / square.powi(2));
        }
    }
}
