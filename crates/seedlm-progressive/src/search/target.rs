//! Targets of a search: residuals of blocks in integers.

use crate::values::LARGEST;

/// Steps of a target within one step of a codeword's values.
pub const FINE: i32 = 8;

/// Longest block.
pub const LONGEST: usize = 64;

/// Largest magnitude of a target's component: [`LONGEST`] products with the largest value stay below `2^31`.
pub const TARGET_LIMIT: f32 = 32_767.0;

const _: () = assert!(LONGEST as i64 * LARGEST as i64 * (TARGET_LIMIT as i64) < i32::MAX as i64);

/// Targets that pass over a codebook together.
pub const GROUP: usize = 8;

/// A target, padded with zeros.
pub type Target = [i16; LONGEST];

/// Makes a target of components in units of the gain times `UNIT`.
pub fn target(components: impl Iterator<Item = f32>) -> Target {
    let mut target = [0; LONGEST];
    for (slot, component) in target.iter_mut().zip(components) {
        *slot = (component * FINE as f32).round().clamp(-TARGET_LIMIT, TARGET_LIMIT) as i16;
    }
    target
}
