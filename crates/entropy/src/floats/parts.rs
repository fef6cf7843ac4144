//! Floats in parts, and their heads in groups of equal exponents.

use rayon::prelude::*;

use crate::frequencies::count;
use crate::grouped::Groups;

/// Exponents that occur less often share a table for heads.
const COMMON: u64 = 512;

/// Floats that one task splits or joins.
pub(super) const TASK: usize = 1 << 16;
/// Floats of a task whose heads are moved at a time, from starts that are counted ahead.
pub(super) const PART: usize = 1 << 14;

/// Which plane of heads an exponent's floats belong to, and how many floats each plane has, from how often exponents occur.
pub(super) fn groups(counts: &[u64; 256]) -> (Groups, Vec<usize>) {
    let common: Vec<u8> = (0..=255).filter(|&exponent| counts[usize::from(exponent)] >= COMMON).collect();
    // At most 2^8 - 1 symbols are common, or all of them and none is rare.
    let mut of = [common.len().min(255) as u8; 256];
    for (group, &exponent) in (0u8..=255).zip(&common) {
        of[usize::from(exponent)] = group;
    }
    let mut sizes: Vec<usize> = common.iter().map(|&exponent| counts[usize::from(exponent)] as usize).collect();
    sizes.push(counts.iter().filter(|count| **count < COMMON).sum::<u64>() as usize);
    (Groups { of, common }, sizes)
}

/// How often exponents occur in each part of the floats.
pub(super) fn count_parts(exponents: &[u8]) -> Vec<[u64; 256]> {
    exponents.par_chunks(PART).map(count).collect()
}

pub(super) fn add(sum: &mut [u64; 256], counts: &[u64; 256]) {
    sum.iter_mut().zip(counts).for_each(|(sum, &count)| *sum += count);
}
