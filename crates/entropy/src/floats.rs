//! Floats without loss, by their fields.
//!
//! What is compressible in trained weights: the exponent (2.5 to 3 bits of entropy), and a little of the mantissa, since within an
//! octave the density falls off: the top bits of the mantissa lean to zero, more so the larger the exponent. On Gaussian weights that
//! is .07 bits a weight for three bits, and more bits gain next to nothing. Signs and the rest are noise (ZipNN, arXiv 2411.05239, and
//! DFloat11, arXiv 2504.11651, model the exponent alone, with one table). Rows and columns differ in scale: exponents have a table a
//! [class](crate::classes) of them.
//!
//! # Wire
//!
//! | part | bytes |
//! | --- | --- |
//! | kind | `u8`: 0 binary32, 1 bfloat16, 2 binary16 |
//! | count | `varint` |
//! | row classes, column classes | `u8` each, 1..=8; both 0: exponents follow as [mixed symbols](crate::mixing), without the next three parts |
//! | row | `varint`, only where there is more than one class; it divides the count |
//! | row labels, column labels | [planes](crate::plane) of width 3, each only where it has more than one class |
//! | exponents | for each class, a pair of row and column class, column classes within row classes: a plane of width 8 (binary16: 5) of its symbols in order |
//! | heads | for each exponent that occurs 512 times or more, in ascending order: a plane of width 3, the top mantissa bits of these floats; last one plane for all rarer exponents |
//! | rests | a plane of width 5 (binary16: 8): the sign above the 4 (binary16: 7) mantissa bits below the heads; of a binary32 those in its upper half |
//! | tails | binary32 only: two planes of width 8, bytes 0 and 1 |

use rayon::prelude::*;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, EncodeError, Limits};

use crate::classes::Classes;
use crate::frequencies::count;
use crate::grouped::{Groups, SLACK};
use crate::{mixing, plane};

/// Top mantissa bits with tables of their own.
const HEAD: u32 = 3;
/// Exponents that occur less often share a table for heads.
const COMMON: u64 = 512;

/// A floating-point format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IEEE 754 binary32.
    F32,
    /// bfloat16.
    BF16,
    /// IEEE 754 binary16.
    F16,
}

impl Kind {
    const ALL: [Self; 3] = [Self::F32, Self::BF16, Self::F16];

