//! The bytes, and the decoder.
//!
//! | params | size | |
//! | --- | --- | --- |
//! | flags | u8 | 128: see [`transformed`]; else bit 0: row classes, bit 1: column classes, bit 2: offset, bit 3: every weight equals the offset (nothing follows it), bit 4: column weights, bit 5 (since format 2): by column, bit 6: rotated |
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

use rayon::prelude::*;
use seedpress_codec::tensor::matrix_shape;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, EncodedView, Limits, Role, SegmentView, Segments};
use seedpress_entropy::binary::{Bit, Decoder, Encoder};
use seedpress_matrix::transpose_into;
use seedpress_rotation::Rotation;

use crate::classes::{CLASSES, Classes};
use crate::code::Code;
use crate::math::exp2;
use crate::symbols::{self, Context, Counts, MODELS, MOST_SHIFT};
use crate::transformed;
use crate::weights::Weights;

/// Weights in a chunk: large enough to learn in, small enough to keep every core busy.
pub const CHUNK: usize = 1 << 16;
/// Trained reproduction points at most.
pub const MOST_POINTS: usize = 32;
/// How many observations an initial probability weighs.
const TRUST: u32 = 48;

/// Chunks in work at the same time at most: what bounds the decoder's memory on any number of threads.
const FLIGHT: usize = 64;
/// Segments at most.
const SEGMENTS: usize = 4;

/// All that the parameter bytes say.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// How indices become weights.
    pub params: Params,
    /// Whether row and column classes were sent.
    pub sides: [bool; 2],
    /// Subtracted from the sum of both classes.
    pub base: u8,
    /// Element classes in use.
    pub count: u8,
    /// Bytes of each segment.
    pub lengths: Vec<usize>,
}

/// How indices become weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    /// Added to every weight.
    pub offset: f32,
    /// Half the spacing of a quantiser's points; 0 where every weight equals the offset.
    pub step: f32,
    /// Memory of the code.
    pub memory: u8,
    /// Low bits of the binarisation.
    pub shift: u32,
    /// Trained offsets of Q0 and Q1 in step/64, for indices from 1.
    pub points: Vec<[i8; 2]>,
    /// Whether column weights were sent.
    pub weighted: bool,
    /// Whether the weights follow one another column by column.
    pub by_column: bool,
    /// The seed of the rotation of the rows, where they were rotated.
    pub rotation: Option<u32>,
}

