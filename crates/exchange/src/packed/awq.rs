//! AWQ, `gemm`: what AutoAWQ, vLLM and GPTQModel load. 4 bits only.
//!
//! | tensor | type, shape | holds |
//! | --- | --- | --- |
//! | `X.qweight` | int32 `[in, out / 8]` | eight outputs in a word: nibble `i` is output [`ORDER`]`[i]` of the eight |
//! | `X.qzeros` | int32 `[groups, out / 8]` | zero points in the same order |
//! | `X.scales` | binary16 `[groups, out]` | scales |

use seedpress_codec::DType;

use super::grid::{Grid, Zeros};
use super::parts::{Parts, Written, float_tensor, transposed, words_tensor};
use crate::cursor::Why;
use crate::error::ExchangeError;

const FORMAT: &str = "awq";

/// Which output of eight a nibble holds.
pub const ORDER: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

/// `[height, outs]` nibbles, row-major, from `[height, outs / 8]` words.
fn unpack(words: &[u32], height: usize, outs: usize) -> Vec<u8> {
    let mut nibbles = vec![0u8; height * outs];
    for (nibbles, word) in nibbles.chunks_exact_mut(8).zip(words) {
        for (place, output) in ORDER.into_iter().enumerate() {
            nibbles[output] = (word >> (4 * place) & 15) as u8;
        }
    }
    nibbles
}

fn pack(nibbles: &[u8]) -> Vec<u32> {
    let word = |eight: &[u8]| {
        ORDER
            .into_iter()
            .enumerate()
            .fold(0, |word, (place, output)| word | u32::from(eight[output] & 15) << (4 * place))
    };
    nibbles.chunks_exact(8).map(word).collect()
}

/// Reads a matrix.
pub fn read(parts: &Parts<'_>) -> Result<Grid, Why> {
    let (columns, width, words) = parts.words("qweight")?;
    let rows = width.checked_mul(8).ok_or("`qweight` is too wide")?;
    let Some(&[groups, outs]) = parts.shape("scales") else { return Err("`scales` is no matrix".to_owned()) };
    if outs != rows || groups == 0 {
        return Err(format!("`scales` is [{groups}, {outs}] for {rows} outputs"));
    }
    let (zero_groups, zero_width, zero_words) = parts.words("qzeros")?;
    if (zero_groups, zero_width) != (groups, width) {
        return Err(format!("`qzeros` is [{zero_groups}, {zero_width}] for {groups} groups of {rows} outputs"));
    }
    let codes = transposed(&unpack(&words, columns, rows), columns, rows);
    let points = transposed(&unpack(&zero_words, groups, rows), groups, rows);
    let grid = Grid {
        rows,
        columns,
        bits: 4,
        group: columns.div_ceil(groups).max(1),
        codes,
        scales: transposed(&parts.floats("scales")?, groups, rows),
        zeros: Zeros::Points(points.into_iter().map(u16::from).collect()),
        order: None,
    };
    grid.check()?;
    Ok(grid)
}

/// The parts of a matrix.
///
/// # Errors
/// What the layout cannot hold.
pub fn write(name: &str, grid: &Grid) -> Result<Written, ExchangeError> {
    let refuse = |why: String, instead: &str| ExchangeError::CannotHold {
        format: FORMAT,
        tensor: name.to_owned(),
        why,
        instead: instead.to_owned(),
    };
    grid.check().map_err(ExchangeError::Model)?;
    let (rows, columns, groups) = (grid.rows, grid.columns, grid.groups());
    if grid.bits != 4 {
        return Err(refuse(format!("it knows 4 bits only, not {}", grid.bits), "use `gptq` or `compressed-tensors`"));
    }
    if rows % 8 != 0 || columns % grid.group != 0 || grid.order.is_some() {
        let why = format!(
            "{rows} outputs must be a multiple of 8, and groups of {} divide {columns} inputs in order",
            grid.group
        );
        return Err(refuse(why, "leave it as it is (--exclude), or use `compressed-tensors`"));
    }
    let point = |at: usize| grid.point(at).filter(|&point| point < 16);
    let points: Option<Vec<u8>> = (0..rows * groups).map(|at| point(at).map(|point| point as u8)).collect();
    let points = points.ok_or_else(|| refuse("its zero points are not 0 to 15".to_owned(), "use `mlx`"))?;
    let (scales, inexact) = float_tensor(DType::F16, vec![groups, rows], &transposed(&grid.scales, rows, groups));
    let parts = vec![
        ("qweight", words_tensor("I32", vec![columns, rows / 8], &pack(&transposed(&grid.codes, rows, columns)))),
        ("qzeros", words_tensor("I32", vec![groups, rows / 8], &pack(&transposed(&points, rows, groups)))),
        ("scales", scales),
    ];
    Ok(Written { parts, rounded: (inexact, grid.scales.len()) })
}
