//! From the states of a register to the values of a codeword.
//!
//! Both maps have a root mean square of about [`UNIT`]:
//!
//! - uniform: `floor(512 s / 2^K) - 256`, the paper's Eq. 1 with ten bits;
//! - Gaussian: the four bytes of `34038481 s + 76625530 mod 2^32` added, minus 510: the computed code "1MAD" of QTIP
//!   (arXiv 2406.11235), a sum of four nearly independent bytes and so nearly normal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Root mean square of the values of either map, to the nearest integer.
pub(crate) const UNIT: i32 = 148;

/// No value of either map is larger.
pub(crate) const LARGEST: i32 = 510;

/// How the values of a codeword are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// As the paper's: equally likely over an interval.
    Uniform,
    /// Nearly normal, as the weights are: about 0.1 dB a layer better at the first, 0.3 dB at the third.
    Gaussian,
}

/// The value of a state.
pub(crate) fn value(state: u32, width: u32, values: Values) -> i32 {
    match values {
        Values::Uniform => (((u64::from(state) << 9) >> width) as i32) - 256,
        Values::Gaussian => {
            let mixed = state.wrapping_mul(34_038_481).wrapping_add(76_625_530);
            mixed.to_le_bytes().iter().map(|&byte| i32::from(byte)).sum::<i32>() - 510
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codebook::Codebook;

    #[test]
    fn both_maps_have_the_unit_and_the_bound() {
        for values in [Values::Uniform, Values::Gaussian] {
            let book = Codebook::new(16, 0, values);
            let mean_square =
                book.values()[..book.len()].iter().map(|v| f64::from(v * v)).sum::<f64>() / book.len() as f64;
            assert!((mean_square.sqrt() - f64::from(UNIT)).abs() < 1.0, "{values:?} {}", mean_square.sqrt());
            assert!(book.values().iter().all(|v| v.abs() <= LARGEST as f32));
        }
    }
}
