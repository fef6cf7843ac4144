//! Values kept exactly: what would spoil a codec's work is taken out before it sees the tensor and put back after it decodes.
//!
//! 1. *NaN and infinity*, always; the codec sees zeros in their place.
//! 2. *Outliers*, where the codec's scales are shared by many weights ([`Capabilities::local_scales`] is false). One weight of 1e6
//!    deviations takes all levels of a scale, or all bits of a rate, and hides in the error of the tensor what became of the rest.
//!    The `k` largest magnitudes are outliers where the least of them is at least 512 times the root mean square of all others; `k` is the
//!    largest such number up to one weight in 1024 (but at least one), of tensors of 16 weights on. An outlier takes 5 to 7 bytes. The
//!    codec sees the weight before it, a value of the ordinary kind. So are all weights of *loud columns*, whose root mean square is at
//!    least 512 times that of the loudest column below the loudest 32nd of them, where columns have 16 weights.
//! 3. *Loud rows*, where the codec has shared scales or does not keep zeros: rows of at least 16 weights whose root mean square is at least
//!    512 times that of all rows but them, at most a quarter of the rows but at least one. Rows of zeros, outliers and the largest weight of
//!    each row do not count. The codec sees them divided by a power of two, beside the others; 2 or 3 bytes a row.
//!    Outliers and columns that stand out only then are taken out too.
//! 4. *Silent rows*, where the codec's nearest value to nothing is not zero ([`Capabilities::keeps_zeros`] is false): rows whose magnitudes
//!    are all below 2^-16 of the root mean square of the tensor (outliers apart, loud rows brought down). They come back as zeros, not as
//!    numbers 1e30 times too large. The codec sees zeros.
//! 5. *Rows whose outputs count less*, where statistics say so and the codec has one step for all weights ([`Capabilities::one_step`]): the
//!    codec sees them divided by a power of two, noted as loud rows are, so that their errors are larger and their bits fewer. See
//!    [`OutputWeights::halvings`].
//!
//! Ordinary heavy tails trigger none of these: of the weights of trained models seen so far the furthest is at 232.
//!
//! A row is one of the matrix view. The bytes are those of [`segment`]. Loud rows are brought up before values are rounded to the data type. Exceptions are put in after
//! silent rows are cleared.

mod segment;

pub use self::segment::Exceptions;
pub(crate) use self::segment::{bring_up_rows, put_back};

use std::borrow::Cow;

use seedpress_calibration::OutputWeights;

use self::segment::Rows;
use crate::capabilities::Capabilities;
use crate::context::NonFinite;
use crate::error::EncodeError;
use crate::outliers::{
    bring_down, least_outlier, loud_columns, loud_rows, may_be_halved, set_aside, set_columns_aside, silent_rows,
};
use crate::tensor::TensorView;

/// What was taken out of a tensor.
pub(crate) struct Split<'a> {
    /// What the codec is to see: finite values.
    pub values: Cow<'a, [f32]>,
    /// Which layout `bytes` has.
    pub kind: Exceptions,
    /// The exceptions segment; empty where there is none.
    pub bytes: Vec<u8>,
    /// How much of it notes rows that were halved because their outputs count less.
    pub noted: usize,
}

