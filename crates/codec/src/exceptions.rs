//! Values kept exactly: what would spoil a codec's work is taken out before it sees the tensor and put back after it decodes.
//!
//! 1. *NaN and infinity*, always; the codec sees zeros in their place.
//! 2. *Outliers*, where the codec's scales are shared by many weights ([`Capabilities::local_scales`] is false). One weight of 1e6
//!    deviations takes all levels of a scale, or all bits of a rate, and hides in the error of the tensor what became of the rest.
//!    The `k` largest magnitudes are outliers where the least of them is at least [`OUTLIER`] times the root mean square of all others; `k` is the
//!    largest such number up to one weight in [`WEIGHTS_PER_OUTLIER`] (but at least one), of tensors of [`FEWEST`] weights on. An
//!    outlier takes 5 to 7 bytes. The codec sees the weight before it, a value of the ordinary kind.
//! 3. *Silent rows*, where the codec's nearest value to nothing is not zero ([`Capabilities::keeps_zeros`] is false): rows whose magnitudes
//!    are all below 2^-16 of the root mean square of the tensor (outliers apart). They come back as zeros, not as numbers 1e30 times too
//!    large. The codec sees zeros.
//!
//! Ordinary heavy tails trigger neither: of the weights of trained models seen so far the furthest is at 232.
//!
//! | exceptions segment | |
//! | --- | --- |
//! | runs of silent rows | varint; this and the next only in the second layout, which alone may hold finite values |
//! | per run, ascending | rows between the end of the run before and its start (varint), its rows (varint, at least 1) |
//! | count | varint |
//! | per exception, ascending | its distance from the one before (from 0 for the first; varint), the 32 bits of the widened value |
//!
//! A row is one of the matrix view. Exceptions are put in after silent rows are cleared.

use std::borrow::Cow;

use crate::codec::Capabilities;
use crate::context::NonFinite;
use crate::error::{DecodeError, EncodeError};
use crate::tensor::TensorView;
use crate::wire::{Put, Reader};

/// How far an outlier is from all others, in their root mean square.
const OUTLIER: f64 = 512.0;

/// At most one weight in so many is an outlier: 0.05 bits a weight at most.
const WEIGHTS_PER_OUTLIER: usize = 1024;

/// Weights of a tensor from which on it may have an outlier.
const FEWEST: usize = 16;

/// A row is silent where its largest magnitude is below this part of the tensor's root mean square: 2^-16, beyond what 12 bits resolve.
const SILENCE: f64 = 1.0 / 65_536.0;

/// Values between two looks at a sum.
const PART: usize = 1 << 12;

/// Which exceptions a record holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exceptions {
    /// None.
    #[default]
    None,
    /// NaN and infinity.
    NonFinite,
    /// These, finite outliers and silent rows.
    All,
}

/// What was taken out of a tensor.
pub(crate) struct Split<'a> {
    /// What the codec is to see: finite values.
    pub values: Cow<'a, [f32]>,
    /// Which layout `bytes` has.
    pub kind: Exceptions,
    /// The exceptions segment; empty where there is none.
    pub bytes: Vec<u8>,
}

/// Splits a tensor into the values that a codec of these capabilities is to see and the exceptions.
pub(crate) fn take_out<'a>(
    tensor: &TensorView<'a>,
    policy: NonFinite,
    capabilities: Capabilities,
) -> Result<Split<'a>, EncodeError> {
    let mut values = Cow::Borrowed(tensor.values());
    let mut taken = Vec::new();
    if let Some(first) = values.iter().position(|v| !v.is_finite()) {
        for (index, value) in values.to_mut().iter_mut().enumerate().skip(first).filter(|(_, v)| !v.is_finite()) {
            taken.push((index, *value));
            *value = 0.0;
        }
        if policy == NonFinite::Reject {
            return Err(EncodeError::NonFinite { tensor: tensor.name().to_owned(), count: taken.len(), first });
        }
    }
    let non_finite = taken.len();
    // What comes back exactly needs no help.
    let local_scales = capabilities.local_scales || capabilities.lossless;
    let keeps_zeros = capabilities.keeps_zeros || capabilities.lossless;
    let needed = !(local_scales && keeps_zeros);
    let least = if needed { least_outlier(&values) } else { None };
    if let Some(least) = least.filter(|_| !local_scales) {
        set_aside(values.to_mut(), least, &mut taken);
    }
    let outliers = taken.len() > non_finite;
    let mut runs = Vec::new();
    if !keeps_zeros && !values.is_empty() {
        runs = silent_rows(&values, tensor.columns(), least.unwrap_or(f32::INFINITY));
        for &(start, rows) in &runs {
            values.to_mut()[start * tensor.columns()..(start + rows) * tensor.columns()].fill(0.0);
        }
    }
    let kind = match (outliers || !runs.is_empty(), taken.is_empty()) {
        (true, _) => Exceptions::All,
        (false, false) => Exceptions::NonFinite,
        (false, true) => return Ok(Split { values, kind: Exceptions::None, bytes: Vec::new() }),
    };
    taken.sort_unstable_by_key(|&(index, _)| index);
    Ok(Split { values, kind, bytes: to_bytes(&taken, &runs, kind) })
}

