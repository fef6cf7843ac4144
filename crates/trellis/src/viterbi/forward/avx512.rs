//! Sixteen states a register; with sixteen states the costs never leave it.
//!
//! The predecessors of sixteen states in a row are every other of 32 states in a row, permuted: one permutation of two registers.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::portable::PERIOD;
use crate::code::Code;

/// States of a register.
const LANES: usize = 16;

/// [`run`](super::run) for 16 states and more, on a machine with AVX-512F.
pub(super) fn run(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    assert!(costs.len() == code.states() && decisions.len() == branches.len() * (code.states() / 8));
    // SAFETY: the caller has checked for AVX-512F; all indices stay below `states`, which is the length of both cost arrays.
    unsafe {
        match code.states() {
            16 => sixteen(code, branches, costs, decisions),
            32 => many::<2>(code, branches, costs, decisions),
            64 => many::<4>(code, branches, costs, decisions),
            128 => many::<8>(code, branches, costs, decisions),
            _ => many::<16>(code, branches, costs, decisions),
        }
    }
}

/// What moves the predecessors of states `16 block` to `16 block + 15` into place, counted from state `first`.
#[target_feature(enable = "avx512f")]
fn places(code: Code, block: usize, parity: usize, first: usize) -> __m512i {
    let place: [i32; LANES] = std::array::from_fn(|lane| (code.previous(LANES * block + lane, parity) - first) as i32);
    // SAFETY: a load of sixteen elements from an array of sixteen.
    unsafe { _mm512_loadu_si512(place.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
unsafe fn sixteen(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    let (even, odd) = (places(code, 0, 0, 0), places(code, 0, 1, 0));
    let (costs, _) = costs.as_chunks_mut::<LANES>();
    // States from the eighth on come from the second quantiser.
    let second = 0xFF00;
    // SAFETY: loads and stores of sixteen elements of arrays of sixteen.
    let mut cost = unsafe { _mm512_loadu_ps(costs[0].as_ptr()) };
    let (bits, _) = decisions.as_chunks_mut::<2>();
    for (index, (branch, bits)) in branches.iter().zip(bits).enumerate() {
        let [a, b, c, d] = branch.map(|branch| _mm512_set1_ps(branch));
        let a = _mm512_add_ps(_mm512_permutexvar_ps(even, cost), _mm512_mask_blend_ps(second, a, c));
        let b = _mm512_add_ps(_mm512_permutexvar_ps(odd, cost), _mm512_mask_blend_ps(second, b, d));
        *bits = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(b, a).to_le_bytes();
        cost = _mm512_min_ps(b, a);
        if index % PERIOD == PERIOD - 1 {
            cost = _mm512_sub_ps(cost, _mm512_set1_ps(_mm512_reduce_min_ps(cost)));
        }
    }
    // SAFETY: as above.
    unsafe { _mm512_storeu_ps(costs[0].as_mut_ptr(), cost) };
}

#[target_feature(enable = "avx512f")]
unsafe fn many<const BLOCKS: usize>(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    assert!(BLOCKS >= 2 && code.states() == LANES * BLOCKS);
    let mut firsts = [[0usize; 2]; BLOCKS];
    let mut moves = [[_mm512_setzero_si512(); 2]; BLOCKS];
    for block in 0..BLOCKS {
        for parity in 0..2 {
            // Of 32 states in a row: two registers.
            let first = code.previous(LANES * block, parity) / (2 * LANES) * 2;
            assert!(first + 1 < BLOCKS);
            firsts[block][parity] = first;
            moves[block][parity] = places(code, block, parity, LANES * first);
        }
    }
    let (costs, _) = costs.as_chunks_mut::<LANES>();
    let mut now: [__m512; BLOCKS] = std::array::from_fn(|block| {
        // SAFETY: a load of sixteen elements from an array of sixteen.
        unsafe { _mm512_loadu_ps(costs[block].as_ptr()) }
    });
    let mut after = now;
    for (index, (branch, bits)) in branches.iter().zip(decisions.chunks_exact_mut(2 * BLOCKS)).enumerate() {
        let branch = branch.map(|branch| _mm512_set1_ps(branch));
        let (bits, _) = bits.as_chunks_mut::<2>();
        for block in 0..BLOCKS {
            let [even, odd] = firsts[block];
            // The quantiser of the predecessors, their lowest bit, is the top bit of the state: constant over a block.
            let quantizer = if block < BLOCKS / 2 { 0 } else { 2 };
            let a = _mm512_permutex2var_ps(now[even], moves[block][0], now[even + 1]);
            let b = _mm512_permutex2var_ps(now[odd], moves[block][1], now[odd + 1]);
            let (a, b) = (_mm512_add_ps(a, branch[quantizer]), _mm512_add_ps(b, branch[quantizer + 1]));
            bits[block] = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(b, a).to_le_bytes();
            after[block] = _mm512_min_ps(b, a);
        }
        std::mem::swap(&mut now, &mut after);
        if index % PERIOD == PERIOD - 1 {
            let least = now.iter().skip(1).fold(now[0], |least, &cost| _mm512_min_ps(least, cost));
            let least = _mm512_set1_ps(_mm512_reduce_min_ps(least));
            now.iter_mut().for_each(|cost| *cost = _mm512_sub_ps(*cost, least));
        }
    }
    for (costs, now) in costs.iter_mut().zip(now) {
        // SAFETY: a store of sixteen elements to an array of sixteen.
        unsafe { _mm512_storeu_ps(costs.as_mut_ptr(), now) };
    }
}
