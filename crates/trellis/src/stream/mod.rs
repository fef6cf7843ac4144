//! The bytes, and the decoder.
//!
//! | params | size | |
//! | --- | --- | --- |
//! | flags | u8 | 128: see [`transformed`](crate::transformed); else bit 0: row classes, bit 1: column classes, bit 2: offset, bit 3: every weight equals the offset (nothing follows it), bit 4: column weights, bit 5 (since format 2): by column, bit 6: rotated |
//! | offset | f32 | where flag 2 is set; added to every weight |
//! | seed | varint | where flag 6 is set; of the rotation's signs, below 2^32 |
//! | step | f32 | positive |
//! | code | u8 | low half: memory 2..=8; high half: low bits of the binarisation, 0..=7 |
//! | classes | u8 | low half: element classes - 1; high half: bits 0..=3 of the base |
//! | base | u8 | high bits of the base, where a class flag is set |
//! | points | u8 + 2 x i8 each | number of trained reproduction points, then for each index from 1 the offsets of Q0 and Q1 in step/64 |
//! | lengths | varint each | bytes of each segment below, in order: a coder reads zeros beyond its end, so that nothing else betrays a cut |
//!
//! | segment | role | |
//! | --- | --- | --- |
//! | weights | scales | only with flag 4: the coded exponents of the column weights |
//! | classes | scales | only with a class flag: the coded row and column classes |
//! | tables | tables | only with several chunks: the length of each chunk but the last as varint, then the coded initial probabilities |
//! | indices | indices | the coded chunks one after another |
//!
//! With flag 5 everything below describes the transpose: what is called a row is a column of the tensor and the other way round,
//! except for the column weights, which stay those of the tensor's columns.
//!
//! Rows are the first axis of the tensor, columns all others; a vector is one row. Numbers are little-endian, varints LEB128. A chunk is
//! [`CHUNK`] (2^16) weights in row-major order with its own coder and its own copy of the models; it starts in state 0.
//!
//! # Decoding
//!
//! **Coder.** `value` is the first 8 bytes, most significant first, `range = 2^64 - 1`; beyond the end bytes are 0. A *decision* of
//! probability `p / 2^16` has `bound = floor(range / 2^16) p`; it is true where `value < bound`, and then `range = bound`, else both
//! `value` and `range` fall by `bound`. A *raw* bit halves `range` (rounding down) and is 1 where `value >= range`, which is then
//! subtracted from `value`; the most significant bit comes first. After either, where `range < 2^32`, both are shifted left by 32 bits
//! and the next 4 bytes enter `value`. The last byte is not 0, and no byte is left unread.
//!
//! **Model.** An estimate `e` and a count `n`; `p = floor(e / 64)` kept within 16..=65520. After a decision `e` moves by
//! `floor((target - e) floor(2^16 / (n + 2)) / 2^16)`, where `target` is `2^22 - 1` for true, 0 for false, and `n` grows by 1 up to
//! 638. It starts from `e = 2^21, n = 0`. A *tree* of `w` bits has `2^w` models; from node 1, each decision leads from `node` to
//! `2 node + decision`, with the model of the node left.
//!
//! **Weights, classes.** The exponent of every column as trees of 5 bits. In one coder, the classes of the rows and then those of the
//! columns as trees of 4 bits, with new models for either side. The class of an element is the sum of both (0 for a side not sent)
//! minus the base, kept within the classes in use; 0 where no side was sent.
//!
//! **Tables.** For each context (87 models, see below; class by class, Q0 before Q1) 4 raw bits: the unary steps `s` described.
//! Then 6 raw bits `c` each for models `0..s` and, with `b` low bits, for the first `0, 1, 3, 3, ...` (`b = 0, 1, 2, ...`) of models
//! `15 + 3 i ..` for `i` in `0..s`. Such a model starts from `n = 48` and `e = 64 round(2^16 / (1 + 2^((31.5 - c) / 4)))`, whose
//! quotient by 64 is first kept within 16..=65520. Without tables all models start afresh.
//!
//! **Index.** In state `s` the quantiser is `q = s mod 2`, the context `2 class + q`. Decisions with models 0, 1, ... up to the first
//! that is false, or 15 of them: `h` is the number of true ones. Where `h = 15`: decisions with models 63, 64, ... up to the first
//! that is false, or 24 of them; of `w` true ones, `w` raw bits `r` add `2^w - 1 + r` to the index. With `b > 0` low bits, the
//! index is shifted left by `b`; the top low bit `t` is a decision with model `15 + 3 h`, the next, if any, with model `16 + 3 h + t`,
//! the others are raw. Where the index `k > 0`, a raw bit is 1 for a negative weight.
//!
//! **State.** `s` becomes `floor(s / 2)`, xor `floor(h0 / 2)` where `q = 1`, xor `floor(h1 / 2)` where `k` is odd, with `(h0, h1)` by
//! memory 2..=8 in octal: (5, 2), (13, 4), (23, 4), (45, 10), (103, 24), (235, 126), (515, 362).
//!
//! **Weight.** The point is 0 for `k = 0`, else `2k - q` plus the trained offset (0 beyond those sent) over 64, in binary32. Its product
//! with the step is added to, or for negative weights subtracted from, the offset, in binary64, and rounded to binary32; what would
//! overflow becomes the largest finite number. With column weights, that is multiplied by `2^((16 - exponent) / 4)` in binary64 and
//! rounded alike. Powers of two are `2^floor(x) y` in binary64, with `t = (x - floor(x)) ln 2` and `y` from `y = 1` by
//! `y = 1 + (y t) / i` for `i = 18, 17, ..., 1`.
//!
//! **Rotation.** With flag 6 all of that yields rotated rows of the tensor. Of a row of `c` columns a block has `m` of them, the largest
//! power of two neither above `c` nor above 256. Block `b` of `ceil(c / m)` starts at column `min(b m, c - m)`; from the last to the
//! first, each is replaced by its Hadamard transform, `(a, b) -> (a + b, a - b)` over pairs at distances 1, 2, 4, ... in binary64,
//! times its signs, times `1 / sqrt(m)` (for odd powers the binary64 nearest to `sqrt(1/2)` times a power of two), rounded to binary32.
//! The sign of place `j` is that of bit `j mod 64` of word `w = floor(j / 64)`, 1 for a minus: SplitMix64's output function (shifts 30,
//! 27, 31) of `2^32 seed + (4 b + w + 1) 0x9E3779B97F4A7C15`, modulo 2^64.