/// Splits a tensor into the values that a codec of these capabilities is to see and the exceptions.
pub(crate) fn take_out<'a>(
    tensor: &TensorView<'a>,
    policy: NonFinite,
    capabilities: Capabilities,
    outputs: Option<&OutputWeights>,
) -> Result<Split<'a>, EncodeError> {
    let mut values = Cow::Borrowed(tensor.values());
    let mut taken = take_non_finite(&mut values);
    if policy == NonFinite::Reject
        && let Some(&(first, _)) = taken.first()
    {
        return Err(EncodeError::NonFinite { tensor: tensor.name().to_owned(), count: taken.len(), first });
    }
    let non_finite = taken.len();
    // What comes back exactly needs no help.
    let local_scales = capabilities.local_scales || capabilities.lossless;
    let keeps_zeros = capabilities.keeps_zeros || capabilities.lossless;
    let needed = !(values.is_empty() || local_scales && keeps_zeros);
    let mut rows =
        if needed { level(tensor, &mut values, &mut taken, local_scales, keeps_zeros) } else { Rows::default() };
    let noted = match outputs.filter(|_| capabilities.one_step) {
        Some(outputs) => weigh(tensor, &mut values, outputs, &mut rows)?,
        None => 0,
    };
    let outliers = taken.len() > non_finite;
    let kind = match (outliers || !rows.silent.is_empty(), taken.is_empty()) {
        _ if !rows.loud.is_empty() => Exceptions::AndLoudRows,
        (true, _) => Exceptions::All,
        (false, false) => Exceptions::NonFinite,
        (false, true) => return Ok(Split { values, kind: Exceptions::None, bytes: Vec::new(), noted }),
    };
    taken.sort_unstable_by_key(|&(index, _)| index);
    // What stands in for an outlier may be one itself, once its row is brought down.
    taken.dedup_by_key(|&mut (index, _)| index);
    let bytes = segment::to_bytes(&rows, &taken, kind);
    Ok(Split { values, kind, bytes, noted })
}

/// What the note of a row takes where most rows are noted.
const BYTES_A_NOTE: usize = 2;

/// Brings rows down whose outputs count less than others. Returns how many bytes it takes to note them.
fn weigh(
    tensor: &TensorView<'_>,
    values: &mut Cow<'_, [f32]>,
    outputs: &OutputWeights,
    rows: &mut Rows,
) -> Result<usize, EncodeError> {
    let (columns, known) = (tensor.columns(), outputs.values().len());
    if known != tensor.rows() {
        let why = format!("has {} rows where {known} outputs are known", tensor.rows());
        return Err(EncodeError::UnsupportedInput { tensor: tensor.name().to_owned(), why });
    }
    let halvings = outputs.halvings(columns, BYTES_A_NOTE).filter(|_| may_be_halved(values));
    let Some(mut exponents) = halvings else { return Ok(0) };
    for (values, &halved) in values.to_mut().chunks_exact_mut(columns).zip(&exponents) {
        bring_down(values, halved);
    }
    let before = rows.loud.len();
    for (row, exponent) in rows.loud.drain(..) {
        exponents[row] = exponents[row].saturating_add(exponent);
    }
    rows.loud = exponents.into_iter().enumerate().filter(|&(_, exponent)| exponent > 0).collect();
    Ok(BYTES_A_NOTE * (rows.loud.len() - before))
}

/// Takes out NaN and infinity, with their places; zeros are left for them.
fn take_non_finite(values: &mut Cow<'_, [f32]>) -> Vec<(usize, f32)> {
    let mut taken = Vec::new();
    if let Some(first) = values.iter().position(|v| !v.is_finite()) {
        for (index, value) in values.to_mut().iter_mut().enumerate().skip(first).filter(|(_, v)| !v.is_finite()) {
            taken.push((index, *value));
            *value = 0.0;
        }
    }
    taken
}