impl Params {
    /// Serialises, with the lengths of the segments to follow.
    pub fn to_bytes(&self, classes: &Classes, lengths: impl IntoIterator<Item = usize>) -> Vec<u8> {
        let sides = u8::from(!classes.rows.is_empty()) | u8::from(!classes.columns.is_empty()) << 1;
        let constant = self.step == 0.0;
        let mut bytes = vec![
            sides
                | u8::from(self.offset != 0.0) << 2
                | u8::from(constant) << 3
                | u8::from(self.weighted) << 4
                | u8::from(self.by_column) << 5
                | u8::from(self.rotation.is_some()) << 6,
        ];
        if self.offset != 0.0 {
            bytes.put_f32(self.offset);
        }
        if constant {
            return bytes;
        }
        if let Some(seed) = self.rotation {
            bytes.put_varint(u64::from(seed));
        }
        bytes.put_f32(self.step);
        bytes.push(self.memory | (self.shift as u8) << 4);
        bytes.push((classes.count - 1) | (classes.base & 15) << 4);
        if sides != 0 {
            bytes.push(classes.base >> 4);
        }
        bytes.push(self.points.len() as u8);
        bytes.extend(self.points.iter().flatten().map(|&offset| offset as u8));
        lengths.into_iter().for_each(|length| bytes.put_varint(length as u64));
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// Truncated or corrupt.
    pub fn parse(bytes: &[u8]) -> Result<Header, DecodeError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags > 127 || flags & 8 != 0 && flags & 112 != 0 {
            return Err(DecodeError::corrupt("unknown flags").at_offset(0));
        }
        let offset = if flags & 4 != 0 { reader.finite_f32()? } else { 0.0 };
        let mut params = Self {
            offset,
            memory: Code::LEAST,
            weighted: flags & 16 != 0,
            by_column: flags & 32 != 0,
            ..Self::default()
        };
        if flags & 8 != 0 {
            reader.finish()?;
            return Ok(Header { params, sides: [false; 2], base: 0, count: 1, lengths: Vec::new() });
        }
        if flags & 64 != 0 {
            let seed = u32::try_from(reader.varint()?);
            params.rotation = Some(seed.map_err(|_| DecodeError::corrupt("the seed is beyond 32 bits"))?);
        }
        params.step = reader.finite_f32()?;
        if params.step <= 0.0 {
            return Err(DecodeError::corrupt("the step is not positive"));
        }
        let code = reader.u8()?;
        params.memory = code & 15;
        params.shift = u32::from(code >> 4);
        if Code::new(params.memory).is_none() || params.shift > MOST_SHIFT {
            return Err(DecodeError::corrupt("unknown trellis code or binarisation"));
        }
        let packed = reader.u8()?;
        let high = if flags & 3 != 0 { reader.u8()? } else { 0 };
        if high > 1 {
            return Err(DecodeError::corrupt("class base out of range"));
        }
        let (count, base) = ((packed & 15) + 1, packed >> 4 | high << 4);
        let points = usize::from(reader.u8()?);
        if points > MOST_POINTS {
            return Err(DecodeError::corrupt("too many reproduction points"));
        }
        params.points = reader.take(2 * points)?.chunks_exact(2).map(|p| [p[0] as i8, p[1] as i8]).collect();
        let mut lengths = Vec::with_capacity(SEGMENTS);
        while reader.remaining() > 0 {
            if lengths.len() == SEGMENTS {
                return Err(DecodeError::corrupt("trailing bytes").at_offset(reader.position()));
            }
            lengths.push(reader.length()?);
        }
        Ok(Header { params, sides: [flags & 1 != 0, flags & 2 != 0], base, count, lengths })
    }

    /// The reproduction point of index `k`, in steps.
    #[inline]
    pub fn point(&self, quantizer: usize, k: usize) -> f32 {
        let trained = if k == 0 { 0 } else { self.points.get(k - 1).map_or(0, |offsets| offsets[quantizer]) };
        let lattice = if k == 0 { 0.0 } else { (2 * k - quantizer) as f32 };
        lattice + f32::from(trained) / 64.0
    }

    /// A weight from its point in steps.
    #[inline]
    fn weight(&self, point: f32, negative: bool) -> f32 {
        let magnitude = f64::from(point) * f64::from(self.step);
        let value = f64::from(self.offset) + if negative { -magnitude } else { magnitude };
        (value as f32).clamp(-f32::MAX, f32::MAX)
    }
}

/// The models every chunk starts from.
pub type Models = Vec<Context>;

/// Probability of code `c` (1..=62): log-odds in quarter octaves.
fn probability(code: u32) -> u32 {
    (65536.0 / (1.0 + exp2((31.5 - f64::from(code)) / 4.0))).round() as u32
}

/// Codes the probabilities that were observed; returns the models a decoder will have.
pub fn write_models(counts: &[Counts], shift: u32) -> (Models, Vec<u8>) {
    let mut encoder = Encoder::new();
    let models = counts
        .iter()
        .map(|counts| {
            let mut context = fresh();
            let steps = (0..symbols::UNARY).take_while(|&step| counts.total(step) > 24).count();
            encoder.raw(steps as u32, 4);
            for model in described(steps, shift) {
                let target = f64::from(counts.probability(model));
                let loss = |code: u32| {
                    let p = f64::from(probability(code));
                    (p - target) * (p - target) / (p * (65536.0 - p))
                };
                let mut code = 0;
                for candidate in 1..64 {
                    if loss(candidate) < loss(code) {
                        code = candidate;
                    }
                }
                encoder.raw(code, 6);
                context[model] = Bit::new(probability(code), TRUST);
            }
            context
        })
        .collect();
    (models, encoder.finish())
}

