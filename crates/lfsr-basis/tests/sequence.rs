//! The register and its sequence against the paper's vectors and against plain stepping.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use seedpress_lfsr_basis::{BasisError, PAPER_TAPS, Register, Sequence};

fn stepped(register: Register, state: u32, count: usize) -> Vec<u32> {
    std::iter::successors(Some(register.step(state)), |&s| Some(register.step(s))).take(count).collect()
}

/// Length of the cycle through state 1, by walking it.
fn walked_period(width: u32, taps: u32) -> u32 {
    let step = |s: u32| (s >> 1) | (((s & taps).count_ones() & 1) << (width - 1));
    let (mut state, mut count) = (step(1), 1);
    while state != 1 && count < 1 << width {
        state = step(state);
        count += 1;
    }
    count
}

#[test]
fn the_papers_vectors() {
    let three = Register::new(3).unwrap();
    assert_eq!(stepped(three, 4, 8), [2, 5, 6, 7, 3, 1, 4, 2]);
    let sixteen = Sequence::new(16, None, 1).unwrap();
    let states = |seed| sixteen.window(seed, 8).collect::<Vec<_>>();
    assert_eq!(states(1), [32768, 16384, 8192, 4096, 34816, 17408, 8704, 4352]);
    assert_eq!(states(44257), [54896, 60216, 62876, 31438, 48487, 57011, 61273, 30636]);
}

#[test]
fn every_mask_of_the_papers_table_has_the_full_period() {
    for width in 2..=24 {
        let taps = PAPER_TAPS[width as usize];
        assert_eq!(walked_period(width, taps), (1 << width) - 1, "K = {width}");
        assert_eq!(Register::with_taps(width, taps), Register::new(width));
    }
}

/// The order test agrees with walking for every mask, and finds phi(2^K - 1) / K maximal masks, the number of primitive polynomials.
#[test]
fn maximal_masks_are_exactly_those_that_walk_the_full_period() {
    let primitive_polynomials = [0, 0, 1, 2, 2, 6, 6, 18, 16, 48, 60, 176, 144];
    for width in 2..=12u32 {
        let mut maximal = 0;
        for taps in 0..1u32 << width {
            let full = taps & 1 == 1 && walked_period(width, taps) == (1 << width) - 1;
            assert_eq!(Register::with_taps(width, taps).is_ok(), full, "K = {width}, taps {taps:#x}");
            maximal += usize::from(full);
        }
        assert_eq!(maximal, primitive_polynomials[width as usize], "K = {width}");
    }
}

#[test]
fn illegal_parameters_are_named() {
    assert_eq!(Register::new(1), Err(BasisError::Width(1)));
    assert_eq!(Register::with_taps(25, 1), Err(BasisError::Width(25)));
    assert_eq!(Register::with_taps(16, 0x1_0003), Err(BasisError::NotMaximal { width: 16, taps: 0x1_0003 }));
    for decimation in [0, 3, 5, 17, 257, 65535] {
        let error = Sequence::new(16, None, decimation).unwrap_err();
        assert_eq!(error, BasisError::Decimation { decimation, period: 65535 });
    }
}

#[test]
fn a_decimated_sequence_takes_every_dth_state() {
    for (width, decimation) in [(5, 3), (8, 7), (16, 11), (16, 65534), (17, 1 << 20)] {
        let sequence = Sequence::new(width, None, decimation).unwrap();
        let register = sequence.register();
        assert_eq!(sequence.len(), register.period() as usize);
        let mut state = 1;
        for position in 0..sequence.len().min(300) {
            assert_eq!(sequence.state(position), state);
            assert_eq!(sequence.position(state), position);
            for _ in 0..u64::from(decimation) % u64::from(register.period()) {
                state = register.step(state);
            }
        }
        let mut seen: Vec<_> = sequence.states().to_vec();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(1..=register.period()));
    }
}

#[test]
fn values_are_normalised_and_wrap_around() {
    for width in [2, 3, 8, 16] {
        let sequence = Sequence::new(width, None, 1).unwrap();
        let half = f64::from(1u32 << (width - 1));
        assert_eq!(sequence.values().len(), sequence.len() + Sequence::PADDING);
        for (index, &value) in sequence.values().iter().enumerate() {
            let state = f64::from(sequence.state(index % sequence.len()));
            assert_eq!(value, ((state - half) / (half - 1.0)) as f32);
            assert!((-1.0..=1.0).contains(&value));
        }
    }
    let sequence = Sequence::new(16, None, 11).unwrap();
    let last = sequence.state(sequence.len() - 1);
    let expected: Vec<f32> = sequence.window(last, 48).map(|v| (v as f32 - 32768.0) / 32767.0).collect();
    assert_eq!(sequence.basis(last, 48), expected);
}

#[test]
fn sequences_are_shared() {
    let [a, b] = [11, 11 + 65535].map(|d| Sequence::new(16, None, d).unwrap());
    assert!(std::sync::Arc::ptr_eq(&a, &b));
}

proptest! {
    #[test]
    fn a_jump_is_that_many_steps(width in 2u32..=24, state in 1u32.., steps in 0u64..5000) {
        let register = Register::new(width).unwrap();
        let state = state % register.period() + 1;
        let mut walked = state;
        for _ in 0..steps {
            walked = register.step(walked);
        }
        prop_assert_eq!(register.jump(state, steps), walked);
        prop_assert_eq!(register.jump(walked, u64::from(register.period()) - steps % u64::from(register.period())), state);
    }
}