fn to_bytes(taken: &[(usize, f32)], runs: &[(usize, usize)], kind: Exceptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    if kind == Exceptions::All {
        bytes.put_varint(runs.len() as u64);
        let mut end = 0;
        for &(start, rows) in runs {
            bytes.put_varint((start - end) as u64);
            bytes.put_varint(rows as u64);
            end = start + rows;
        }
    }
    bytes.put_varint(taken.len() as u64);
    let mut last = 0;
    for &(index, value) in taken {
        bytes.put_varint((index - last) as u64);
        bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        last = index;
    }
    bytes
}

fn energy(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}

/// The magnitude of the least outlier, if there is any.
fn least_outlier(values: &[f32]) -> Option<f32> {
    let count = values.len();
    if count < FEWEST {
        return None;
    }
    let most = (count / WEIGHTS_PER_OUTLIER).max(1);
    let largest = f64::from(f32::from_bits(values.iter().fold(0, |largest, value| largest.max(value.abs().to_bits()))));
    // With `most` outliers, none above `largest`, and all others below `largest / OUTLIER`, the sum of squares has a bound, which the
    // first few hundredths of an ordinary tensor exceed.
    let bound = largest * largest * (most as f64 + count as f64 / (OUTLIER * OUTLIER));
    let mut sum = 0.0;
    if largest == 0.0
        || values.chunks(PART).any(|part| {
            sum += energy(part);
            sum > bound
        })
    {
        return None;
    }
    // The bits of magnitudes sort as the magnitudes do. The one after the last candidate is kept for comparison.
    let mut sorted: Vec<u32> = values.iter().map(|value| value.abs().to_bits()).collect();
    let (top, &mut next, _) = sorted.select_nth_unstable_by(most, |a, b| b.cmp(a));
    top.sort_unstable_by(|a, b| b.cmp(a));
    let magnitude = |bits: u32| f64::from(f32::from_bits(bits));
    let last = f32::from_bits(top[most - 1]);
    // Ties with the last candidate that are no candidates themselves.
    let ties = values.iter().filter(|value| value.abs() == last).count()
        - top.iter().filter(|&&b| b == last.to_bits()).count();
    let below = values.iter().filter(|value| value.abs() < last).map(|&value| f64::from(value) * f64::from(value));
    let mut rest = below.sum::<f64>() + ties as f64 * magnitude(top[most - 1]).powi(2);
    for index in (0..most).rev() {
        let after = top.get(index + 1).copied().unwrap_or(next);
        let root = (rest / (count - index - 1) as f64).sqrt();
        if top[index] > after && magnitude(top[index]) >= OUTLIER * root {
            return Some(f32::from_bits(top[index]));
        }
        rest += magnitude(top[index]).powi(2);
    }
    None
}

/// Takes out magnitudes from `least` on and puts the ordinary weight before each in its place, the first one before all others.
fn set_aside(values: &mut [f32], least: f32, taken: &mut Vec<(usize, f32)>) {
    let mut ordinary = values.iter().copied().find(|value| value.abs() < least).unwrap_or(0.0);
    for (index, value) in values.iter_mut().enumerate() {
        if value.abs() >= least {
            taken.push((index, *value));
            *value = ordinary;
        } else {
            ordinary = *value;
        }
    }
}

