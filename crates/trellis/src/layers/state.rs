//! A reconstruction, and what the next layer may know of it.

use seedpress_codec::tensor::matrix_shape;
use seedpress_codec::{DecodeError, Limits};

use crate::classes::Classes;
use crate::stream::{CELLS, Stream, decode_noting};

/// Element classes of a later layer.
pub(super) const KNOWN: u8 = 2 * CELLS;

/// A reconstruction and what later layers may know of it.
pub(super) struct State {
    pub(super) weights: Vec<f32>,
    pub(super) cells: Vec<u8>,
    pub(super) groups: Vec<u8>,
}

impl State {
    pub(super) fn first(stream: Stream<'_>, count: usize, limits: &mut Limits) -> Result<Self, DecodeError> {
        let mut weights = limits.filled(count, 0f32)?;
        let (mut cells, mut groups) = (limits.filled(count, 0u8)?, limits.filled(count, 0u8)?);
        let classes = decode_noting(stream, None, Some(&mut cells), &mut weights, limits)?;
        let (_, columns) = matrix_shape(stream.shape);
        halves(&classes, columns, &mut groups);
        Ok(Self { weights, cells, groups })
    }

    /// The classes of the next layer.
    pub(super) fn known(&self) -> Vec<u8> {
        self.cells.iter().zip(&self.groups).map(|(&cell, &group)| cell + group).collect()
    }

    /// What is left, mirrored where the reconstruction is negative.
    pub(super) fn residual(&self, wanted: &[f32]) -> Vec<f32> {
        let pairs = wanted.iter().zip(&self.weights);
        pairs
            .map(|(&wanted, &weight)| {
                let left = f64::from(wanted) - f64::from(weight);
                ((if weight < 0.0 { -left } else { left }) as f32).clamp(-f32::MAX, f32::MAX)
            })
            .collect()
    }

    pub(super) fn refine(&mut self, stream: Stream<'_>, limits: &mut Limits) -> Result<(), DecodeError> {
        limits.take(6 * self.weights.len() as u64)?;
        let known = self.known();
        let mut residual = vec![0f32; self.weights.len()];
        decode_noting(stream, Some((&known, KNOWN)), Some(&mut self.cells), &mut residual, limits)?;
        for (weight, &residual) in self.weights.iter_mut().zip(&residual) {
            let mirrored = if *weight < 0.0 { -residual } else { residual };
            *weight = ((f64::from(*weight) + f64::from(mirrored)) as f32).clamp(-f32::MAX, f32::MAX);
        }
        Ok(())
    }
}

/// What the groups add to the cells: nothing for the lower half of the classes.
pub(super) fn halves(classes: &Classes, columns: usize, groups: &mut [u8]) {
    if !classes.rows.is_empty() || !classes.columns.is_empty() {
        classes.fill(0, columns, groups);
    }
    groups.iter_mut().for_each(|group| *group = if 2 * *group >= classes.count { CELLS } else { 0 });
}
