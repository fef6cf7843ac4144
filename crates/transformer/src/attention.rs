//! Attention within sequences, computed tile by tile so that scores never exist for more than a few rows.

use rayon::prelude::*;

use crate::description::Attention;
use crate::math::{softmax, tanh};
use crate::product::{View, multiply_here};

/// Queries computed together; what lies wholly in the future or before the window is left out.
pub(crate) const TILE: usize = 64;

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
    pub(crate) fn head(&self, head: usize, from: usize, rows: usize, size: usize) -> View<'a> {
        View::strided(&self.values[from * self.stride + head * self.step..], rows, size, self.stride)
    }
}

/// The keys that some queries from `from` on see: the first, and the one behind the last.
pub(crate) fn span(attention: &Attention, from: usize, rows: usize, length: usize) -> (usize, usize) {
    let first = attention.window.map_or(0, |window| (from + 1).saturating_sub(window));
    (first, if attention.causal { from + rows } else { length })
}

/// What queries from `from` on make of keys from `first` on, `[rows, keys]`, of a sequence of `length`; keys out of sight have none.
/// `capped` takes the scores behind their soft cap, for those who derive it.
pub(crate) fn probabilities(
    attention: &Attention,
    result: &mut [f32],
    [from, first, length]: [usize; 3],
    query: View<'_>,
    key: View<'_>,
    capped: Option<&mut Vec<f32>>,
) {
    let count = key.height();
    multiply_here(result, count, query, key.t(), attention.scale);
    if let Some(cap) = attention.soft_cap {
        result.iter_mut().for_each(|score| *score = cap * tanh(*score / cap));
        if let Some(capped) = capped {
            capped.extend_from_slice(result);
        }
    }
    for (row, scores) in result.chunks_exact_mut(count).enumerate() {
        let position = from + row;
        let last = if attention.causal { position + 1 } else { length };
        let start = attention.window.map_or(0, |window| (position + 1).saturating_sub(window));
        let (seen, after) = scores.split_at_mut(last - first);
        let (before, seen) = seen.split_at_mut(start.max(first) - first);
        softmax(seen);
        before.fill(0.0);
        after.fill(0.0);
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
        let (first, end) = span(attention, from, rows, length);
        let count = end - first;
        let mut scores = vec![0f32; rows * count];
        for head in 0..attention.heads {
            let query = queries.head(head, from, rows, size);
            let key = keys.head(head / group, first, count, size);
            probabilities(attention, &mut scores, [from, first, length], query, key, None);
            let value = values.head(head / group, first, count, size);
            multiply_here(&mut result[head * size..], width, View::new(&scores, count), value, 1.0);
        }
    });
}
