//! The forward pass: the least cost of every state after every sample (add, compare, select).

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use crate::code::Code;

/// Samples between two subtractions of the least cost.
const PERIOD: usize = 64;

/// Takes the costs of all states through the samples. A bit for each state and sample, `max(states / 8, 1)` bytes a sample, says
/// which parity led there: `decisions` come in as zeros.
pub fn run(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if code.states() >= 8 && Level::fastest() >= Level::Avx2 {
        avx2::run(code, branches, costs, decisions);
        return;
    }
    portable(code, branches, costs, decisions);
}

/// [`run`] on any machine.
pub(super) fn portable(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    let states = code.states();
    let width = states.div_ceil(8);
    let previous: Vec<[usize; 3]> =
        (0..states).map(|t| [code.previous(t, 0), code.previous(t, 1), code.incoming_quantizer(t)]).collect();
    let mut after = vec![0f32; states];
    for (index, (branch, bits)) in branches.iter().zip(decisions.chunks_exact_mut(width)).enumerate() {
        for (t, &[even, odd, quantizer]) in previous.iter().enumerate() {
            let (a, b) = (costs[even] + branch[2 * quantizer], costs[odd] + branch[2 * quantizer + 1]);
            after[t] = if b < a { b } else { a };
            bits[t / 8] |= u8::from(b < a) << (t % 8);
        }
        costs[..states].copy_from_slice(&after);
        if index % PERIOD == PERIOD - 1 {
            let least = costs[..states].iter().copied().fold(f32::INFINITY, f32::min);
            costs[..states].iter_mut().for_each(|cost| *cost -= least);
        }
    }
}
