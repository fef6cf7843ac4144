//! Blocks along the rows, searched each for itself.

use rayon::prelude::*;
use seedpress_codec::power::PowerOfTwo;
use seedpress_codec::{
    DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Role, Segment, Symbols, TensorView,
};
use seedpress_entropy::binary::log2;
use seedpress_rotation::{SIDE, hadamard, sign, signs};

use crate::block::{Block, HALF_STEP, SPREAD, factor, pack, padded, scale_byte};
use crate::code::{DEVIATION, value};
use crate::header::{Header, Settings};
use crate::search::Search;

/// Bytes of all blocks.
fn stream_length(count: usize, settings: Settings) -> usize {
    let (full, rest) = (count / SIDE, count % SIDE);
    let last = if rest > 0 { padded(rest, settings) } else { 0 };
    (full * SIDE + last) / 8 * settings.bits as usize
}

/// Compresses a tensor.
///
/// # Errors
/// Cancellation.
pub(crate) fn encode(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    settings: Settings,
) -> Result<Encoded, EncodeError> {
    let values = tensor.values();
    let largest = values.iter().fold(0f32, |largest, v| largest.max(v.abs()));
    let mut header = Header::of_zeros(settings);
    if largest == 0.0 {
        return Ok(Encoded::single(header.to_bytes(), Vec::new()));
    }
    if !(1e-12..1e12).contains(&largest) {
        header.power = PowerOfTwo::normalising(values, 0);
    }
    let values = header.power.down_all(values);
    let energies: Vec<f64> =
        values.chunks(SIDE).map(|block| block.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>()).collect();
    let deviation = (energies.iter().sum::<f64>() / values.len() as f64).sqrt();
    let scales = scales(&values, &energies, deviation);
    header.scaled = scales.is_some();
    let unit = (SPREAD[settings.bits as usize - 1] / f64::from(DEVIATION)) as f32;
    let blocks: Vec<Coded> = values
        .par_chunks(SIDE)
        .enumerate()
        .map_init(
            || Search::new(settings.state_bits, settings.bits, unit),
            |search, (index, weights)| {
                context.check_cancelled()?;
                let own = scales.as_ref().map_or(1.0, |scales| f64::from(factor(scales[index])));
                let coded = Coded::new(search, weights, index, settings, [own, deviation]);
                context.advance(weights.len());
                Ok(coded)
            },
        )
        .collect::<Result<_, EncodeError>>()?;
    // The step that fits best what was chosen.
    let (dot, square) = blocks.iter().fold((0.0, 0.0), |(dot, square), block| (dot + block.dot, square + block.square));
    let fitted = if dot > 0.0 { deviation * dot / square } else { deviation * f64::from(unit) };
    header.step = (fitted as f32).max(f32::MIN_POSITIVE);
    let stream: Vec<u8> = blocks.into_iter().flat_map(|block| block.bytes).collect();
    debug_assert_eq!(stream.len(), stream_length(values.len(), settings));
    let mut segments = Vec::new();
    if let Some(scales) = scales {
        segments.push(Segment::new(Role::Scales, Symbols::bits(8, scales.len(), 0), scales));
    }
    let symbols = Symbols { count: values.len() as u64, ..Symbols::OPAQUE };
    segments.push(Segment::new(Role::Indices, symbols, stream));
    Ok(Encoded::single(header.to_bytes(), segments))
}

/// What scales of their own must save, in octaves of error: a byte on 256 weights is worth 1/32 bit, 1/16 in the binary logarithm.
const LEAST_SAVING: f64 = 0.07;

/// A scale for every block, where blocks at deviations of their own save more than their bytes. The error falls with the energy-weighted
/// mean of log energy.
fn scales(values: &[f32], energies: &[f64], deviation: f64) -> Option<Vec<u8>> {
    let (mut saved, mut worth) = (0.0, 0.0);
    for (energy, block) in energies.iter().zip(values.chunks(SIDE)) {
        let count = block.len() as f64;
        let ratio = energy / count / (deviation * deviation);
        saved += count * ratio * log2(ratio.max(1e-30));
        worth += count * ratio;
    }
    let pays = values.len() > SIDE && saved / worth.max(1e-300) > LEAST_SAVING;
    let byte =
        |(energy, block): (&f64, &[f32])| scale_byte((energy / block.len() as f64).sqrt() / deviation / HALF_STEP);
    pays.then(|| energies.iter().zip(values.chunks(SIDE)).map(byte).collect())
}

/// A block as it goes into the stream.
struct Coded {
    bytes: Vec<u8>,
    /// Products of the values chosen with the weights, and their squares, in units of the deviation.
    dot: f64,
    square: f64,
}

impl Coded {
    /// Codes a block whose weights are `own` times as large as the deviation of all.
    fn new(search: &mut Search, weights: &[f32], index: usize, settings: Settings, [own, deviation]: [f64; 2]) -> Self {
        let length = if weights.len() < SIDE { padded(weights.len(), settings) } else { SIDE };
        if own == 0.0 {
            return Self { bytes: vec![0; length / 8 * settings.bits as usize], dot: 0.0, square: 0.0 };
        }
        let mut samples = rotated(weights, index, settings.seed);
        // What a last block is padded with decodes to no weight: any value will do.
        samples.resize(length, f32::NAN);
        let inverse = (1.0 / (own * deviation)) as f32;
        samples.iter_mut().for_each(|sample| *sample *= inverse);
        let states = search.tail_biting(&samples);
        let (mut dot, mut square) = (0.0, 0.0);
        for (&state, &sample) in states.iter().zip(&samples).take(weights.len()) {
            let value = f64::from(value(u32::from(state)));
            dot += own * own * value * f64::from(sample);
            square += own * own * value * value;
        }
        Self { bytes: pack(&states, settings.bits), dot, square }
    }
}

/// A block's weights, rotated where it is full and they are to be.
fn rotated(weights: &[f32], index: usize, seed: Option<u32>) -> Vec<f32> {
    let (Some(seed), Ok(block)) = (seed, <&[f32; SIDE]>::try_from(weights)) else { return weights.to_vec() };
    let (mut block, signs) = (*block, signs(seed, index));
    block.iter_mut().enumerate().for_each(|(at, weight)| *weight *= sign(&signs, at) / 16.0);
    hadamard(&mut block);
    block.to_vec()
}

/// Reconstructs a tensor from segments behind a header of this layout.
///
/// # Errors
/// Truncated or corrupt.
pub(crate) fn decode(header: &Header, encoded: &EncodedView<'_>, out: &mut [f32]) -> Result<(), DecodeError> {
    let mut segments = encoded.segments(0)?;
    let scales = if header.scaled { segments.exact(Role::Scales, out.len().div_ceil(SIDE))? } else { &[] };
    let stream = segments.exact(Role::Indices, stream_length(out.len(), header.settings))?;
    segments.finish()?;
    let Settings { bits, state_bits, seed } = header.settings;
    let block_bytes = SIDE / 8 * bits as usize;
    // Enough blocks a task to be worth one.
    out.par_chunks_mut(SIDE).with_min_len(64).enumerate().for_each(|(index, out)| {
        let bytes = &stream[index * block_bytes..];
        let factor = scales.get(index).map_or(1.0, |&byte| factor(byte));
        let length = if out.len() == SIDE { block_bytes } else { bytes.len() };
        let block = Block { bytes: &bytes[..length], state_bits, scale: header.step * factor, seed, index };
        block.decode(bits, out);
    });
    header.power.up_all(out);
    Ok(())
}
