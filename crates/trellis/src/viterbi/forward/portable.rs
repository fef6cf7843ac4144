//! The forward pass in plain Rust.

use crate::code::Code;

/// Samples between two subtractions of the least cost.
pub(super) const PERIOD: usize = 64;

/// [`run`](super::run) on any machine.
pub(in crate::viterbi) fn run(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    let states = code.states();
    let width = states.div_ceil(8);
    let previous: Vec<[usize; 3]> =
        (0..states).map(|t| [code.previous(t, 0), code.previous(t, 1), code.incoming_quantizer(t)]).collect();
    let mut after = vec![0f32; states];
    for (index, (branch, bits)) in branches.iter().zip(decisions.chunks_exact_mut(width)).enumerate() {
        bits.fill(0);
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
