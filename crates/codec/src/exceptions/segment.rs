//! The exceptions segment: what it holds, byte by byte, and putting it back.
//!
//! | exceptions segment | |
//! | --- | --- |
//! | loud rows | varint; this and the next only in the third layout |
//! | per row, ascending | rows between the one before and it (varint), the exponent of two (u8, at least 1) |
//! | runs of silent rows | varint; this and the next only in the second and third layout, which alone may hold finite values |
//! | per run, ascending | rows between the end of the run before and its start (varint), its rows (varint, at least 1) |
//! | count | varint |
//! | per exception, ascending | its distance from the one before (from 0 for the first; varint), the 32 bits of the widened value |

use crate::error::DecodeError;
use crate::outliers::bring_up;
use crate::wire::{Put, Reader};

/// Which exceptions a record holds: each kind may hold what those before it hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exceptions {
    /// None.
    #[default]
    None,
    /// NaN and infinity.
    NonFinite,
    /// These, finite outliers and silent rows.
    All,
    /// All of these and loud rows.
    AndLoudRows,
}

/// Rows that a codec sees otherwise than they are.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Loud rows, ascending, each with the power of two it is divided by.
    pub loud: Vec<(usize, u8)>,
    /// Runs of silent rows, ascending: the first row and how many.
    pub silent: Vec<(usize, usize)>,
}

/// The segment's bytes; `taken` holds single values by their place, ascending.
pub(crate) fn to_bytes(rows: &Rows, taken: &[(usize, f32)], kind: Exceptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    if kind == Exceptions::AndLoudRows {
        bytes.put_varint(rows.loud.len() as u64);
        let mut next = 0;
        for &(row, exponent) in &rows.loud {
            bytes.put_varint((row - next) as u64);
            bytes.push(exponent);
            next = row + 1;
        }
    }
    if kind >= Exceptions::All {
        bytes.put_varint(rows.silent.len() as u64);
        let mut end = 0;
        for &(start, rows) in &rows.silent {
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

/// Brings loud rows of decoded values up, in rows of `columns`, before values are rounded to the data type.
pub(crate) fn bring_up_rows(
    reader: &mut Reader<'_>,
    kind: Exceptions,
    columns: usize,
    values: &mut [f32],
) -> Result<(), DecodeError> {
    if kind != Exceptions::AndLoudRows {
        return Ok(());
    }
    let mut rest = values;
    for _ in 0..reader.length()? {
        let at = reader.position();
        let (gap, exponent) = (reader.length()?, reader.u8()?);
        if exponent == 0 {
            return Err(DecodeError::corrupt("a loud row of no exponent").at_offset(at));
        }
        let outside = || DecodeError::corrupt("a loud row lies outside the tensor").at_offset(at);
        let start = gap.checked_mul(columns).filter(|start| *start < rest.len()).ok_or_else(outside)?;
        let (row, tail) = rest[start..].split_at_mut(columns);
        bring_up(row, exponent);
        rest = tail;
    }
    Ok(())
}

/// Clears silent rows of decoded values, in rows of `columns`, and puts exceptions back.
pub(crate) fn put_back(
    mut reader: Reader<'_>,
    kind: Exceptions,
    columns: usize,
    values: &mut [f32],
) -> Result<(), DecodeError> {
    if kind >= Exceptions::All {
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
        if value.is_finite() && kind < Exceptions::All {
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

    #[test]
    fn damaged_loud_rows_are_refused() {
        let bring =
            |bytes: &[u8]| bring_up_rows(&mut Reader::new(bytes), Exceptions::AndLoudRows, 8, &mut [1.0; 64]).is_ok();
        assert!(bring(&[0]) && bring(&[1, 7, 255]) && bring(&[2, 0, 1, 6, 1]));
        for bytes in [&[1, 8, 1][..], &[1, 0, 0], &[2, 0, 1, 7, 1], &[1, 0], &[2, 0, 1], &[]] {
            assert!(!bring(bytes), "{bytes:?}");
        }
        assert!(!bring(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1]));
    }

    #[test]
    fn damaged_runs_are_refused() {
        let put = |bytes: &[u8]| put_back(Reader::new(bytes), Exceptions::All, 8, &mut [1.0; 64]).is_ok();
        assert!(put(&[1, 7, 1, 0]) && put(&[2, 0, 4, 0, 4, 0]));
        for bytes in [&[1, 8, 1, 0][..], &[1, 0, 9, 0], &[1, 0, 0, 0], &[2, 0, 4, 0, 5, 0], &[1, 0, 1], &[200, 1, 0]] {
            assert!(!put(bytes), "{bytes:?}");
        }
        assert!(!put(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 0]));
    }
}
