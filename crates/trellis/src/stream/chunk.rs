//! One chunk of indices, with its own coder and its own copy of the models.

use seedpress_codec::DecodeError;
use seedpress_entropy::binary::{Decoder, Encoder};

use super::header::Params;
use super::models::Models;
use crate::code::Code;
use crate::symbols;

/// Weights in a chunk: large enough to learn in, small enough to keep every core busy.
pub(crate) const CHUNK: usize = 1 << 16;

/// What is noted of an index: its quantiser and whether it was 0, 1 or more.
pub(crate) const CELLS: u8 = 6;

/// The cell of an index.
#[inline]
pub(crate) fn cell(quantizer: usize, k: usize) -> u8 {
    (3 * quantizer + k.min(2)) as u8
}

/// Codes one chunk.
pub(crate) fn write_chunk(
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

/// What the chunks of a stream have in common.
pub(super) struct ChunkDecoder<'a> {
    code: Code,
    params: &'a Params,
    models: &'a Models,
    /// Weights by quantiser, index and sign.
    table: [[[f32; 2]; TABLE]; 2],
}

impl<'a> ChunkDecoder<'a> {
    pub(super) fn new(params: &'a Params, models: &'a Models) -> Result<Self, DecodeError> {
        let code = Code::new(params.memory).ok_or(DecodeError::corrupt("unknown trellis code"))?;
        let table = std::array::from_fn(|quantizer| {
            std::array::from_fn(|k| [false, true].map(|negative| params.weight(params.point(quantizer, k), negative)))
        });
        Ok(Self { code, params, models, table })
    }

    /// Writes the weights of one chunk, whose classes are given, and the cells of their indices where notes are taken.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        classes: &[u8],
        mut notes: Option<&mut [u8]>,
        out: &mut [f32],
    ) -> Result<(), DecodeError> {
        let (mut decoder, mut models, mut state) = (Decoder::new(bytes), self.models.clone(), 0);
        for (at, (value, &class)) in out.iter_mut().zip(classes).enumerate() {
            let quantizer = state & 1;
            let context = &mut models[2 * usize::from(class) + quantizer];
            let (k, negative) = symbols::read(&mut decoder, context, self.params.shift);
            let k = k as usize;
            *value = match self.table[quantizer].get(k) {
                Some(pair) => pair[usize::from(negative)],
                None => self.params.weight(self.params.point(quantizer, k), negative),
            };
            if let Some(notes) = &mut notes {
                notes[at] = cell(quantizer, k);
            }
            state = self.code.next(state, k & 1);
        }
        decoder.finish()
    }
}