mod chunk;
mod header;
mod models;

pub(crate) use chunk::{CELLS, CHUNK, cell, write_chunk};
pub(crate) use header::{Header, MOST_POINTS, Params};
pub(crate) use models::{fresh_models, write_models};

use rayon::prelude::*;
use seedpress_codec::tensor::matrix_shape;
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodeError, Encoded, Limits, Role, SegmentView, Segments};
use seedpress_matrix::transpose_into;
use seedpress_rotation::Rotation;

use self::chunk::ChunkDecoder;
use self::models::{Models, read_models};
use crate::classes::{CLASSES, Classes};
use crate::symbols::Context;
use crate::weights::Weights;

/// Version of the bytes, the transformed ones included.
pub(crate) const FORMAT: u32 = 2;

/// Chunks in work at the same time at most: what bounds the decoder's memory on any number of threads.
const FLIGHT: usize = 64;

/// One stream of this format, wherever its pieces are kept.
#[derive(Clone, Copy)]
pub(crate) struct Stream<'a> {
    /// The parameter bytes.
    pub params: &'a [u8],
    /// The segments.
    pub segments: &'a [SegmentView<'a>],
    /// The tensor's shape.
    pub shape: &'a [usize],
}

/// Classes that a stream does not bring itself, one a weight, and how many there are.
pub(crate) type Known<'a> = (&'a [u8], u8);

/// Reconstructs a tensor.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub(crate) fn decode(stream: Stream<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    decode_noting(stream, None, None, out, limits).map(|_| ())
}

/// Reconstructs a tensor of this shape from what an encoder has just written.
///
/// # Errors
/// Only where encoder and decoder disagree.
pub(crate) fn decode_fresh(encoded: &Encoded, shape: &[usize], out: &mut [f32]) -> Result<(), EncodeError> {
    let layer = encoded.layers[0].view();
    let stream = Stream { params: &encoded.params, segments: &layer.segments, shape };
    decode(stream, out, &mut Limits::new(u64::MAX))
        .map_err(|error| EncodeError::Internal(format!("a fresh stream does not decode: {error}")))
}

/// Reconstructs a tensor from a stream whose classes are `known` where they are not its own, notes in which of [`CELLS`] each index lay,
/// and returns the classes.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub(crate) fn decode_noting(
    stream: Stream<'_>,
    known: Option<Known<'_>>,
    notes: Option<&mut [u8]>,
    out: &mut [f32],
    limits: &mut Limits,
) -> Result<Classes, DecodeError> {
    let header = Params::parse(stream.params)?;
    let params = &header.params;
    let own_classes = header.sides != [false; 2] || params.by_column;
    if known.is_some_and(|(_, known)| known != header.count || own_classes) && params.step > 0.0 {
        return Err(DecodeError::corrupt("a layer with classes of its own"));
    }
    if params.rotation.is_some() && notes.is_some() {
        return Err(DecodeError::corrupt("a layer that is rotated"));
    }
    if params.step == 0.0 {
        if !stream.segments.is_empty() {
            return Err(DecodeError::corrupt("a constant tensor has no segments"));
        }
        out.fill(params.offset);
        return Ok(Classes::none());
    }
    let width = matrix_shape(stream.shape).1;
    let parts = Parts::read(&header, stream, out.len(), limits)?;
    if params.by_column {
        let mut transposed = limits.filled(out.len(), 0f32)?;
        parts.decode(params, known, notes, &mut transposed, limits)?;
        if let Some(weights) = &parts.weights {
            weights.undo_columns(&mut transposed, parts.columns);
        }
        transpose_into(&transposed, width, out.len() / width, out);
    } else {
        parts.decode(params, known, notes, out, limits)?;
    }
    if let Some(seed) = params.rotation {
        Rotation::new(seed, width).undo(out);
    }
    Ok(parts.classes)
}

