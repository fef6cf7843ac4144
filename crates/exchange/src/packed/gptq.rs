//! GPTQ: what AutoGPTQ, GPTQModel and vLLM load.
//!
//! | tensor | type, shape | holds |
//! | --- | --- | --- |
//! | `X.qweight` | int32 `[in * bits / 32, out]` | codes down a column, the lowest bits first (3 bits: 32 codes in 3 words) |
//! | `X.qzeros` | int32 `[groups, out * bits / 32]` | zero points along the outputs |
//! | `X.scales` | binary16 `[groups, out]` | scales |
//! | `X.g_idx` | int32 `[in]` | the group of each input |
//!
//! The first version stores a zero point minus one, so it has none for 0; the second (`gptq_v2`) stores it as it is.

use seedpress_checkpoint::SavedTensor;
use seedpress_codec::DType;

use super::grid::{Grid, Zeros};
use super::parts::{Parts, Written, float_tensor, transposed, words_tensor};
use super::words::{code_at, put_code, word_count};
use crate::cursor::Why;
use crate::error::ExchangeError;

const FORMAT: &str = "gptq";

/// Which zero points are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Minus one.
    V1,
    /// As they are.
    V2,
}

/// Reads a matrix; `bits` is what the config says.
pub fn read(parts: &Parts<'_>, bits: u8, version: Version) -> Result<Grid, Why> {
    let (height, rows, words) = parts.words("qweight")?;
    let order = parts.shape("g_idx").map(|_| parts.integers("g_idx")).transpose()?;
    let columns = match &order {
        Some(order) => order.len(),
        None => height * 32 / usize::from(bits),
    };
    // Layers may differ from the config: the number of words decides.
    let bits = if columns > 0 && height * 32 % columns == 0 { (height * 32 / columns).min(255) as u8 } else { bits };
    if !(1..=8).contains(&bits) || word_count(columns, bits) != Some(height) {
        return Err(format!("{height} words a column hold no {columns} codes of {bits} bits"));
    }
    let Some(&[groups, outs]) = parts.shape("scales") else { return Err("`scales` is no matrix".to_owned()) };
    if outs != rows || groups == 0 {
        return Err(format!("`scales` is [{groups}, {outs}] for {rows} outputs"));
    }
    let by_column: Vec<u8> =
        (0..columns * rows).map(|at| code_at(|word| words[word * rows + at % rows], at / rows, bits)).collect();
    let codes = transposed(&by_column, columns, rows);
    let scales = transposed(&parts.floats("scales")?, groups, rows);
    let (zero_groups, width, zero_words) = parts.words("qzeros")?;
    if zero_groups != groups || word_count(rows, bits) != Some(width) {
        return Err(format!("`qzeros` is [{zero_groups}, {width}] for {groups} groups of {rows} outputs"));
    }
    let shift = u16::from(version == Version::V1);
    let point = |at: usize| {
        let (row, group) = (at / groups, at % groups);
        u16::from(code_at(|word| zero_words[group * width + word], row, bits)) + shift
    };
    let zeros = Zeros::Points((0..rows * groups).map(point).collect());
    let group = columns.div_ceil(groups).max(1);
    let order =
        order.map(|order| order.into_iter().map(|g| u32::try_from(g).unwrap_or(u32::MAX)).collect::<Vec<u32>>());
    let in_order = |order: &Vec<u32>| order.iter().enumerate().all(|(column, &g)| g as usize == column / group);
    let order = order.filter(|order| !in_order(order));
    let grid = Grid { rows, columns, bits, group, codes, scales, zeros, order };
    grid.check()?;
    Ok(grid)
}

/// The parts of a matrix.
///
/// # Errors
/// What the layout cannot hold.
pub fn write(name: &str, grid: &Grid, version: Version) -> Result<Written, ExchangeError> {
    let refuse = |why: String, instead: &str| ExchangeError::CannotHold {
        format: FORMAT,
        tensor: name.to_owned(),
        why,
        instead: instead.to_owned(),
    };
    grid.check().map_err(ExchangeError::Model)?;
    let (rows, columns, bits, groups) = (grid.rows, grid.columns, grid.bits, grid.groups());
    if !matches!(bits, 2 | 3 | 4 | 8) {
        return Err(refuse(
            format!("it knows 2, 3, 4 and 8 bits, not {bits}"),
            "use `compressed-tensors`, which has 5, 6 and 7 too",
        ));
    }
    if columns % 32 != 0 || rows % 32 != 0 {
        let why = format!("its {rows} outputs and {columns} inputs must both be multiples of 32");
        return Err(refuse(why, "leave it as it is (--exclude), or use `compressed-tensors`"));
    }
    if columns % grid.group != 0 {
        let why = format!("groups of {} do not divide its {columns} inputs", grid.group);
        return Err(refuse(why, "choose a group that divides them, or 0 for a scale a row"));
    }
    let height = columns / 32 * usize::from(bits);
    let mut words = vec![0u32; height * rows];
    for (row, codes) in grid.codes.chunks_exact(columns).enumerate() {
        for (column, &code) in codes.iter().enumerate() {
            put_code(|word, value| words[word * rows + row] |= value, column, bits, code);
        }
    }
    let width = rows / 32 * usize::from(bits);
    let mut zeros = vec![0u32; groups * width];
    for at in 0..rows * groups {
        let (row, group) = (at / groups, at % groups);
        let Some(point) = grid.point(at) else {
            return Err(refuse("its grid has biases, no zero points".to_owned(), "use `mlx`"));
        };
        let stored = point.checked_sub(u16::from(version == Version::V1));
        let stored = stored.ok_or_else(|| {
            refuse("a zero point of 0 has no place in version 1".to_owned(), "use `gptq-v2`, or a symmetric grid")
        })?;
        if stored >> bits != 0 {
            return Err(refuse(format!("a zero point of {point} needs more than {bits} bits"), "use a symmetric grid"));
        }
        put_code(|word, value| zeros[group * width + word] |= value, row, bits, stored as u8);
    }
    let (scales, inexact) = float_tensor(DType::F16, vec![groups, rows], &transposed(&grid.scales, rows, groups));
    let order: Vec<u8> = (0..columns)
        .map(|column| grid.order.as_ref().map_or((column / grid.group) as i32, |order| order[column] as i32))
        .flat_map(i32::to_le_bytes)
        .collect();
    let parts = vec![
        ("qweight", words_tensor("I32", vec![height, rows], &words)),
        ("qzeros", words_tensor("I32", vec![groups, width], &zeros)),
        ("scales", scales),
        ("g_idx", SavedTensor { dtype: "I32".to_owned(), shape: vec![columns], bytes: order }),
    ];
    Ok(Written { parts, rounded: (inexact, grid.scales.len()) })
}
