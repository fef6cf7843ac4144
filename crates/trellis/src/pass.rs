//! One pass of the trellis with given tables over weights in row-major order, and what is counted of any pass.

use rayon::prelude::*;

use crate::classes::Classes;
use crate::code::Code;
use crate::stream::{CHUNK, MOST_POINTS};
use crate::symbols::{Counts, raw_bits};
use crate::viterbi::{Scratch, Start, Tables, search};

/// Points with a histogram slot.
const SLOTS: usize = 64;

/// Something that chooses indices for weights, all of them or a sample.
pub(crate) trait Pass: Sync {
    /// Runs the trellis.
    fn pass(&self, whole: bool, tables: &Tables, step: f32, shift: u32) -> Outcome;
    /// Weights in the sample.
    fn sampled(&self) -> usize;
    /// The classes, as the stream orders them.
    fn classes(&self) -> &Classes;
    /// Fills in the classes of all weights from index `start` of the stream.
    fn fill(&self, start: usize, out: &mut [u8]);
}

/// What a pass chose for a piece of the stream: a byte a weight, since all of a tensor's are held at once.
pub(crate) struct Choice {
    /// Twice the index, and 1 where the weight is negative.
    codes: Vec<u8>,
    /// Places and indices of those that are [`LARGE`] in `codes`.
    large: Vec<(usize, u32)>,
}

/// The largest index that a byte has room for beside the sign, which stands for all from there on.
const LARGE: u32 = 127;

impl Choice {
    /// Zeros for so many weights.
    pub(crate) fn zeros(len: usize) -> Self {
        Self { codes: vec![0; len], large: Vec::new() }
    }

    /// The choices for weights one after another.
    pub(crate) fn new(indices: &[u32], negative: &[bool]) -> Self {
        let mut choice = Self::zeros(indices.len());
        for (at, (&index, &negative)) in indices.iter().zip(negative).enumerate() {
            choice.set(at, index, negative);
        }
        choice
    }

    /// Chooses for one weight, once.
    #[inline]
    pub(crate) fn set(&mut self, at: usize, index: u32, negative: bool) {
        self.codes[at] = (index.min(LARGE) << 1) as u8 | u8::from(negative);
        if index >= LARGE {
            self.large.push((at, index));
        }
    }

    /// Magnitudes.
    pub(crate) fn indices(&self) -> Vec<u32> {
        let mut indices: Vec<u32> = self.codes.iter().map(|code| u32::from(code >> 1)).collect();
        self.large.iter().for_each(|&(at, index)| indices[at] = index);
        indices
    }

    /// Sign of the weight at a place.
    #[inline]
    pub(crate) fn negative(&self, at: usize) -> bool {
        self.codes[at] & 1 == 1
    }
}

/// What a pass found.
pub(crate) struct Outcome {
    /// Decisions by context.
    pub counts: Vec<Counts>,
    /// Squared error in squared steps.
    pub error: f64,
    /// Piece by piece.
    pub choices: Vec<Choice>,
    raw: u64,
    /// Sum of magnitudes and number, by quantiser and index.
    centroids: [[(f64, u32); MOST_POINTS + 1]; 2],
}

impl Outcome {
    /// The sums over parts, in their order: they must not depend on who finished first.
    pub(crate) fn merged(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().reduce(|mut total, part| {
            total.counts.iter_mut().zip(&part.counts).for_each(|(own, more)| own.merge(more));
            total.raw += part.raw;
            total.error += part.error;
            for (own, more) in total.centroids.iter_mut().flatten().zip(part.centroids.iter().flatten()) {
                own.0 += more.0;
                own.1 += more.1;
            }
            total.choices.extend(part.choices);
            total
        })
    }

    /// Size of the indices with tables that learn.
    pub(crate) fn bits(&self) -> f64 {
        self.raw as f64 + self.counts.iter().map(Counts::adaptive_bits).sum::<f64>()
    }

    /// Centroids as offsets from the lattice, as many as pay for themselves.
    pub(crate) fn points(&self, most: usize) -> Vec<[i8; 2]> {
        let mut points: Vec<[i8; 2]> = (1..=most)
            .map(|k| {
                [0, 1].map(|quantizer| {
                    let (sum, count) = self.centroids[quantizer][k];
                    if count < 16 {
                        return 0;
                    }
                    let offset = sum / f64::from(count) - (2 * k - quantizer) as f64;
                    (offset * 64.0).round().clamp(-127.0, 127.0) as i8
                })
            })
            .collect();
        while points.last() == Some(&[0, 0]) {
            points.pop();
        }
        points
    }
}

/// Counts what a path chose.
pub(crate) struct Tally {
    shift: u32,
    histogram: Vec<[u32; SLOTS]>,
    counts: Vec<Counts>,
    raw: u64,
    error: f64,
    centroids: [[(f64, u32); MOST_POINTS + 1]; 2],
}

impl Tally {
    /// Nothing counted yet.
    pub(crate) fn new(contexts: usize, shift: u32) -> Self {
        Self {
            shift,
            histogram: vec![[0; SLOTS]; contexts],
            counts: vec![Counts::default(); contexts],
            raw: 0,
            error: 0.0,
            centroids: [[(0.0, 0); MOST_POINTS + 1]; 2],
        }
    }

    /// Counts one index.
    #[inline]
    pub(crate) fn index(&mut self, context: usize, k: u32) {
        match self.histogram[context].get_mut(k as usize) {
            Some(slot) => *slot += 1,
            None => {
                self.counts[context].add(k, 1, self.shift);
                self.raw += u64::from(raw_bits(k, self.shift));
            }
        }
    }