/// The segments of a stream, read as far as they are not weights.
struct Parts<'a> {
    weights: Option<Weights>,
    classes: Classes,
    models: Models,
    chunks: Vec<&'a [u8]>,
    /// Length of a row of the stream: a stream by column is the row-major transpose.
    columns: usize,
}

impl<'a> Parts<'a> {
    /// Reads what stands before the weights, of which there are `count`.
    fn read(header: &Header, stream: Stream<'a>, count: usize, limits: &mut Limits) -> Result<Self, DecodeError> {
        let Header { params, sides, .. } = header;
        let (mut remaining, mut lengths) = (Segments::new(stream.segments, 0), header.lengths.iter());
        if remaining.remaining() != lengths.len() {
            return Err(DecodeError::corrupt("the segments are not as many as their lengths"));
        }
        let mut segment = |role: Role| remaining.exact(role, lengths.next().copied().unwrap_or(0));
        let (rows, width) = matrix_shape(stream.shape);
        let (rows, columns) = if params.by_column { (width, rows) } else { (rows, width) };
        let weights = match params.weighted {
            true => Some(Weights::from_bytes(segment(Role::Scales)?, width, limits)?),
            false => None,
        };
        let classes = if sides[0] || sides[1] {
            let length = |side: bool, length: usize| if side { length } else { 0 };
            let (rows, columns) = (length(sides[0], rows), length(sides[1], columns));
            Classes::from_bytes(segment(Role::Scales)?, rows, columns, header.base, header.count, limits)?
        } else {
            Classes { base: header.base, count: header.count, ..Classes::none() }
        };
        debug_assert!(usize::from(header.count) <= CLASSES);
        let chunks = count.div_ceil(CHUNK);
        let contexts = 2 * usize::from(header.count);
        limits.take((contexts * size_of::<Context>()) as u64)?;
        let mut lengths: Vec<usize> = limits.vec(chunks)?;
        let models = if chunks > 1 {
            let mut reader = Reader::new(segment(Role::Tables)?);
            for _ in 1..chunks {
                lengths.push(reader.length()?);
            }
            read_models(reader.take(reader.remaining())?, contexts, params.shift)?
        } else {
            fresh_models(contexts)
        };
        let indices = segment(Role::Indices)?;
        remaining.finish()?;
        let mut parts: Vec<&[u8]> = limits.vec(chunks)?;
        let mut reader = Reader::new(indices);
        for &length in &lengths {
            parts.push(reader.take(length)?);
        }
        parts.push(reader.take(reader.remaining())?);
        Ok(Self { weights, classes, models, chunks: parts, columns })
    }

    /// Writes the weights in the order of the stream; column weights of one by column are left to the caller.
    fn decode(
        &self,
        params: &Params,
        known: Option<Known<'_>>,
        notes: Option<&mut [u8]>,
        out: &mut [f32],
        limits: &mut Limits,
    ) -> Result<(), DecodeError> {
        let chunks = self.chunks.len();
        let decoder = ChunkDecoder::new(params, &self.models)?;
        // Each task works on one chunk at a time; their number is bounded, so that the verdict is the same on any number of threads.
        let (flight, share) = (chunks.min(FLIGHT), chunks.div_ceil(FLIGHT));
        limits.take((flight * (self.models.len() * size_of::<Context>() + CHUNK)) as u64)?;
        let mut notebooks: Vec<Option<&mut [u8]>> = limits.vec(chunks)?;
        match notes {
            Some(notes) => notebooks.extend(notes.chunks_mut(CHUNK).map(Some)),
            None => notebooks.resize_with(chunks, || None),
        }
        let tasks = out.par_chunks_mut(CHUNK).zip(&self.chunks).zip(notebooks).enumerate().with_min_len(share);
        tasks.try_for_each(|(chunk, ((out, bytes), notes))| {
            let mut classes = vec![0u8; out.len()];
            match known {
                Some((known, _)) => classes.copy_from_slice(&known[chunk * CHUNK..][..out.len()]),
                None => self.classes.fill(chunk * CHUNK, self.columns, &mut classes),
            }
            decoder.decode(bytes, &classes, notes, out)?;
            if let Some(weights) = self.weights.as_ref().filter(|_| !params.by_column) {
                weights.undo(out, chunk * CHUNK);
            }
            Ok(())
        })
    }
}
