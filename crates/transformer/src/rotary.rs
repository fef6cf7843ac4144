//! Angles of rotary positions, and turning by them.

use std::f64::consts::TAU;

use rayon::prelude::*;

use crate::description::{Rotary, Scaling};

/// Cosine and sine of each position and pair.
pub(crate) struct Turns {
    /// Pairs of a head.
    pairs: usize,
    /// `[cosine, sine]`, position by position.
    values: Vec<[f32; 2]>,
}

impl Turns {
    /// For positions `0..length` of a sequence of that length.
    pub(crate) fn new(rotary: &Rotary, length: usize) -> Self {
        let (frequencies, sharpness) = frequencies(rotary, length);
        let angle = |at: usize| {
            let (position, pair) = (at / frequencies.len(), at % frequencies.len());
            // Frequencies in f32, as everybody has them: angles of late positions depend on their last bits.
            let angle = (position as f32) * (frequencies[pair] as f32);
            // Not the system's: its last bits differ between systems.
            let (sine, cosine) = libm::sincos(f64::from(angle));
            [(cosine * sharpness) as f32, (sine * sharpness) as f32]
        };
        let values = (0..length * frequencies.len()).map(angle).collect();
        Self { pairs: frequencies.len(), values }
    }

    /// Turns each head of each row of a sequence; rows start `stride` values apart, their heads side by side from `offset` on,
    /// `step` values from one to the next.
    pub(crate) fn apply(&self, rows: &mut [f32], stride: usize, offset: usize, heads: usize, step: usize) {
        self.each(rows, [stride, offset, heads, step], |a, b, [cosine, sine]| {
            (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
        });
    }

    /// Turns gradients by what [`apply`](Self::apply) makes into gradients by what it takes.
    pub(crate) fn undo(&self, rows: &mut [f32], stride: usize, offset: usize, heads: usize, step: usize) {
        self.each(rows, [stride, offset, heads, step], |a, b, [cosine, sine]| {
            (*a, *b) = (*a * cosine + *b * sine, *b * cosine - *a * sine);
        });
    }

    fn each(
        &self,
        rows: &mut [f32],
        [stride, offset, heads, step]: [usize; 4],
        turn: impl Fn(&mut f32, &mut f32, [f32; 2]) + Sync,
    ) {
        rows.par_chunks_mut(stride).enumerate().for_each(|(position, row)| {
            let turns = &self.values[position * self.pairs..][..self.pairs];
            for head in 0..heads {
                let values = &mut row[offset + head * step..][..2 * self.pairs];
                let (first, second) = values.split_at_mut(self.pairs);
                first.iter_mut().zip(second).zip(turns).for_each(|((a, b), &by)| turn(a, b, by));
            }
        });
    }
}

/// Radians a position, and what sines and cosines are multiplied by.
fn frequencies(rotary: &Rotary, length: usize) -> (Vec<f64>, f64) {
    let size = rotary.size as f64;
    let plain = |base: f64| -> Vec<f64> {
        (0..rotary.size / 2).map(|pair| libm::pow(base, -2.0 * pair as f64 / size)).collect()
    };
    let own = plain(rotary.base);
    match &rotary.scaling {
        Scaling::None => (own, 1.0),
        Scaling::Linear { factor } => (own.into_iter().map(|frequency| frequency / factor).collect(), 1.0),
        Scaling::Dynamic { factor, trained } => {
            let (length, trained) = (length.max(*trained) as f64, *trained as f64);
            let stretch = libm::pow(factor * length / trained - (factor - 1.0), size / (size - 2.0));
            (plain(rotary.base * stretch), 1.0)
        }
        Scaling::Llama3 { factor, low, high, trained } => {
            let scale = |frequency: f64| {
                let rotations = *trained as f64 * frequency / TAU;
                let kept = ((rotations - low) / (high - low)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            };
            (own.into_iter().map(scale).collect(), 1.0)
        }
        Scaling::Yarn { factor, fast, slow, truncate, trained, sharpness } => {
            // The pair that makes so many rotations over the trained context.
            let pair =
                |rotations: f64| size * libm::log(*trained as f64 / (rotations * TAU)) / (2.0 * libm::log(rotary.base));
            let (mut from, mut to) = (pair(*fast), pair(*slow));
            if *truncate {
                (from, to) = (from.floor(), to.ceil());
            }
            let (from, mut to) = (from.max(0.0), to.min(size - 1.0));
            if from == to {
                to += 0.001;
            }
            let scale = |(pair, frequency): (usize, f64)| {
                let divided = ((pair as f64 - from) / (to - from)).clamp(0.0, 1.0);
                frequency * (1.0 - divided + divided / factor)
            };
            (own.into_iter().enumerate().map(scale).collect(), *sharpness)
        }
        Scaling::Long { short, long, trained, sharpness } => {
            let divisors = if length > *trained { long } else { short };
            (own.iter().zip(divisors).map(|(frequency, divisor)| frequency / divisor).collect(), *sharpness)
        }
    }
}
