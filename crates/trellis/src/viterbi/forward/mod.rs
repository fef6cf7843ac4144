//! The forward pass: the least cost of every state after every sample (add, compare, select).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use crate::code::Code;

/// Takes the costs of all states through the samples. A bit for each state and sample, `max(states / 8, 1)` bytes a sample, says
/// which parity led there; what `decisions` held before does not matter.
pub(super) fn run(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    return at(Level::fastest(), code, branches, costs, decisions);
    #[cfg(not(target_arch = "x86_64"))]
    portable::run(code, branches, costs, decisions);
}

/// The same with the kernel of a level that the machine has.
#[cfg(target_arch = "x86_64")]
pub(super) fn at(level: Level, code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    match level {
        Level::Avx512Base | Level::Avx512 if code.states() >= 16 && level.is_supported() => {
            avx512::run(code, branches, costs, decisions);
        }
        Level::Avx2 | Level::Avx512Base | Level::Avx512 if code.states() >= 8 && level.is_supported() => {
            avx2::run(code, branches, costs, decisions);
        }
        _ => portable::run(code, branches, costs, decisions),
    }
}