/// Runs of silent rows, as their first row and their number; magnitudes from `outlier` on do not count.
fn silent_rows(values: &[f32], columns: usize, outlier: f32) -> Vec<(usize, usize)> {
    let ordinary =
        values.iter().filter(|value| value.abs() < outlier).map(|&value| f64::from(value) * f64::from(value));
    let limit = ((ordinary.sum::<f64>() / values.len() as f64).sqrt() * SILENCE) as f32;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    if limit == 0.0 {
        return runs;
    }
    for (row, weights) in values.chunks(columns).enumerate() {
        if weights.iter().any(|weight| weight.abs() >= limit) {
            continue;
        }
        match runs.last_mut() {
            Some((start, rows)) if *start + *rows == row => *rows += 1,
            _ => runs.push((row, 1)),
        }
    }
    runs
}

/// Clears silent rows of decoded values, in rows of `columns`, and puts exceptions back.
pub(crate) fn put_back(bytes: &[u8], kind: Exceptions, columns: usize, values: &mut [f32]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    if kind == Exceptions::All {
        clear_rows(&mut reader, columns, values)?;
    }
    let count = reader.length()?;
    let mut index = 0usize;
    for entry in 0..count {
        let at = reader.position();
        let step = reader.length()?;
        if entry > 0 && step == 0 {
            return Err(DecodeError::corrupt("exceptions are not in order").at_offset(at));
        }
        index = index
            .checked_add(step)
            .filter(|&index| index < values.len())
            .ok_or(DecodeError::corrupt("an exception lies outside the tensor").at_offset(at))?;
        let value = f32::from_bits(reader.u32()?);
        if value.is_finite() && kind != Exceptions::All {
            return Err(DecodeError::corrupt("an exception is finite").at_offset(at));
        }
        values[index] = value;
    }
    reader.finish()
}

