//! Attention within sequences, computed tile by tile so that scores never exist for more than a few rows.

use std::ops::Range;

use rayon::prelude::*;
use seedpress_matrix::{View, product};

use crate::description::Attention;
use crate::math::{softmax, tanh};

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
    /// Rows of one head.
    pub(crate) fn head(&self, head: usize, from: usize, rows: usize, size: usize) -> View<'a, f32> {
        View::strided(&self.values[from * self.stride + head * self.step..], rows, size, self.stride)
    }

    /// Rows of some heads, head after head.
    pub(crate) fn stack(&self, heads: Range<usize>, from: usize, rows: usize, size: usize) -> Vec<f32> {
        let row = |head: usize, row: usize| &self.values[(from + row) * self.stride + head * self.step..][..size];
        heads.flat_map(|head| (0..rows).flat_map(move |at| row(head, at))).copied().collect()
    }
}

/// The keys that some queries from `from` on see: the first, and the one behind the last.
pub(crate) fn span(attention: &Attention, from: usize, rows: usize, length: usize) -> (usize, usize) {
    let first = attention.window.map_or(0, |window| (from + 1).saturating_sub(window));
    (first, if attention.causal { from + rows } else { length })
}

/// What `rows` queries from `from` on make of keys from `first` on, `[rows, keys]`, of a sequence of `length`; keys out of sight have none.
/// Queries of several heads may be stacked, `rows` of each. `capped` takes the scores behind their soft cap, for those who derive it.
pub(crate) fn probabilities(
    attention: &Attention,
    [from, rows, first, length]: [usize; 4],
    query: View<'_, f32>,
    key: View<'_, f32>,
    capped: Option<&mut Vec<f32>>,
) -> Vec<f32> {
    let count = key.height();
    let mut result = product(query, key.t());
    result.iter_mut().for_each(|score| *score *= attention.scale);
    if let Some(cap) = attention.soft_cap {
        result.iter_mut().for_each(|score| *score = cap * tanh(*score / cap));
        if let Some(capped) = capped {
            capped.extend_from_slice(&result);
        }
    }
    for (row, scores) in result.chunks_exact_mut(count).enumerate() {
        let position = from + row % rows;
        let last = if attention.causal { position + 1 } else { length };
        let start = attention.window.map_or(0, |window| (position + 1).saturating_sub(window));
        let (seen, after) = scores.split_at_mut(last - first);
        let (before, seen) = seen.split_at_mut(start.max(first) - first);
        softmax(seen);
        before.fill(0.0);
        after.fill(0.0);
    }
    result
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
        for key_head in 0..attention.key_heads {
            let heads = key_head * group..(key_head + 1) * group;
            // Heads that share keys and values share what is copied of them.
            let query = queries.stack(heads.clone(), from, rows, size);
            let key = keys.head(key_head, first, count, size);
            let scores = probabilities(attention, [from, rows, first, length], View::new(&query, size), key, None);
            let value = values.head(key_head, first, count, size);
            let answers = product(View::new(&scores, count), value);
            for (head, answers) in heads.zip(answers.chunks_exact(rows * size)) {
                for (to, from) in result.chunks_exact_mut(width).zip(answers.chunks_exact(size)) {
                    to[head * size..][..size].copy_from_slice(from);
                }
            }
        }
    });
}