    /// Bytes of a float.
    pub fn size(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    fn exponent_width(self) -> u8 {
        if self == Self::F16 { 5 } else { 8 }
    }

    /// Bits of a rest: the mantissa below the head, and the sign.
    fn rest_width(self) -> u8 {
        if self == Self::F16 { 8 } else { 5 }
    }
}

/// Floats that one task splits or joins.
const TASK: usize = 1 << 16;
/// Floats of a task whose heads are moved at a time, from starts that are counted ahead.
const PART: usize = 1 << 14;

/// Which plane of heads an exponent's floats belong to, and how many floats each plane has, from how often exponents occur.
fn groups(counts: &[u64; 256]) -> (Groups, Vec<usize>) {
    let common: Vec<u8> = (0..=255).filter(|&exponent| counts[usize::from(exponent)] >= COMMON).collect();
    // At most 2^8 - 1 symbols are common, or all of them and none is rare.
    let mut of = [common.len().min(255) as u8; 256];
    for (group, &exponent) in (0u8..=255).zip(&common) {
        of[usize::from(exponent)] = group;
    }
    let mut sizes: Vec<usize> = common.iter().map(|&exponent| counts[usize::from(exponent)] as usize).collect();
    sizes.push(counts.iter().filter(|count| **count < COMMON).sum::<u64>() as usize);
    (Groups { of, common }, sizes)
}

/// How often exponents occur in each part of the floats.
fn count_parts(exponents: &[u8]) -> Vec<[u64; 256]> {
    exponents.par_chunks(PART).map(count).collect()
}

fn add(sum: &mut [u64; 256], counts: &[u64; 256]) {
    sum.iter_mut().zip(counts).for_each(|(sum, &count)| *sum += count);
}

/// The fields of floats, a byte each.
#[derive(Default)]
struct Fields {
    exponents: Vec<u8>,
    heads: Vec<u8>,
    rests: Vec<u8>,
    tails: [Vec<u8>; 2],
}

impl Fields {
    fn of(bytes: &[u8], kind: Kind) -> Self {
        let (size, count) = (kind.size(), bytes.len() / kind.size());
        let new = || vec![0; count];
        let mut fields = Self { exponents: new(), heads: new(), rests: new(), ..Self::default() };
        let upper = fields
            .exponents
            .par_chunks_mut(TASK)
            .zip(fields.heads.par_chunks_mut(TASK))
            .zip(fields.rests.par_chunks_mut(TASK))
            .zip(bytes.par_chunks(TASK * size));
        match kind {
            Kind::F32 => {
                fields.tails = [new(), new()];
                let [low, high] = &mut fields.tails;
                let tails = low.par_chunks_mut(TASK).zip(high.par_chunks_mut(TASK));
                upper.zip(tails).for_each(|((((exponents, heads), rests), bytes), (low, high))| {
                    split::<4, 7>(bytes, exponents, heads, rests, |bytes| {
                        for ((float, low), high) in bytes.chunks_exact(4).zip(low).zip(high) {
                            (*low, *high) = (float[0], float[1]);
                        }
                    });
                });
            }
            Kind::BF16 => upper.for_each(|(((e, h), r), bytes)| split::<2, 7>(bytes, e, h, r, |_| ())),
            Kind::F16 => upper.for_each(|(((e, h), r), bytes)| split::<2, 10>(bytes, e, h, r, |_| ())),
        }
        fields
    }
}

/// Splits the upper halves of floats; `lower` sees every piece while it is in the cache.
fn split<const SIZE: usize, const MANTISSA: u32>(
    bytes: &[u8],
    exponents: &mut [u8],
    heads: &mut [u8],
    rests: &mut [u8],
    lower: impl FnOnce(&[u8]),
) {
    let upper = |float: &[u8]| u16::from_le_bytes([float[SIZE - 2], float[SIZE - 1]]);
    let below = MANTISSA - HEAD;
    for (((float, exponent), head), rest) in bytes.chunks_exact(SIZE).zip(exponents).zip(heads).zip(rests) {
        let upper = upper(float);
        *exponent = (upper << 1 >> (MANTISSA + 1)) as u8;
        *head = (upper >> below) as u8 & ((1 << HEAD) - 1);
        *rest = ((upper & ((1 << below) - 1)) | upper >> 15 << below) as u8;
    }
    lower(bytes);
}

/// Heads in the order of their planes.
fn sort(exponents: &[u8], heads: &[u8], groups: &Groups, sizes: &[usize], parts: &[[u64; 256]]) -> Vec<Vec<u8>> {
    let pieces: Vec<(Vec<u8>, Vec<usize>)> = exponents
        .par_chunks(PART)
        .zip(heads.par_chunks(PART))
        .zip(parts)
        .map(|((exponents, heads), counts)| {
            let mut of_group = vec![0usize; sizes.len()];
            counts.iter().zip(groups.of).filter(|(count, _)| **count > 0).for_each(|(&count, group)| {
                of_group[usize::from(group)] += count as usize;
            });
            // The start of each group, in a table that a byte cannot leave.
            let mut next = [0usize; 256];
            let mut at = 0;
            for (next, &size) in next.iter_mut().zip(&of_group) {
                *next = at;
                at += size + SLACK;
            }
            let mut sorted = vec![0u8; at + heads.len() + SLACK];
            groups.collect(exponents, &mut next, heads, &mut sorted);
            (sorted, of_group)
        })
        .collect();
    let mut planes: Vec<Vec<u8>> = sizes.iter().map(|&size| Vec::with_capacity(size)).collect();
    for (sorted, of_group) in &pieces {
        let mut rest = &sorted[..];
        for (plane, &size) in planes.iter_mut().zip(of_group) {
            plane.extend_from_slice(&rest[..size]);
            rest = &rest[size + SLACK..];
        }
    }
    planes
}

/// Appends whole floats in rows of `row` (0: unknown). `mixed` exponents cost time and are smaller where neighbours tell.
///
/// # Errors
/// Internal, where zstd fails.
pub fn encode(bytes: &[u8], kind: Kind, row: usize, mixed: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (rests, tails) = encode_heads(bytes, kind, row, mixed, out)?;
    let tails = tails.iter().map(|tail| (&tail[..], 8));
    write_all(std::iter::once((&rests[..], kind.rest_width())).chain(tails), out)
}

/// As [`encode`], without the tails: these are bytes 0 and 1 of the floats.
///
/// # Errors
/// Internal, where zstd fails.
pub fn encode_upper(bytes: &[u8], kind: Kind, row: usize, mixed: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (rests, _) = encode_heads(bytes, kind, row, mixed, out)?;
    plane::write(&rests, kind.rest_width(), false, out)
}

/// Appends what stands before the rests and returns them and the tails, which only binary32 has.
fn encode_heads(
    bytes: &[u8],
    kind: Kind,
    row: usize,
    mixed: bool,
    out: &mut Vec<u8>,
) -> Result<(Vec<u8>, Vec<Vec<u8>>), EncodeError> {
    let count = bytes.len() / kind.size();
    let Fields { exponents, heads, rests, tails } = Fields::of(bytes, kind);
    out.push(kind as u8);
    out.put_varint(count as u64);
    if mixed {
        out.extend([0, 0]);
        out.extend(mixing::encode(&exponents, kind.exponent_width(), row));
    } else {
        write_exponents(&exponents, &Classes::choose(&exponents, row), kind, out)?;
    }
    let parts = count_parts(&exponents);
    let mut total = [0; 256];
    parts.iter().for_each(|counts| add(&mut total, counts));
    let (groups, sizes) = groups(&total);
    let sorted = sort(&exponents, &heads, &groups, &sizes, &parts);
    write_all(sorted.iter().map(|plane| (&plane[..], HEAD as u8)), out)?;
    Ok((rests, if kind == Kind::F32 { tails.into() } else { Vec::new() }))
}

/// Codes planes side by side and appends them in order.
fn write_all<'a>(planes: impl Iterator<Item = (&'a [u8], u8)>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let planes: Vec<_> = planes.collect();
    let coded: Vec<Vec<u8>> = planes
        .into_par_iter()
        .map(|(symbols, width)| {
            let mut coded = Vec::new();
            plane::write(symbols, width, false, &mut coded)?;
            Ok(coded)
        })
        .collect::<Result<_, EncodeError>>()?;
    coded.iter().for_each(|coded| out.extend_from_slice(coded));
    Ok(())
}

