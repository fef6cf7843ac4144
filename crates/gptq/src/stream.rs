//! The bytes of both codecs.
//!
//! | parameters | size | |
//! | --- | --- | --- |
//! | bits | u8 | of a code, 2 to 8 |
//! | kind | u8 | bit 0: symmetric; bit 1: a group index for every column; bit 2: a scale for every column |
//! | group | varint | columns of a group; 0 is a whole row |
//! | power | i16 | weights are multiplied by this power of two at the end; 0 in all but very small or large tensors |
//!
//! | segment | role | |
//! | --- | --- | --- |
//! | scales | scales | binary16, those of a row's groups together |
//! | zero points | scales | `bits` each, in the same order; empty where symmetric (then `2^(bits - 1)`) |
//! | columns | tables | with bit 1: the group of every column, as many bits as the last group's number has (at least 1) |
//! | columns | scales | with bit 2: binary16 for every column, above 0 |
//! | codes | indices | `bits` each, row-major |
//!
//! Without bit 1 groups are neighbouring columns. A weight is `(code - zero) scale`, in binary32, divided by its column's scale with bit 2.
//! Packed numbers start at the lowest bit.

use half::f16;
use rayon::prelude::*;
use seedpress_codec::packing::{BitReader, exact_len, pack_bits};
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Encoded, EncodedView, Limits, Packing, PowerOfTwo, Role, Segment, Symbols};

use crate::grid::{Grid, Rule};

/// Everything that is written.
pub(crate) struct Contents {
    pub rule: Rule,
    pub columns: usize,
    pub group: usize,
    pub power: PowerOfTwo,
    /// Those of a row's groups together.
    pub grids: Vec<Grid>,
    /// The group of every column, unless groups are neighbours.
    pub group_of: Option<Vec<u32>>,
    /// The scale of every column.
    pub inputs: Option<Vec<f16>>,
    /// Row-major.
    pub codes: Vec<u8>,
}

/// Groups in a row of `columns` columns.
pub(crate) fn groups_of(columns: usize, group: usize) -> usize {
    columns.div_ceil(group_size(columns, group))
}

/// Columns of a group but the last.
pub(crate) fn group_size(columns: usize, group: usize) -> usize {
    if group == 0 { columns.max(1) } else { group.min(columns).max(1) }
}

/// Bits of a group's number.
fn index_bits(groups: usize) -> u8 {
    (usize::BITS - (groups - 1).leading_zeros()).clamp(1, 32) as u8
}

fn halves(values: impl Iterator<Item = f16>) -> Vec<u8> {
    values.flat_map(f16::to_le_bytes).collect()
}

impl Contents {
    /// Serialises.
    pub(crate) fn encode(self) -> Encoded {
        let Rule { bits, symmetric } = self.rule;
        let groups = groups_of(self.columns, self.group);
        let flags = [symmetric, self.group_of.is_some(), self.inputs.is_some()];
        let kind = flags.iter().zip(0..).map(|(&flag, bit)| u8::from(flag) << bit).sum();
        let mut params = vec![bits, kind];
        params.put_varint(self.group as u64);
        params.extend_from_slice(&self.power.to_bytes());
        let count = self.grids.len();
        let scales = halves(self.grids.iter().map(|grid| grid.scale));
        let zeros: Vec<u32> = self.grids.iter().filter(|_| !symmetric).map(|grid| u32::from(grid.zero)).collect();
        let mut segments = vec![
            Segment::new(Role::Scales, Symbols::floats(Packing::F16, count).in_rows(groups), scales),
            Segment::new(Role::Scales, Symbols::bits(bits, zeros.len(), groups), pack_bits(zeros, bits)),
        ];
        if let Some(group_of) = self.group_of {
            let width = index_bits(groups);
            let symbols = Symbols::bits(width, group_of.len(), 0);
            segments.push(Segment::new(Role::Tables, symbols, pack_bits(group_of, width)));
        }
        if let Some(inputs) = self.inputs {
            let symbols = Symbols::floats(Packing::F16, inputs.len());
            segments.push(Segment::new(Role::Scales, symbols, halves(inputs.into_iter())));
        }
        let symbols = Symbols::bits(bits, self.codes.len(), self.columns);
        let codes = pack_bits(self.codes.into_iter().map(u32::from), bits);
        segments.push(Segment::new(Role::Indices, symbols, codes));
        Encoded::single(params, segments)
    }
}

