//! Planes into floats.

use rayon::prelude::*;
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, Limits};

use super::kind::{HEAD, Kind};
use super::parts::{PART, TASK, add, count_parts, groups};
use crate::classes::Classes;
use crate::grouped::{Groups, SLACK};
use crate::{mixing, plane};

fn read_exponents(
    reader: &mut Reader<'_>,
    count: usize,
    kind: Kind,
    limits: &mut Limits,
) -> Result<Vec<u8>, DecodeError> {
    let width = kind.exponent_width();
    let mut ahead = reader.clone();
    if [ahead.u8()?, ahead.u8()?] == [0, 0] {
        *reader = ahead;
        return mixing::decode(reader, width, count, limits);
    }
    let classes = read_classes(reader, count, limits)?;
    if classes.count() == 1 {
        return plane::read(reader, width, count, limits);
    }
    let sizes = classes.sizes(count);
    let planes = sizes.iter().map(|&size| plane::read(reader, width, size, limits)).collect::<Result<Vec<_>, _>>()?;
    let mut exponents: Vec<u8> = limits.filled(count, 0)?;
    classes.merge(&planes, &mut exponents);
    Ok(exponents)
}

/// The heads in the order of their planes, with room for kernels that read beyond a group, and where those of each group begin.
fn read_heads(
    reader: &mut Reader<'_>,
    sizes: &[usize],
    count: usize,
    limits: &mut Limits,
) -> Result<(Vec<u8>, [usize; 256]), DecodeError> {
    let mut heads: Vec<u8> = limits.vec(count.saturating_add(count.min(PART) + SLACK))?;
    let mut first = [0usize; 256];
    for (group, &size) in sizes.iter().enumerate() {
        // Without rare exponents the last of 257 groups is empty and nobody asks for it.
        if let Some(first) = first.get_mut(group) {
            *first = heads.len();
        }
        heads.extend(plane::read(reader, HEAD as u8, size, limits)?);
    }
    heads.resize(count + count.min(PART) + SLACK, 0);
    Ok((heads, first))
}

/// The bytes of the floats.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub(crate) fn decode(reader: &mut Reader<'_>, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let at = reader.position();
    let corrupt = |what| DecodeError::corrupt(what).at_offset(at);
    let kind = Kind::ALL.get(usize::from(reader.u8()?)).copied().ok_or_else(|| corrupt("unknown kind of float"))?;
    let count = reader.length()?;
    let total = count.checked_mul(kind.size()).ok_or_else(|| corrupt("float count overflows"))?;
    // First of all: bounds the work of whatever follows.
    let mut bytes: Vec<u8> = limits.filled(total, 0)?;
    let exponents = read_exponents(reader, count, kind, limits)?;
    limits.take(2 * (size_of::<[u64; 256]>() * count.div_ceil(PART)) as u64)?;
    let parts = count_parts(&exponents);
    let mut sum = [0; 256];
    parts.iter().for_each(|counts| add(&mut sum, counts));
    let (groups, sizes) = groups(&sum);
    let (heads, mut next) = read_heads(reader, &sizes, count, limits)?;
    // Where the heads of each group begin in each part.
    let starts: Vec<[usize; 256]> = parts
        .iter()
        .map(|counts| {
            let start = next;
            counts.iter().zip(groups.of).for_each(|(&count, group)| next[usize::from(group)] += count as usize);
            start
        })
        .collect();
    let rests = plane::read(reader, kind.rest_width(), count, limits)?;
    let upper = Upper { exponents: &exponents, heads: &heads, rests: &rests, groups: &groups, starts: &starts };
    match kind {
        Kind::F32 => {
            let tails = [plane::open_whole(reader, count, limits)?, plane::open_whole(reader, count, limits)?];
            bytes.par_chunks_mut(4 * TASK).enumerate().for_each(|(task, bytes)| {
                let first = task * TASK;
                let mut halves = [0u16; TASK];
                let halves = &mut halves[..bytes.len() / 4];
                upper.join::<7>(first, halves);
                let (low, high) = (&tails[0][first..][..halves.len()], &tails[1][first..][..halves.len()]);
                for (((float, &upper), &low), &high) in bytes.chunks_exact_mut(4).zip(&*halves).zip(low).zip(high) {
                    let word = u32::from(upper) << 16 | u32::from(high) << 8 | u32::from(low);
                    float.copy_from_slice(&word.to_le_bytes());
                }
            });
        }
        Kind::BF16 | Kind::F16 => bytes.par_chunks_mut(2 * TASK).enumerate().for_each(|(task, bytes)| {
            let mut halves = [0u16; TASK];
            let halves = &mut halves[..bytes.len() / 2];
            if kind == Kind::BF16 {
                upper.join::<7>(task * TASK, halves);
            } else {
                upper.join::<10>(task * TASK, halves);
            }
            for (float, half) in bytes.chunks_exact_mut(2).zip(&*halves) {
                float.copy_from_slice(&half.to_le_bytes());
            }
        }),
    }
    Ok(bytes)
}

/// The fields of the upper halves of floats.
struct Upper<'a> {
    exponents: &'a [u8],
    heads: &'a [u8],
    rests: &'a [u8],
    groups: &'a Groups,
    /// Where the heads of each group begin in each part.
    starts: &'a [[usize; 256]],
}

impl Upper<'_> {
    /// Joins the floats of a task, from number `first` on.
    fn join<const MANTISSA: u32>(&self, first: usize, halves: &mut [u16]) {
        let below = MANTISSA - HEAD;
        let (exponents, rests) = (&self.exponents[first..][..halves.len()], &self.rests[first..][..halves.len()]);
        let mut heads = [0u8; PART];
        let parts = halves.chunks_mut(PART).zip(exponents.chunks(PART)).zip(rests.chunks(PART));
        for (((halves, exponents), rests), start) in parts.zip(&self.starts[first / PART..]) {
            let heads = &mut heads[..halves.len()];
            self.groups.spread(exponents, &mut { *start }, self.heads, heads);
            for (((half, &exponent), &rest), &head) in halves.iter_mut().zip(exponents).zip(rests).zip(&*heads) {
                let rest = u16::from(rest);
                *half = rest >> below << 15
                    | u16::from(exponent) << MANTISSA
                    | u16::from(head) << below
                    | rest & ((1 << below) - 1);
            }
        }
    }
}

fn read_classes(reader: &mut Reader<'_>, count: usize, limits: &mut Limits) -> Result<Classes, DecodeError> {
    let at = reader.position();
    let corrupt = |what| Err(DecodeError::corrupt(what).at_offset(at));
    let mut classes = Classes { row_count: reader.u8()?, column_count: reader.u8()?, ..Classes::one() };
    if !(1..=8).contains(&classes.row_count) || !(1..=8).contains(&classes.column_count) {
        return corrupt("classes are 1 to 8");
    }
    if classes.count() == 1 {
        return Ok(classes);
    }
    classes.row = reader.length()?;
    if classes.row == 0 || !count.is_multiple_of(classes.row) {
        return corrupt("rows do not divide the floats");
    }
    if classes.row_count > 1 {
        classes.rows = plane::read(reader, 3, count / classes.row, limits)?;
    }
    if classes.column_count > 1 {
        classes.columns = plane::read(reader, 3, classes.row, limits)?;
    }
    let legal = |labels: &[u8], count| labels.iter().all(|&label| label < count);
    if !legal(&classes.rows, classes.row_count) || !legal(&classes.columns, classes.column_count) {
        return corrupt("a label is outside its classes");
    }
    Ok(classes)
}
