//! The forward pass: the least cost of every state after every sample (add, compare, select).

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(super) mod portable;

#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use crate::code::Code;

/// Takes the costs of all states through the samples. A bit for each state and sample, `max(states / 8, 1)` bytes a sample, says
/// which parity led there: `decisions` come in as zeros.
pub(super) fn run(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if code.states() >= 8 && Level::fastest() >= Level::Avx2 {
        avx2::run(code, branches, costs, decisions);
        return;
    }
    portable::run(code, branches, costs, decisions);
}