    /// Notes what an index stood for.
    #[inline]
    pub(crate) fn centroid(&mut self, quantizer: usize, k: u32, u: f32) {
        if let Some(centroid) = self.centroids[quantizer].get_mut(k as usize) {
            centroid.0 += f64::from(u);
            centroid.1 += 1;
        }
    }

    /// Adds to the squared error.
    #[inline]
    pub(crate) fn error(&mut self, squared: f64) {
        self.error += squared;
    }

    /// The sums, with what was chosen.
    pub(crate) fn finish(mut self, choices: Vec<Choice>) -> Outcome {
        for (counts, histogram) in self.counts.iter_mut().zip(&self.histogram) {
            for (k, &times) in histogram.iter().enumerate() {
                if times > 0 {
                    counts.add(k as u32, times, self.shift);
                    self.raw += u64::from(times) * u64::from(raw_bits(k as u32, self.shift));
                }
            }
        }
        Outcome { counts: self.counts, raw: self.raw, error: self.error, centroids: self.centroids, choices }
    }
}

/// Weights as they lie in memory.
pub(crate) struct Rows<'a> {
    values: &'a [f32],
    offset: f32,
    columns: usize,
    classes: Classes,
    /// Class by weight, where that is known otherwise.
    known: Option<&'a [u8]>,
    code: Code,
    chunks: Vec<(usize, usize)>,
    sample: Vec<(usize, usize)>,
}

/// Contiguous weights of the sample.
const PIECE: usize = 2048;

impl<'a> Rows<'a> {
    /// A matrix of row length `columns`, and a sample of about `sample` of its weights.
    pub(crate) fn new(
        values: &'a [f32],
        offset: f32,
        columns: usize,
        classes: Classes,
        code: Code,
        sample: usize,
    ) -> Self {
        let count = values.len();
        let chunks: Vec<(usize, usize)> =
            (0..count).step_by(CHUNK).map(|start| (start, CHUNK.min(count - start))).collect();
        let sample = if count <= 2 * sample {
            chunks.clone()
        } else {
            let pieces = sample / PIECE;
            (0..pieces).map(|piece| (piece * (count / pieces), PIECE)).collect()
        };
        Self { values, offset, columns, classes, known: None, code, chunks, sample }
    }

    /// With these classes, one a weight, of which there are `classes.count`.
    #[must_use]
    pub(crate) fn knowing(self, known: &'a [u8]) -> Self {
        Self { known: Some(known), ..self }
    }

    /// The code the weights are searched with.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// First weight and length of the pieces that are searched each for itself.
    pub(crate) fn pieces(&self, whole: bool) -> &[(usize, usize)] {
        if whole { &self.chunks } else { &self.sample }
    }

    /// Distances from the offset in steps.
    pub(crate) fn magnitudes(&self, start: usize, length: usize, step: f32) -> Vec<f32> {
        let (offset, inverse) = (f64::from(self.offset), 1.0 / f64::from(step));
        let values = &self.values[start..start + length];
        values.iter().map(|&v| ((f64::from(v) - offset).abs() * inverse) as f32).collect()
    }

    /// Which weights lie below the offset.
    pub(crate) fn signs(&self, start: usize, length: usize) -> Vec<bool> {
        self.values[start..start + length].iter().map(|&v| v < self.offset).collect()
    }
}

impl Pass for Rows<'_> {
    fn pass(&self, whole: bool, tables: &Tables, step: f32, shift: u32) -> Outcome {
        let contexts = 2 * usize::from(self.classes.count);
        let parts: Vec<Outcome> = self
            .pieces(whole)
            .par_iter()
            .map_init(Scratch::default, |scratch, &(start, length)| {
                let u = self.magnitudes(start, length, step);
                let mut classes = vec![0u8; length];
                self.fill(start, &mut classes);
                let mut indices = vec![0u32; length];
                search(self.code, tables, &u, &classes, Start::PLAIN, scratch, &mut indices);
                let mut tally = Tally::new(contexts, shift);
                let mut state = 0;
                for ((&k, &class), &u) in indices.iter().zip(&classes).zip(&u) {
                    let quantizer = state & 1;
                    tally.index(2 * usize::from(class) + quantizer, k);
                    tally.centroid(quantizer, k, u);
                    let miss = f64::from(u - tables.point(quantizer, k as usize));
                    tally.error(miss * miss);
                    state = self.code.next(state, k as usize & 1);
                }
                let negative = self.signs(start, length);
                tally.finish(vec![Choice::new(&indices, &negative)])
            })
            .collect();
        Outcome::merged(parts).unwrap_or_else(|| Tally::new(contexts, shift).finish(Vec::new()))
    }

    fn sampled(&self) -> usize {
        self.sample.iter().map(|&(_, length)| length).sum()
    }

    fn classes(&self) -> &Classes {
        &self.classes
    }

    fn fill(&self, start: usize, out: &mut [u8]) {
        match self.known {
            Some(known) => out.copy_from_slice(&known[start..start + out.len()]),
            None => self.classes.fill(start, self.columns, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_keep_indices_and_signs_of_any_size() {
        let indices = [0, 1, 126, 127, 128, 0, u32::MAX, 5];
        let negative = [false, true, true, false, true, true, true, false];
        let choice = Choice::new(&indices, &negative);
        assert_eq!(choice.indices(), indices);
        assert!((0..8).all(|at| choice.negative(at) == negative[at]));
        assert_eq!(Choice::zeros(3).indices(), [0; 3]);
    }
}