/// A finite binary16 at `index`.
fn half(bytes: &[u8], index: usize) -> f32 {
    f16::from_le_bytes([bytes[2 * index], bytes[2 * index + 1]]).to_f32()
}

fn finite_halves(bytes: &[u8]) -> Result<(), DecodeError> {
    match bytes.chunks_exact(2).position(|pair| pair[1] & 0x7C == 0x7C) {
        Some(index) => Err(DecodeError::corrupt("a scale is not finite").at_offset(2 * index)),
        None => Ok(()),
    }
}

/// Reconstructs a tensor.
///
/// # Errors
/// Truncated or corrupt.
pub(crate) fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::new(encoded.params);
    let (bits, kind) = (reader.u8()?, reader.u8()?);
    let group = reader.length()?;
    let power = PowerOfTwo::read(&mut reader)?;
    reader.finish()?;
    if !(2..=8).contains(&bits) || kind > 7 {
        return Err(DecodeError::corrupt("no such kind of codes").at_offset(0));
    }
    let (rows, columns) = (encoded.rows(), encoded.columns());
    let groups = groups_of(columns, group);
    let total = rows.checked_mul(groups).ok_or(DecodeError::corrupt("group count overflows"))?;
    if encoded.layers.len() != 1 {
        return Err(DecodeError::corrupt("exactly one layer is expected"));
    }
    let mut segments = encoded.segments(0)?;
    let scales = segments.exact(Role::Scales, total.saturating_mul(2))?;
    finite_halves(scales).map_err(|error| error.at(0, 0))?;
    let zeros = segments.take(Role::Scales)?;
    let zeros = match kind & 1 {
        0 => Some(BitReader::new(zeros, bits, total).map_err(|error| error.at(0, 1))?),
        _ => exact_len(zeros, 0).map_err(|error| error.at(0, 1)).map(|()| None)?,
    };
    let size = group_size(columns, group);
    let mut group_of: Vec<u32> = limits.vec(columns)?;
    if kind & 2 == 0 {
        group_of.extend((0..columns).map(|column| (column / size) as u32));
    } else {
        let table = BitReader::new(segments.take(Role::Tables)?, index_bits(groups), columns)?;
        group_of.extend((0..columns).map(|column| table.get(column)));
        if group_of.iter().any(|&group| group as usize >= groups) {
            return Err(DecodeError::corrupt("no such group").at(0, 2));
        }
    }
    let mut inputs: Vec<f32> = Vec::new();
    if kind & 4 != 0 {
        let scales = segments.exact(Role::Scales, columns.saturating_mul(2))?;
        finite_halves(scales)?;
        inputs = limits.vec(columns)?;
        inputs.extend((0..columns).map(|column| half(scales, column)));
        if inputs.iter().any(|&scale| scale <= 0.0) {
            return Err(DecodeError::corrupt("a column's scale is not above 0"));
        }
    }
    let codes = BitReader::new(segments.take(Role::Indices)?, bits, out.len())?;
    segments.finish()?;
    out.par_chunks_mut(columns).enumerate().for_each(|(row, out)| {
        for (column, (value, &group)) in out.iter_mut().zip(&group_of).enumerate() {
            let unit = row * groups + group as usize;
            let zero = zeros.map_or(1 << (bits - 1), |zeros| zeros.get(unit)) as i32;
            *value = (codes.get(row * columns + column) as i32 - zero) as f32 * half(scales, unit);
        }
        // A scale of 2^-24 enlarges by 2^24 at most: no overflow before the power of two.
        out.iter_mut().zip(&inputs).for_each(|(value, scale)| *value /= scale);
        power.up_all(out);
    });
    Ok(())
}

/// The power of two that weights of this largest magnitude are stored over: none where binary16 scales fit them as they are, as in
/// checkpoints.
pub(crate) fn power_for(values: &[f32]) -> PowerOfTwo {
    /// Scales of 8-bit grids are still normal numbers, those of 2-bit grids below the largest.
    const FITTING: std::ops::Range<f32> = 0.015_625..16_384.0;
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if FITTING.contains(&largest) { PowerOfTwo::ONE } else { PowerOfTwo::bringing(largest, 13) }
}
