//! MLX, affine: what mlx and mlx-lm load.
//!
//! | tensor | type, shape | holds |
//! | --- | --- | --- |
//! | `X.weight` | uint32 `[out, in * bits / 32]` | codes of a row, the lowest bits first, across words |
//! | `X.scales`, `X.biases` | float `[out, groups]` | `weight = scale * code + bias` |

use seedpress_codec::DType;

use super::grid::{Grid, Zeros};
use super::parts::{Parts, Written, float_tensor, words_tensor};
use super::words::{code_at, put_code, word_count};
use crate::cursor::Why;
use crate::error::ExchangeError;

const FORMAT: &str = "mlx";
/// Widths MLX has kernels for.
const WIDTHS: &[u8] = &[2, 3, 4, 5, 6, 8];
/// Group sizes MLX has kernels for.
const GROUPS: &[usize] = &[32, 64, 128];

/// Reads a matrix; `bits` is what the config says of it.
pub fn read(parts: &Parts<'_>, bits: u8) -> Result<Grid, Why> {
    let (rows, packed, words) = parts.words("weight")?;
    let columns = packed.checked_mul(32).map(|bits_of_row| bits_of_row / usize::from(bits.max(1))).unwrap_or(0);
    if !(1..=8).contains(&bits) || word_count(columns, bits) != Some(packed) {
        return Err(format!("{packed} words hold no row of {bits}-bit codes"));
    }
    let Some(&[outs, groups]) = parts.shape("scales") else { return Err("`scales` is no matrix".to_owned()) };
    if outs != rows || groups == 0 || columns % groups != 0 {
        return Err(format!("`scales` is [{outs}, {groups}] for {rows} rows of {columns} codes of {bits} bits"));
    }
    let mut codes = Vec::with_capacity(rows * columns);
    for row in words.chunks_exact(packed.max(1)) {
        codes.extend((0..columns).map(|index| code_at(|at| row[at], index, bits)));
    }
    let grid = Grid {
        rows,
        columns,
        bits,
        group: (columns / groups).max(1),
        codes,
        scales: parts.floats("scales")?,
        zeros: Zeros::Biases(parts.floats("biases")?),
        order: None,
    };
    grid.check()?;
    Ok(grid)
}

/// The parts of a matrix; scales and biases get the type `float`.
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
    let (rows, columns, bits, groups) = (grid.rows, grid.columns, grid.bits, grid.groups());
    if !WIDTHS.contains(&bits) {
        return Err(refuse(format!("it knows 2, 3, 4, 5, 6 and 8 bits, not {bits}"), "choose one of these"));
    }
    if !GROUPS.contains(&grid.group) || columns % grid.group != 0 || grid.order.is_some() {
        let why = format!(
            "groups of {} for {columns} inputs; it knows groups of 32, 64 and 128 that divide them",
            grid.group
        );
        return Err(refuse(why, "choose such a group, or leave it as it is (--exclude)"));
    }
    let packed = word_count(columns, bits).unwrap_or(0);
    let mut words = vec![0u32; rows * packed];
    for (row, codes) in words.chunks_exact_mut(packed.max(1)).zip(grid.codes.chunks_exact(columns)) {
        for (index, &code) in codes.iter().enumerate() {
            put_code(|at, value| row[at] |= value, index, bits, code);
        }
    }
    let (scales, mut inexact) = float_tensor(float, vec![rows, groups], &grid.scales);
    let biases: Vec<f32> = match &grid.zeros {
        Zeros::Biases(biases) => biases.clone(),
        _ => {
            grid.scales.iter().enumerate().map(|(at, scale)| -scale * f32::from(grid.point(at).unwrap_or(0))).collect()
        }
    };
    let (biases, rounded) = float_tensor(float, vec![rows, groups], &biases);
    inexact += rounded;
    let parts =
        vec![("weight", words_tensor("U32", vec![rows, packed], &words)), ("scales", scales), ("biases", biases)];
    Ok(Written { parts, rounded: (inexact, 2 * grid.scales.len()) })
}
