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
//! | exponents | for each class, row class first: a plane of width 8 (binary16: 5) of its symbols in order |
//! | heads | for each exponent that occurs 512 times or more, in ascending order: a plane of width 3, the top mantissa bits of these floats; last one plane for all rarer exponents |
//! | rests | a plane of width 5 (binary16: 8): sign above the mantissa bits 4..=1 below the heads (of the upper half) |
//! | tails | binary32 only: two planes of width 8, bytes 0 and 1 |

use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, EncodeError, Limits};

use crate::classes::Classes;
use crate::{mixing, plane};

/// Top mantissa bits with tables of their own.
const HEAD: u32 = 3;
/// Exponents that occur less often share a table for heads.
const COMMON: usize = 512;

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

    /// Mantissa bits within the upper sixteen bits.
    fn mantissa(self) -> u32 {
        if self == Self::F16 { 10 } else { 7 }
    }

    fn exponent_width(self) -> u8 {
        if self == Self::F16 { 5 } else { 8 }
    }

    /// Bits of a rest: the mantissa below the head, and the sign.
    fn rest_width(self) -> u8 {
        (self.mantissa() - HEAD + 1) as u8
    }
}

/// Which plane of heads an exponent's floats belong to, and how many floats each plane has, from the exponents alone.
fn groups(exponents: &[u8]) -> ([u8; 256], Vec<usize>) {
    let mut counts = [0usize; 256];
    exponents.iter().for_each(|&exponent| counts[usize::from(exponent)] += 1);
    let common = counts.iter().filter(|count| **count >= COMMON).count();
    // At most 2^8 - 1 symbols are common, or all of them and none is rare.
    let mut of = [common.min(255) as u8; 256];
    let mut sizes = Vec::with_capacity(common + 1);
    for (exponent, &count) in counts.iter().enumerate().filter(|(_, count)| **count >= COMMON) {
        of[exponent] = sizes.len() as u8;
        sizes.push(count);
    }
    sizes.push(counts.iter().filter(|count| **count < COMMON).sum());
    (of, sizes)
}

/// Codes whole floats in rows of `row` (0: unknown); `mixed` exponents cost time and are smaller where neighbours tell.
pub fn encode(bytes: &[u8], kind: Kind, row: usize, mixed: bool) -> Result<Vec<u8>, EncodeError> {
    let (size, mantissa) = (kind.size(), kind.mantissa());
    let count = bytes.len() / size;
    let (mut exponents, mut heads, mut rests) =
        (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
    let below = (1u16 << (mantissa - HEAD)) - 1;
    for float in bytes.chunks_exact(size) {
        let upper = u16::from_le_bytes([float[size - 2], float[size - 1]]);
        exponents.push((upper << 1 >> (mantissa + 1)) as u8);
        heads.push((upper >> (mantissa - HEAD)) as u8 & ((1 << HEAD) - 1));
        rests.push(((upper & below) | (upper >> 15) << (mantissa - HEAD)) as u8);
    }
    let mut out = vec![kind as u8];
    out.put_varint(count as u64);
    if mixed {
        out.extend([0, 0]);
        out.extend(mixing::encode(&exponents, kind.exponent_width(), row));
    } else {
        write_exponents(&exponents, &Classes::choose(&exponents, row), kind, &mut out)?;
    }
    let (group, sizes) = groups(&exponents);
    let mut sorted: Vec<Vec<u8>> = sizes.iter().map(|&size| Vec::with_capacity(size)).collect();
    for (&exponent, &head) in exponents.iter().zip(&heads) {
        sorted[usize::from(group[usize::from(exponent)])].push(head);
    }
    for of_group in &sorted {
        plane::write(of_group, HEAD as u8, false, &mut out)?;
    }
    plane::write(&rests, kind.rest_width(), false, &mut out)?;
    if kind == Kind::F32 {
        for byte in 0..2 {
            let tail: Vec<u8> = bytes.iter().copied().skip(byte).step_by(4).collect();
            plane::write(&tail, 8, true, &mut out)?;
        }
    }
    Ok(out)
}

fn write_exponents(exponents: &[u8], classes: &Classes, kind: Kind, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend([classes.row_count, classes.column_count]);
    if classes.count() > 1 {
        out.put_varint(classes.row as u64);
        plane::write(&classes.rows, 3, false, out)?;
        plane::write(&classes.columns, 3, false, out)?;
    }
    let mut sorted = vec![Vec::new(); classes.count()];
    let sort = |class: usize, first, len| sorted[class].extend_from_slice(&exponents[first..first + len]);
    classes.runs(exponents.len(), sort);
    sorted.iter().try_for_each(|of_class| plane::write(of_class, kind.exponent_width(), false, out))
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
    let mut sizes = vec![0usize; classes.count()];
    classes.runs(count, |class, _, len| sizes[class] += len);
    if let [_] = sizes[..] {
        return plane::read(reader, width, count, limits);
    }
    let planes = sizes.iter().map(|&size| plane::read(reader, width, size, limits)).collect::<Result<Vec<_>, _>>()?;
    let mut rest: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
    let mut exponents: Vec<u8> = limits.vec(count)?;
    classes.runs(count, |class, _, len| {
        let (run, after) = rest[class].split_at(len);
        exponents.extend_from_slice(run);
        rest[class] = after;
    });
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
    let (group, sizes) = groups(&exponents);
    let mut heads: Vec<u8> = limits.vec(count)?;
    let mut next = [0usize; 257];
    for (group, &size) in sizes.iter().enumerate() {
        next[group] = heads.len();
        heads.extend(plane::read(reader, HEAD as u8, size, limits)?);
    }
    let rests = plane::read(reader, kind.rest_width(), count, limits)?;
    let mantissa = kind.mantissa();
    let below = mantissa - HEAD;
    let mut upper = |index: usize| {
        let exponent = exponents[index];
        let place = &mut next[usize::from(group[usize::from(exponent)])];
        let head = heads[*place];
        *place += 1;
        let rest = u16::from(rests[index]);
        (rest >> below) << 15 | u16::from(exponent) << mantissa | u16::from(head) << below | rest & ((1 << below) - 1)
    };
    if kind == Kind::F32 {
        let tails = [plane::read(reader, 8, count, limits)?, plane::read(reader, 8, count, limits)?];
        for (index, (float, (&low, &high))) in bytes.chunks_exact_mut(4).zip(tails[0].iter().zip(&tails[1])).enumerate()
        {
            let [third, fourth] = upper(index).to_le_bytes();
            float.copy_from_slice(&[low, high, third, fourth]);
        }
    } else {
        for (index, float) in bytes.chunks_exact_mut(2).enumerate() {
            float.copy_from_slice(&upper(index).to_le_bytes());
        }
    }
    Ok(bytes)
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
                        let coded = encode(&bytes[..len], kind, row, mixed).unwrap();
                        let mut reader = Reader::new(&coded);
                        assert!(decode(&mut reader, &mut Limits::new(1 << 24)).unwrap() == bytes[..len]);
                        reader.finish().unwrap();
                    }
                }
            }
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
        let (with, without) =
            (encode(&floats, Kind::F32, 256, false).unwrap(), encode(&floats, Kind::F32, 0, false).unwrap());
        // Two bits a float are known from row and column, less where the exponents overlap.
        assert!(with.len() + 256 * 256 * 4 / 3 / 8 < without.len(), "{} {}", with.len(), without.len());
        assert_eq!(decode(&mut Reader::new(&with), &mut Limits::new(1 << 22)).unwrap(), floats);
    }
}