fn read_models(bytes: &[u8], contexts: usize, shift: u32) -> Result<Models, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let models = (0..contexts)
        .map(|_| {
            let mut context = fresh();
            let steps = decoder.raw(4) as usize;
            for model in described(steps, shift) {
                context[model] = Bit::new(probability(decoder.raw(6)), TRUST);
            }
            context
        })
        .collect();
    decoder.finish()?;
    Ok(models)
}

/// The models whose probability is sent where `steps` unary steps are in use.
fn described(steps: usize, shift: u32) -> impl Iterator<Item = usize> {
    let per_step = match shift {
        0 => 0,
        1 => 1,
        _ => 3,
    };
    let low = (0..steps).flat_map(move |step| (0..per_step).map(move |model| symbols::UNARY + step * 3 + model));
    (0..steps).chain(low)
}

fn fresh() -> Context {
    [Bit::default(); MODELS]
}

/// Untrained models.
pub fn fresh_models(contexts: usize) -> Models {
    vec![fresh(); contexts]
}

/// Codes one chunk.
pub fn write_chunk(
    code: Code,
    shift: u32,
    models: &Models,
    classes: &[u8],
    indices: &[u32],
    negative: impl Fn(usize) -> bool,
) -> Vec<u8> {
    let (mut encoder, mut models, mut state) = (Encoder::new(), models.clone(), 0);
    for (index, (&k, &class)) in indices.iter().zip(classes).enumerate() {
        let context = 2 * usize::from(class) + (state & 1);
        symbols::write(&mut encoder, &mut models[context], shift, k, negative(index));
        state = code.next(state, k as usize & 1);
    }
    encoder.finish()
}

/// Entries of the decoder's table of points.
const TABLE: usize = 64;

/// Reconstructs a tensor.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    if encoded.params.first() == Some(&transformed::FLAG) {
        return transformed::decode(encoded, out, limits);
    }
    let stream = Stream { params: encoded.params, segments: &encoded.layers[0].segments, shape: encoded.shape };
    decode_noting(stream, None, None, out, limits).map(|_| ())
}

/// One stream of this format, wherever its pieces are kept.
#[derive(Clone, Copy)]
pub struct Stream<'a> {
    /// The parameter bytes.
    pub params: &'a [u8],
    /// The segments.
    pub segments: &'a [SegmentView<'a>],
    /// The tensor's shape.
    pub shape: &'a [usize],
}

/// What is noted of an index: its quantiser and whether it was 0, 1 or more.
pub const CELLS: u8 = 6;

/// The cell of an index.
#[inline]
pub fn cell(quantizer: usize, k: usize) -> u8 {
    (3 * quantizer + k.min(2)) as u8
}

