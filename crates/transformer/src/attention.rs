//! Attention within sequences, computed tile by tile so that scores never exist for more than a few rows.

use rayon::prelude::*;

use crate::description::Attention;
use crate::math::{softmax, tanh};
use crate::product::{View, multiply_here};

/// Queries computed together; what lies wholly in the future or before the window is left out.
const TILE: usize = 64;

/// Queries, keys and values of one sequence inside wider rows.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    /// Rows of the sequence from the first head on.
    pub(crate) values: &'a [f32],
    /// From one row to the next.
    pub(crate) stride: usize,
    /// From one head to the next.
    pub(crate) step: usize,
}

impl<'a> Heads<'a> {
    fn head(&self, head: usize, from: usize, rows: usize, size: usize) -> View<'a> {
        View::strided(&self.values[from * self.stride + head * self.step..], rows, size, self.stride)
    }
}

/// The heads' answers `[length, heads * head_size]` for one sequence.
pub(crate) fn attend(
    attention: &Attention,
    [queries, keys, values]: [Heads<'_>; 3],
    length: usize,
    result: &mut [f32],
) {
    let (size, width) = (attention.head_size, attention.heads * attention.head_size);
    let group = attention.heads / attention.key_heads;
    result.par_chunks_mut(TILE * width).enumerate().for_each(|(tile, result)| {
        let from = tile * TILE;
        let rows = result.len() / width;
        let first = attention.window.map_or(0, |window| (from + 1).saturating_sub(window));
        let end = if attention.causal { from + rows } else { length };
        let count = end - first;
        let mut scores = vec![0f32; rows * count];
        for head in 0..attention.heads {
            let query = queries.head(head, from, rows, size);
            let key = keys.head(head / group, first, count, size);
            multiply_here(&mut scores, count, query, key.t(), attention.scale);
            for (row, scores) in scores.chunks_exact_mut(count).enumerate() {
                let position = from + row;
                let last = if attention.causal { position + 1 } else { length };
                let start = attention.window.map_or(0, |window| (position + 1).saturating_sub(window));
                let (seen, after) = scores.split_at_mut(last - first);
                let (before, seen) = seen.split_at_mut(start.max(first) - first);
                if let Some(cap) = attention.soft_cap {
                    seen.iter_mut().for_each(|score| *score = cap * tanh(*score / cap));
                }
                softmax(seen);
                before.fill(0.0);
                after.fill(0.0);
            }
            let value = values.head(head / group, first, count, size);
            multiply_here(&mut result[head * size..], width, View::new(&scores, count), value, 1.0);
        }
    });
}
