//! Fields of floats into planes.

use rayon::prelude::*;
use seedpress_codec::EncodeError;
use seedpress_codec::wire::Put;

use super::fields::Fields;
use super::kind::{HEAD, Kind};
use super::parts::{PART, add, count_parts, groups};
use crate::classes::Classes;
use crate::grouped::{Groups, SLACK};
use crate::{mixing, plane};

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
pub(crate) fn encode(bytes: &[u8], kind: Kind, row: usize, mixed: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (rests, tails) = encode_heads(bytes, kind, row, mixed, out)?;
    let tails = tails.iter().map(|tail| (&tail[..], 8));
    write_all(std::iter::once((&rests[..], kind.rest_width())).chain(tails), out)
}

/// As [`encode`], without the tails: these are bytes 0 and 1 of the floats.
///
/// # Errors
/// Internal, where zstd fails.
pub(crate) fn encode_upper(
    bytes: &[u8],
    kind: Kind,
    row: usize,
    mixed: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
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
