//! A block of weights, and what its errors count.

use crate::form::Form;
use crate::search::{EVEN, LONGEST, Target, target};

/// A block to be coded.
#[derive(Clone)]
pub(crate) struct Block<'a> {
    pub values: &'a [f32],
    pub gain: f32,
    pub counts: Counts<'a>,
}

/// What the errors of a block's weights count.
#[derive(Clone)]
pub(crate) enum Counts<'a> {
    /// All alike.
    Alike,
    /// Each for itself, in units of `1 / EVEN`.
    Each(Vec<i32>),
    /// All together.
    Form(&'a Form),
}

/// The sum of squares.
pub(crate) fn energy(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
}

impl Counts<'_> {
    /// Whether both are the same for all codewords.
    pub(crate) fn shared(&self, other: &Self) -> bool {
        match (self, other) {
            (Counts::Alike, Counts::Alike) => true,
            (Counts::Form(own), Counts::Form(other)) => std::ptr::eq(*own, *other),
            _ => false,
        }
    }

    /// What a weight's error counts on average.
    pub(crate) fn mean(&self) -> f64 {
        match self {
            Counts::Alike | Counts::Each(_) => 1.0,
            Counts::Form(form) => form.mean(),
        }
    }
}

impl Block<'_> {
    /// The sum of squared errors as they count, and the residual times the form where there is one.
    pub(crate) fn weigh(&self, residual: &[f32]) -> (f64, [f32; LONGEST]) {
        let mut pull = [0.0; LONGEST];
        let error = match &self.counts {
            Counts::Alike => energy(residual),
            Counts::Each(importance) => {
                let square = |(&r, &h): (&f32, &i32)| f64::from(r) * f64::from(r) * (f64::from(h) / f64::from(EVEN));
                residual.iter().zip(importance).map(square).sum()
            }
            Counts::Form(form) => {
                form.times(residual, &mut pull);
                residual.iter().zip(&pull).map(|(&r, &p)| f64::from(r) * f64::from(p)).sum()
            }
        };
        (error, pull)
    }

    /// What the search looks for to come nearer from a residual, in the units of codewords; `pull` is the residual times the form.
    pub(crate) fn target(&self, residual: &[f32], pull: &[f32], step: f32) -> Target {
        let residual = residual[..self.values.len()].iter().map(|r| r / step);
        match &self.counts {
            Counts::Alike => target(residual),
            Counts::Each(importance) => target(residual.zip(importance).map(|(r, &h)| r * (h as f32 / EVEN as f32))),
            Counts::Form(_) => target(pull[..self.values.len()].iter().map(|p| p / step)),
        }
    }
}
