//! compressed-tensors, `pack-quantized`: what vLLM and transformers load.
//!
//! | tensor | type, shape | holds |
//! | --- | --- | --- |
//! | `X.weight_packed` | int32 `[out, ceil(in * bits / 32)]` | codes of a row, the lowest bits first, across words |
//! | `X.weight_scale` | float `[out, groups]` | scales |
//! | `X.weight_shape` | int64 `[2]` | `out, in` |
//! | `X.weight_zero_point` | int32 `[ceil(out * bits / 32), groups]` | asymmetric: zero points, packed along the outputs |
//! | `X.weight_g_idx` | int32 `[in]` | the group of each input, where columns were reordered |
//!
//! Codes and zero points are signed numbers plus `2^(bits - 1)`. Until 2026-05 widths that do not divide 32 (3, 5, 6, 7) had
//! `floor(32 / bits)` codes in a word; both are read, told apart by the number of words.

use seedpress_checkpoint::SavedTensor;
use seedpress_codec::DType;

use super::grid::{Grid, Zeros};
use super::parts::{Parts, Written, float_tensor, words_tensor};
use super::words::{code_at, put_code, word_count};
use crate::cursor::Why;
use crate::error::ExchangeError;

const FORMAT: &str = "compressed-tensors";

/// Reads a matrix. `widths` are those the config names.
pub fn read(parts: &Parts<'_>, widths: &[u8]) -> Result<Grid, Why> {
    let (rows, packed, words) = parts.words("weight_packed")?;
    let shape = parts.integers("weight_shape")?;
    let &[out, columns] = shape.as_slice() else { return Err("`weight_shape` is no pair".to_owned()) };
    if usize::try_from(out) != Ok(rows) {
        return Err(format!("`weight_shape` says {out} rows, {rows} are packed"));
    }
    let columns = usize::try_from(columns).map_err(|_| format!("`weight_shape` says {columns} columns"))?;
    let dense = |bits: u8| word_count(columns, bits) == Some(packed);
    let sparse = |bits: u8| !dense(bits) && columns.div_ceil(32 / usize::from(bits)) == packed;
    // Which width it is, its number of words says; which of the config's groups it is in would take its patterns to say.
    let fits = |candidates: &[u8]| -> Vec<(u8, bool)> {
        let dense = candidates.iter().filter(|&&bits| dense(bits)).map(|&bits| (bits, true));
        let sparse = candidates.iter().filter(|&&bits| sparse(bits)).map(|&bits| (bits, false));
        dense.chain(sparse).collect()
    };
    let mut found = fits(widths);
    found.dedup();
    if found.is_empty() {
        found = fits(&[4, 8, 3, 2, 5, 6, 7, 1]);
        found.truncate(1);
    }
    let (bits, dense) = match found.as_slice() {
        [one] => *one,
        [] => return Err(format!("{packed} words hold no row of {columns} codes of any width")),
        _ => return Err(format!("{packed} words may hold {columns} codes of several of the config's widths")),
    };
    let mut codes = Vec::with_capacity(rows * columns);
    for row in words.chunks_exact(packed.max(1)) {
        let per_word = 32 / usize::from(bits);
        codes.extend((0..columns).map(|index| match dense {
            true => code_at(|at| row[at], index, bits),
            false => code_at(|_| row[index / per_word], index % per_word, bits),
        }));
    }
    let scales = parts.floats("weight_scale")?;
    let groups = match parts.shape("weight_scale") {
        Some(&[_, groups]) if groups > 0 => groups,
        _ => 1,
    };
    // One scale for the whole tensor stands for every row.
    let scales = if scales.len() == 1 { vec![scales[0]; rows] } else { scales };
    let zeros = zeros(parts, rows, groups, bits)?;
    let order = parts.shape("weight_g_idx").map(|_| parts.integers("weight_g_idx")).transpose()?;
    let order = order.map(|order| order.into_iter().map(|group| u32::try_from(group).unwrap_or(u32::MAX)).collect());
    let grid = Grid { rows, columns, bits, group: columns.div_ceil(groups).max(1), codes, scales, zeros, order };
    grid.check()?;
    Ok(grid)
}

