//! Eight states a register; with eight states the costs never leave it.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::portable::PERIOD;
use crate::code::Code;

/// [`run`](super::run) for 8 states and more, on a machine with AVX2.
pub(super) fn run(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    assert!(costs.len() == code.states() && decisions.len() == branches.len() * (code.states() / 8));
    // SAFETY: the caller has checked for AVX2; all indices stay below `states`, which is the length of both cost arrays.
    unsafe {
        match code.states() {
            8 => eight(code, branches, costs, decisions),
            16 => many::<2>(code, branches, costs, decisions),
            32 => many::<4>(code, branches, costs, decisions),
            64 => many::<8>(code, branches, costs, decisions),
            128 => many::<16>(code, branches, costs, decisions),
            _ => many::<32>(code, branches, costs, decisions),
        }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn eight(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    let table = |f: &dyn Fn(usize) -> usize| -> [i32; 8] { std::array::from_fn(|t| f(t) as i32) };
    // SAFETY: loads and stores of eight elements from arrays of eight, of four from arrays of four.
    unsafe {
        let load = |array: [i32; 8]| _mm256_loadu_si256(array.as_ptr().cast());
        let even = load(table(&|t| code.previous(t, 0)));
        let odd = load(table(&|t| code.previous(t, 1)));
        let even_branch = load(table(&|t| 2 * code.incoming_quantizer(t)));
        let odd_branch = load(table(&|t| 2 * code.incoming_quantizer(t) + 1));
        let mut cost = _mm256_loadu_ps(costs.as_ptr());
        for (index, (branch, bits)) in branches.iter().zip(decisions.iter_mut()).enumerate() {
            let four = _mm256_broadcast_ps(&*branch.as_ptr().cast::<__m128>());
            let a = _mm256_add_ps(_mm256_permutevar8x32_ps(cost, even), _mm256_permutevar_ps(four, even_branch));
            let b = _mm256_add_ps(_mm256_permutevar8x32_ps(cost, odd), _mm256_permutevar_ps(four, odd_branch));
            *bits = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(b, a)) as u8;
            cost = _mm256_min_ps(b, a);
            if index % PERIOD == PERIOD - 1 {
                let mut lanes = [0f32; 8];
                _mm256_storeu_ps(lanes.as_mut_ptr(), cost);
                let least = lanes.iter().copied().fold(f32::INFINITY, f32::min);
                cost = _mm256_sub_ps(cost, _mm256_set1_ps(least));
            }
        }
        _mm256_storeu_ps(costs.as_mut_ptr(), cost);
    }
}

/// Where the register of even (or odd) elements of two registers, as `shuffle_ps` leaves it, holds the element of this rank.
const PLACE: [i32; 8] = [0, 1, 4, 5, 2, 3, 6, 7];

/// The predecessors of eight states in a row are every other of sixteen states in a row, permuted: two loads and two shuffles.
#[target_feature(enable = "avx2")]
unsafe fn many<const BLOCKS: usize>(code: Code, branches: &[[f32; 4]], costs: &mut [f32], decisions: &mut [u8]) {
    let states = 8 * BLOCKS;
    assert!(states >= 16 && code.states() == states);
    let mut firsts = [[0usize; 2]; BLOCKS];
    let mut places = [[_mm256_setzero_si256(); 2]; BLOCKS];
    for block in 0..BLOCKS {
        for parity in 0..2 {
            let first = code.previous(8 * block, parity) & !15;
            assert!(first + 16 <= states);
            let place: [i32; 8] =
                std::array::from_fn(|lane| PLACE[(code.previous(8 * block + lane, parity) - first) / 2]);
            firsts[block][parity] = first;
            // SAFETY: a load of eight elements from an array of eight.
            places[block][parity] = unsafe { _mm256_loadu_si256(place.as_ptr().cast()) };
        }
    }
    assert_eq!(costs.len(), states);
    let mut now = costs.to_vec();
    let mut after = vec![0f32; states];
    for (index, (branch, bits)) in branches.iter().zip(decisions.chunks_exact_mut(BLOCKS)).enumerate() {
        // SAFETY: both cost arrays have `states` elements; sixteen from each `first` are among them, as checked above.
        unsafe {
            let (source, target) = (now.as_ptr(), after.as_mut_ptr());
            for block in 0..BLOCKS {
                let [even, odd] = firsts[block];
                let (a0, a1) = (_mm256_loadu_ps(source.add(even)), _mm256_loadu_ps(source.add(even + 8)));
                let (b0, b1) = (_mm256_loadu_ps(source.add(odd)), _mm256_loadu_ps(source.add(odd + 8)));
                // The quantiser of the predecessors, their lowest bit, is the top bit of the state: constant over a block.
                let (a, b, quantizer) = if block < BLOCKS / 2 {
                    (_mm256_shuffle_ps::<0x88>(a0, a1), _mm256_shuffle_ps::<0x88>(b0, b1), 0)
                } else {
                    (_mm256_shuffle_ps::<0xDD>(a0, a1), _mm256_shuffle_ps::<0xDD>(b0, b1), 2)
                };
                let a = _mm256_permutevar8x32_ps(a, places[block][0]);
                let b = _mm256_permutevar8x32_ps(b, places[block][1]);
                let a = _mm256_add_ps(a, _mm256_set1_ps(branch[quantizer]));
                let b = _mm256_add_ps(b, _mm256_set1_ps(branch[quantizer + 1]));
                bits[block] = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(b, a)) as u8;
                _mm256_storeu_ps(target.add(8 * block), _mm256_min_ps(b, a));
            }
        }
        std::mem::swap(&mut now, &mut after);
        if index % PERIOD == PERIOD - 1 {
            let least = now.iter().copied().fold(f32::INFINITY, f32::min);
            now.iter_mut().for_each(|cost| *cost -= least);
        }
    }
    costs.copy_from_slice(&now);
}