/// Reconstructs a tensor from a stream whose classes are `known` (and how many there are) where they are not its own, notes in
/// which of [`CELLS`] each index lay, and returns the classes.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub fn decode_noting(
    stream: Stream<'_>,
    known: Option<(&[u8], u8)>,
    mut notes: Option<&mut [u8]>,
    out: &mut [f32],
    limits: &mut Limits,
) -> Result<Classes, DecodeError> {
    let Stream { params, segments, shape } = stream;
    let Header { params, sides, base, count, lengths } = Params::parse(params)?;
    if known.is_some_and(|(_, known)| known != count || sides != [false; 2] || params.by_column) && params.step > 0.0 {
        return Err(DecodeError::corrupt("a layer with classes of its own"));
    }
    if params.rotation.is_some() && notes.is_some() {
        return Err(DecodeError::corrupt("a layer that is rotated"));
    }
    if params.step == 0.0 {
        if !segments.is_empty() {
            return Err(DecodeError::corrupt("a constant tensor has no segments"));
        }
        out.fill(params.offset);
        return Ok(Classes::none());
    }
    let (mut remaining, mut lengths) = (Segments::new(segments, 0), lengths.into_iter());
    if remaining.remaining() != lengths.len() {
        return Err(DecodeError::corrupt("the segments are not as many as their lengths"));
    }
    let mut segment = |role: Role| remaining.exact(role, lengths.next().unwrap_or(0));
    let (rows, columns) = matrix_shape(shape);
    // What follows treats a stream by column as the row-major transpose.
    let width = columns;
    let (rows, columns) = if params.by_column { (columns, rows) } else { (rows, columns) };
    let weights = match params.weighted {
        true => Some(Weights::from_bytes(segment(Role::Scales)?, width, limits)?),
        false => None,
    };
    let classes = if sides[0] || sides[1] {
        let length = |side: bool, length: usize| if side { length } else { 0 };
        let (rows, columns) = (length(sides[0], rows), length(sides[1], columns));
        Classes::from_bytes(segment(Role::Scales)?, rows, columns, base, count, limits)?
    } else {
        Classes { base, count, ..Classes::none() }
    };
    debug_assert!(usize::from(count) <= CLASSES);
    let chunks = out.len().div_ceil(CHUNK);
    let contexts = 2 * usize::from(count);
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
    let code = Code::new(params.memory).ok_or(DecodeError::corrupt("unknown trellis code"))?;
    let table: [[[f32; 2]; TABLE]; 2] = std::array::from_fn(|quantizer| {
        std::array::from_fn(|k| [false, true].map(|negative| params.weight(params.point(quantizer, k), negative)))
    });
    // Each task works on one chunk at a time; their number is bounded, so that the verdict is the same on any number of threads.
    let (flight, share) = (chunks.min(FLIGHT), chunks.div_ceil(FLIGHT));
    limits.take((flight * (contexts * size_of::<Context>() + CHUNK)) as u64)?;
    let mut transposed = if params.by_column { limits.filled(out.len(), 0f32)? } else { Vec::new() };
    let target = if params.by_column { &mut transposed[..] } else { &mut *out };
    let mut notebooks: Vec<Option<&mut [u8]>> = limits.vec(chunks)?;
    match notes.as_mut() {
        Some(notes) => notebooks.extend(notes.chunks_mut(CHUNK).map(Some)),
        None => notebooks.resize_with(chunks, || None),
    }
    let tasks = target.par_chunks_mut(CHUNK).zip(parts).zip(notebooks).enumerate().with_min_len(share);
    tasks.try_for_each(|(chunk, ((out, bytes), mut notes))| {
        let mut element_classes = vec![0u8; out.len()];
        match known {
            Some((known, _)) => element_classes.copy_from_slice(&known[chunk * CHUNK..][..out.len()]),
            None => classes.fill(chunk * CHUNK, columns, &mut element_classes),
        }
        let (mut decoder, mut models, mut state) = (Decoder::new(bytes), models.clone(), 0);
        for (at, (value, &class)) in out.iter_mut().zip(&element_classes).enumerate() {
            let quantizer = state & 1;
            let context = &mut models[2 * usize::from(class) + quantizer];
            let (k, negative) = symbols::read(&mut decoder, context, params.shift);
            let k = k as usize;
            *value = match table[quantizer].get(k) {
                Some(pair) => pair[usize::from(negative)],
                None => params.weight(params.point(quantizer, k), negative),
            };
            if let Some(notes) = &mut notes {
                notes[at] = cell(quantizer, k);
            }
            state = code.next(state, k & 1);
        }
        if let Some(weights) = weights.as_ref().filter(|_| !params.by_column) {
            weights.undo(out, chunk * CHUNK);
        }
        decoder.finish()
    })?;
    if params.by_column {
        if let Some(weights) = &weights {
            weights.undo_columns(&mut transposed, columns);
        }
        transpose_into(&transposed, width, out.len() / width, out);
    }
    if let Some(seed) = params.rotation {
        Rotation::new(seed, width).undo(out);
    }
    Ok(classes)
}