/// Zero points of `rows x groups`: plain bytes, or packed down the columns.
fn zeros(parts: &Parts<'_>, rows: usize, groups: usize, bits: u8) -> Result<Zeros, Why> {
    Ok(match parts.dtype("weight_zero_point") {
        None => Zeros::Symmetric,
        Some("I8") => {
            let offset = 1i64 << (bits - 1);
            let points = parts.integers("weight_zero_point")?;
            Zeros::Points(points.iter().map(|&point| (point + offset).clamp(0, 255) as u16).collect())
        }
        Some(_) => {
            let (height, width, words) = parts.words("weight_zero_point")?;
            if Some(height) != word_count(rows, bits) || width != groups {
                return Err(format!(
                    "`weight_zero_point` is [{height}, {width}], which fits no {rows} rows of {groups} groups"
                ));
            }
            let point = |at: usize| {
                let (row, group) = (at / groups, at % groups);
                u16::from(code_at(|word| words[word * width + group], row, bits))
            };
            Zeros::Points((0..rows * groups).map(point).collect())
        }
    })
}

/// The parts of a matrix; scales get the type `float`.
///
/// # Errors
/// What the layout cannot hold.
pub fn write(name: &str, grid: &Grid, float: DType) -> Result<Written, ExchangeError> {
    let refuse = |why: String, instead: &str| ExchangeError::CannotHold {
        format: FORMAT,
        tensor: name.to_owned(),
        why,
        instead: instead.to_owned(),
    };
    grid.check().map_err(ExchangeError::Model)?;
    if !grid.columns.is_multiple_of(grid.group) {
        let why = format!("groups of {} do not divide its {} inputs", grid.group, grid.columns);
        return Err(refuse(why, "choose a group that divides them, or 0 for a scale a row"));
    }
    let (rows, columns, bits, groups) = (grid.rows, grid.columns, grid.bits, grid.groups());
    let packed = word_count(columns, bits).unwrap_or(0);
    let mut words = vec![0u32; rows * packed];
    if packed > 0 {
        for (row, codes) in words.chunks_exact_mut(packed).zip(grid.codes.chunks_exact(columns)) {
            for (index, &code) in codes.iter().enumerate() {
                put_code(|at, value| row[at] |= value, index, bits, code);
            }
        }
    }
    let (scales, inexact) = float_tensor(float, vec![rows, groups], &grid.scales);
    let shape: Vec<u8> = [rows as i64, columns as i64].iter().flat_map(|dim| dim.to_le_bytes()).collect();
    let mut parts = vec![
        ("weight_packed", words_tensor("I32", vec![rows, packed], &words)),
        ("weight_scale", scales),
        ("weight_shape", SavedTensor { dtype: "I64".to_owned(), shape: vec![2], bytes: shape }),
    ];
    match &grid.zeros {
        Zeros::Symmetric => {}
        Zeros::Points(points) => {
            if let Some(point) = points.iter().find(|&&point| point >> bits != 0) {
                return Err(refuse(
                    format!("a zero point of {point} needs more than {bits} bits"),
                    "use a symmetric grid",
                ));
            }
            let height = word_count(rows, bits).unwrap_or(0);
            let mut words = vec![0u32; height * groups];
            for (at, &point) in points.iter().enumerate() {
                let (row, group) = (at / groups, at % groups);
                put_code(|word, value| words[word * groups + group] |= value, row, bits, point as u8);
            }
            parts.push(("weight_zero_point", words_tensor("I32", vec![height, groups], &words)));
        }
        Zeros::Biases(_) => return Err(refuse("its grid has biases, no zero points".to_owned(), "use `mlx`")),
    }
    if let Some(order) = &grid.order {
        let bytes = order.iter().flat_map(|group| (*group as i32).to_le_bytes()).collect();
        parts.push(("weight_g_idx", SavedTensor { dtype: "I32".to_owned(), shape: vec![columns], bytes }));
    }
    Ok(Written { parts, rounded: (inexact, grid.scales.len()) })
}