/// Takes out outliers and loud columns, brings loud rows down and clears silent ones, each where the codec needs it.
fn level(
    tensor: &TensorView<'_>,
    values: &mut Cow<'_, [f32]>,
    taken: &mut Vec<(usize, f32)>,
    local_scales: bool,
    keeps_zeros: bool,
) -> Rows {
    let columns = tensor.columns();
    let mut least = least_outlier(values);
    let aside = |values: &mut Cow<'_, [f32]>, least: Option<f32>, taken: &mut Vec<(usize, f32)>| {
        if let Some(least) = least.filter(|_| !local_scales) {
            set_aside(values.to_mut(), least, tensor.values(), taken);
        }
    };
    aside(values, least, taken);
    let loud = loud_rows(values, columns, least.unwrap_or(f32::INFINITY));
    for &(row, exponent) in &loud {
        bring_down(&mut values.to_mut()[row * columns..(row + 1) * columns], exponent);
    }
    let loud_columns = if local_scales { Vec::new() } else { loud_columns(values, columns) };
    if !loud_columns.is_empty() {
        set_columns_aside(values.to_mut(), columns, &loud_columns, tensor.values(), taken);
    }
    if !(loud.is_empty() && loud_columns.is_empty()) {
        least = least_outlier(values);
        aside(values, least, taken);
    }
    let silent = if keeps_zeros { Vec::new() } else { silent_rows(values, columns, least.unwrap_or(f32::INFINITY)) };
    for &(start, rows) in &silent {
        values.to_mut()[start * columns..(start + rows) * columns].fill(0.0);
    }
    Rows { loud, silent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outliers::energy;
    use crate::tensor::DType;
    use crate::wire::Reader;

    /// Weights of deviation near 1, never exactly equal in magnitude.
    fn noise(count: usize) -> Vec<f32> {
        let mut noise = seedpress_testing::Noise::new(5);
        (0..count).map(|_| noise.bell(12)).collect()
    }

    fn split(shape: &[usize], values: &[f32], capabilities: Capabilities) -> (Vec<f32>, Exceptions, Vec<u8>) {
        let tensor = TensorView::new("w", shape, values, DType::F32).unwrap();
        let split = take_out(&tensor, NonFinite::Keep, capabilities, None).unwrap();
        (split.values.into_owned(), split.kind, split.bytes)
    }

    /// Takes out, and puts back over what a codec might have made of it.
    fn round_trip(shape: &[usize], values: &[f32]) -> (Vec<f32>, Exceptions, Vec<f32>) {
        let (seen, kind, bytes) = split(shape, values, Capabilities::default());
        assert!(seen.iter().all(|value| value.is_finite()));
        let mut decoded: Vec<f32> = seen.iter().map(|value| value + 0.25).collect();
        if kind != Exceptions::None {
            let mut reader = Reader::new(&bytes);
            bring_up_rows(&mut reader, kind, shape[1], &mut decoded).unwrap();
            put_back(reader, kind, shape[1], &mut decoded).unwrap();
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
        assert_eq!(
            [1, 4, 5].map(few),
            [Exceptions::All, Exceptions::All, Exceptions::AndLoudRows],
            "of more, rows suffer"
        );
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
    fn loud_rows_are_seen_beside_the_others_and_hide_nothing() {
        for (loud, factor) in [(&[5][..], 1e20f32), (&[0], 1e30), (&[63], 2e3), (&[0, 1, 13], 1e6)] {
            let mut values = noise(64 * 64);
            for &row in loud {
                values[row * 64..(row + 1) * 64].iter_mut().for_each(|value| *value *= factor);
            }
            // An outlier of an ordinary row, which the loud one hides, and one above all.
            values[20 * 64 + 7] = 1e5;
            values[loud[0] * 64 + 3] *= 1e7;
            let (seen, kind, decoded) = round_trip(&[64, 64], &values);
            assert_eq!(kind, Exceptions::AndLoudRows);
            assert!(seen.iter().all(|value| value.abs() < 14.0), "{factor:e}");
            for (index, (&value, &back)) in values.iter().zip(&decoded).enumerate() {
                let scale = if loud.contains(&(index / 64)) { factor } else { 1.0 };
                assert!((value - back).abs() < 0.4 * scale, "{index}: {value:e} as {back:e}");
            }
            assert_eq!(decoded[20 * 64 + 7], 1e5);
            assert_eq!(decoded[loud[0] * 64 + 3], values[loud[0] * 64 + 3]);
        }
    }

    #[test]
    fn loud_columns_come_back_exactly() {
        for loud in [&[7usize][..], &[0, 1], &[63]] {
            let mut values = noise(64 * 64);
            values
                .iter_mut()
                .enumerate()
                .filter(|(i, _)| loud.contains(&(i % 64)))
                .for_each(|(_, value)| *value *= 1e4);
            values[7 * 64 + 9] = f32::NAN;
            let (seen, kind, decoded) = round_trip(&[64, 64], &values);
            assert_eq!(kind, Exceptions::All);
            assert!(seen.iter().all(|value| value.abs() < 7.0));
            let same = |(index, value): (usize, &f32)| !loud.contains(&(index % 64)) || decoded[index] == *value;
            assert!(values.iter().enumerate().all(same));
        }
    }

    /// Scales of its own do not help a codec whose quiet rows would be taken for silent ones.
    #[test]
    fn a_loud_row_silences_no_other() {
        let mut values = noise(64 * 64);
        values[..64].iter_mut().for_each(|value| *value *= 1e20);
        let local = Capabilities { local_scales: true, ..Capabilities::default() };
        let (seen, kind, _) = split(&[64, 64], &values, local);
        assert_eq!(kind, Exceptions::AndLoudRows);
        assert!(seen.chunks(64).all(|row| (1.0..2000.0).contains(&energy(row))));
        let keeps = Capabilities { keeps_zeros: true, ..local };
        assert_eq!(split(&[64, 64], &values, keeps).1, Exceptions::None);
    }

    #[test]
    fn rows_whose_outputs_count_less_are_seen_smaller() {
        let one_step = Capabilities { one_step: true, ..Capabilities::default() };
        let outputs: Vec<f32> = (0..64).map(|row| [1.0, 4.0, 64.0, 16.0][row % 4]).collect();
        let outputs = OutputWeights::new(&outputs).unwrap();
        let mut values = noise(64 * 64);
        // A loud row, of those that count most, and one that counts less; a value kept as it is.
        values[2 * 64..3 * 64].iter_mut().for_each(|value| *value *= 1e6);
        values[5 * 64..6 * 64].iter_mut().for_each(|value| *value *= 1e6);
        values[9] = f32::INFINITY;
        let tensor = TensorView::new("w", &[64, 64], &values, DType::F32).unwrap();
        let take = |capabilities| take_out(&tensor, NonFinite::Keep, capabilities, Some(&outputs)).unwrap();
        let split = take(one_step);
        assert_eq!(split.kind, Exceptions::AndLoudRows);
        let mut reader = Reader::new(&split.bytes);
        let mut decoded = split.values.to_vec();
        bring_up_rows(&mut reader, split.kind, 64, &mut decoded).unwrap();
        put_back(reader, split.kind, 64, &mut decoded).unwrap();
        assert_eq!(decoded, values, "nothing but exponents changed");
        let mean = |row: usize| energy(&split.values[row * 64..(row + 1) * 64]) / 64.0;
        for (row, halved) in [(8, 3), (9, 2), (10, 0), (11, 1), (2, 0), (5, 2)] {
            assert!((0.3..3.0).contains(&(mean(row) * 4f64.powi(halved))), "{row}: {}", mean(row));
        }
        let plain = take(Capabilities::default());
        assert!(mean(8) < 0.1 && energy(&plain.values[8 * 64..9 * 64]) > 10.0, "for codecs of one step only");
        // Of another matrix; and too small to be halved.
        let other = OutputWeights::new(&[1.0, 100.0]).unwrap();
        assert!(take_out(&tensor, NonFinite::Keep, one_step, Some(&other)).is_err());
        let tiny = [1e-40f32; 64 * 64];
        let tensor = TensorView::new("w", &[64, 64], &tiny, DType::F32).unwrap();
        assert!(take_out(&tensor, NonFinite::Keep, one_step, Some(&outputs)).unwrap().kind == Exceptions::None);
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
        assert!(put_back(Reader::new(&finite), Exceptions::NonFinite, 8, &mut [0.0; 64]).is_err());
        assert!(
            put_back(Reader::new(&finite), Exceptions::All, 8, &mut [0.0; 64]).is_err(),
            "no runs, then a count of zero and more bytes"
        );
    }
}