fn write_exponents(exponents: &[u8], classes: &Classes, kind: Kind, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend([classes.row_count, classes.column_count]);
    if classes.count() == 1 {
        return plane::write(exponents, kind.exponent_width(), false, out);
    }
    out.put_varint(classes.row as u64);
    plane::write(&classes.rows, 3, false, out)?;
    plane::write(&classes.columns, 3, false, out)?;
    let sorted = classes.sort(exponents);
    write_all(sorted.iter().map(|of_class| (&of_class[..], kind.exponent_width())), out)
}

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

/// The bytes of the floats.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub fn decode(reader: &mut Reader<'_>, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
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
    // Room for kernels that read beyond a group.
    let mut heads: Vec<u8> = limits.vec(count.saturating_add(count.min(PART) + SLACK))?;
    // Where the heads of each group begin in each part.
    let mut next = [0usize; 256];
    for (group, &size) in sizes.iter().enumerate() {
        // Without rare exponents the last of 257 groups is empty and nobody asks for it.
        if let Some(next) = next.get_mut(group) {
            *next = heads.len();
        }
        heads.extend(plane::read(reader, HEAD as u8, size, limits)?);
    }
    heads.resize(count + count.min(PART) + SLACK, 0);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_pattern_comes_back() {
        let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let words: Vec<u8> = (0..60_000u32).flat_map(|i| i.wrapping_mul(0x9E37_79B9).to_le_bytes()).collect();
        for (kind, bytes) in [(Kind::BF16, &halves), (Kind::F16, &halves), (Kind::F32, &words)] {
            for len in [0, 4, 400, bytes.len()] {
                for row in [0, 2, 100, 256] {
                    // Mixing is slow: all of it once.
                    for mixed in [false, true].into_iter().take(1 + usize::from(len < 500 || row == 256)) {
                        let mut coded = Vec::new();
                        encode(&bytes[..len], kind, row, mixed, &mut coded).unwrap();
                        let mut reader = Reader::new(&coded);
                        assert!(decode(&mut reader, &mut Limits::new(1 << 24)).unwrap() == bytes[..len]);
                        reader.finish().unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        // Several tasks, the last of them short and its last part too; each exponent's floats lie in every part.
        let bytes: Vec<u8> = (0..3 * TASK + PART + 77)
            .map(|i| (i as u32).wrapping_mul(0x9E37_79B9))
            .flat_map(|hash| {
                ((hash & 0x8000_FFFF) | (120 + (hash >> 20) % 9) << 23 | (hash >> 9 & 0x7F) << 16).to_le_bytes()
            })
            .collect();
        let halves: Vec<u8> = bytes.chunks_exact(4).flat_map(|float| [float[2], float[3]]).collect();
        for (kind, bytes) in [(Kind::F32, &bytes), (Kind::BF16, &halves), (Kind::F16, &halves)] {
            let [one, three] = [1, 3].map(|threads| {
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                    let mut coded = Vec::new();
                    encode(bytes, kind, 0, false, &mut coded).unwrap();
                    let decoded = decode(&mut Reader::new(&coded), &mut Limits::new(1 << 24)).unwrap();
                    assert!(decoded == *bytes);
                    coded
                })
            });
            assert!(one == three);
        }
    }

    #[test]
    fn rows_and_columns_of_unlike_scale_are_told_apart() {
        let mut state = 3u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let floats: Vec<u8> = (0..256 * 256usize)
            .flat_map(|i| (noise() * [1.0, 0.01][i / 256 % 2] * [1.0, 30.0][i % 256 / 64 % 2]).to_le_bytes())
            .collect();
        let [with, without] = [256, 0].map(|row| {
            let mut coded = Vec::new();
            encode(&floats, Kind::F32, row, false, &mut coded).unwrap();
            coded
        });
        // Two bits a float are known from row and column, less where the exponents overlap.
        assert!(with.len() + 256 * 256 * 4 / 3 / 8 < without.len(), "{} {}", with.len(), without.len());
        assert_eq!(decode(&mut Reader::new(&with), &mut Limits::new(1 << 22)).unwrap(), floats);
    }
}