fn clear_rows(reader: &mut Reader<'_>, columns: usize, values: &mut [f32]) -> Result<(), DecodeError> {
    let mut rest = values;
    for _ in 0..reader.length()? {
        let at = reader.position();
        let (gap, rows) = (reader.length()?, reader.length()?);
        let outside = || DecodeError::corrupt("a silent row lies outside the tensor").at_offset(at);
        if rows == 0 {
            return Err(DecodeError::corrupt("a run of no rows").at_offset(at));
        }
        let start = gap.checked_mul(columns).filter(|&start| start <= rest.len()).ok_or_else(outside)?;
        let (_, tail) = rest.split_at_mut(start);
        let length = rows.checked_mul(columns).filter(|&length| length <= tail.len()).ok_or_else(outside)?;
        let (silent, tail) = tail.split_at_mut(length);
        silent.fill(0.0);
        rest = tail;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    /// Weights of deviation near 1, never exactly equal in magnitude.
    fn noise(count: usize) -> Vec<f32> {
        let mut noise = seedpress_testing::Noise::new(5);
        (0..count).map(|_| noise.bell(12)).collect()
    }

    fn split(shape: &[usize], values: &[f32], capabilities: Capabilities) -> (Vec<f32>, Exceptions, Vec<u8>) {
        let tensor = TensorView::new("w", shape, values, DType::F32).unwrap();
        let split = take_out(&tensor, NonFinite::Keep, capabilities).unwrap();
        (split.values.into_owned(), split.kind, split.bytes)
    }

    /// Takes out, and puts back over what a codec might have made of it.
    fn round_trip(shape: &[usize], values: &[f32]) -> (Vec<f32>, Exceptions, Vec<f32>) {
        let (seen, kind, bytes) = split(shape, values, Capabilities::default());
        assert!(seen.iter().all(|value| value.is_finite()));
        let mut decoded: Vec<f32> = seen.iter().map(|value| value + 0.25).collect();
        if kind != Exceptions::None {
            put_back(&bytes, kind, shape[1], &mut decoded).unwrap();
        }
        (seen, kind, decoded)
    }

    #[test]
    fn ordinary_weights_and_heavy_tails_are_left_alone() {
        let mut heavy: Vec<f32> = noise(24_576).iter().map(|v| v * v * v * v * v).collect();
        heavy[77] = 230.0 * (energy(&heavy) / heavy.len() as f64).sqrt() as f32;
        let rows: Vec<f32> =
            noise(4096).iter().enumerate().map(|(i, v)| v * 10f32.powi((i / 64) as i32 % 7 - 3)).collect();
        let sparse: Vec<f32> = (0..4096).map(|i| if i % 17 == 0 { 1.0 } else { 0.0 }).collect();
        for values in [noise(24_576), heavy, rows, sparse, vec![0.37; 4096], vec![0.0; 4096]] {
            let (seen, kind, _) =
                split(&[values.len() / 64, 64], &values, Capabilities { keeps_zeros: true, ..Capabilities::default() });
            assert_eq!((seen == values, kind), (true, Exceptions::None));
        }
    }

    #[test]
    fn outliers_come_back_exactly_and_the_codec_sees_ordinary_weights() {
        for outlier in [1e3f32, 1e6, 1e30, f32::MIN] {
            let mut values = noise(64 * 64);
            values[0] = outlier;
            values[1500] = -2.0 * outlier.clamp(-1e38, 1e38);
            values[1501] = 1.5 * outlier.clamp(-1e38, 1e38);
            let (seen, kind, decoded) = round_trip(&[64, 64], &values);
            assert_eq!(kind, Exceptions::All, "{outlier:e}");
            assert!(seen.iter().all(|value| value.abs() < 7.0), "{outlier:e}");
            for at in [0, 1500, 1501] {
                assert_eq!(decoded[at], values[at]);
            }
            assert_eq!((seen[0], seen[1501]), (values[1], values[1499]));
        }
    }

    #[test]
    fn as_many_outliers_as_are_cheap_but_no_more() {
        let few = |count: usize| {
            let mut values = noise(4096);
            values.iter_mut().step_by(40).take(count).for_each(|value| *value = 1e6 + value.abs());
            split(&[64, 64], &values, Capabilities { keeps_zeros: true, ..Capabilities::default() }).1
        };
        assert_eq!([1, 4, 5].map(few), [Exceptions::All, Exceptions::All, Exceptions::None]);
        // Four of one magnitude, beside one a little larger: neither splits the group.
        let mut tied = noise(4096);
        tied.iter_mut().step_by(40).take(5).for_each(|value| *value = 1e6);
        tied[0] = 1.5e6;
        assert_eq!(least_outlier(&tied), None);
        let mut one = vec![0f32; 100];
        one[3] = -0.5;
        assert_eq!(least_outlier(&one), Some(0.5));
        assert_eq!(least_outlier(&one[..15]), None);
    }

    #[test]
    fn silent_rows_come_back_as_zeros() {
        let values: Vec<f32> = noise(20 * 8)
            .iter()
            .enumerate()
            .map(|(i, v)| v * if matches!(i / 8, 3 | 4 | 19) { 1e-30 } else { 1e30 })
            .collect();
        let (seen, kind, decoded) = round_trip(&[20, 8], &values);
        assert_eq!(kind, Exceptions::All);
        for (row, values) in decoded.chunks(8).enumerate() {
            assert_eq!(values.iter().all(|&v| v == 0.0), matches!(row, 3 | 4 | 19), "row {row}");
        }
        assert_eq!(seen[3 * 8..5 * 8], [0.0; 16]);
        let (_, kind, _) = split(&[20, 8], &values, Capabilities { keeps_zeros: true, ..Capabilities::default() });
        assert_eq!(kind, Exceptions::None);
    }

    #[test]
    fn the_first_layout_is_as_it_was() {
        let mut values = noise(64);
        values[2] = f32::NAN;
        values[40] = f32::NEG_INFINITY;
        let (seen, kind, bytes) = split(&[8, 8], &values, Capabilities::default());
        assert_eq!((kind, seen[2], seen[40]), (Exceptions::NonFinite, 0.0, 0.0));
        assert_eq!(bytes, [2, 2, 0, 0, 0xC0, 0x7F, 38, 0, 0, 0x80, 0xFF]);
        let finite = [1, 0, 0, 0, 0, 0];
        assert!(put_back(&finite, Exceptions::NonFinite, 8, &mut [0.0; 64]).is_err());
        assert!(
            put_back(&finite, Exceptions::All, 8, &mut [0.0; 64]).is_err(),
            "no runs, then a count of zero and more bytes"
        );
    }

    #[test]
    fn damaged_runs_are_refused() {
        let put = |bytes: &[u8]| put_back(bytes, Exceptions::All, 8, &mut [1.0; 64]).is_ok();
        assert!(put(&[1, 7, 1, 0]) && put(&[2, 0, 4, 0, 4, 0]));
        for bytes in [&[1, 8, 1, 0][..], &[1, 0, 9, 0], &[1, 0, 0, 0], &[2, 0, 4, 0, 5, 0], &[1, 0, 1], &[200, 1, 0]] {
            assert!(!put(bytes), "{bytes:?}");
        }
        assert!(!put(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 0]));
    }
}
