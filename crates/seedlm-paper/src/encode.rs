//! From weights to segments.

use std::sync::Arc;

use rayon::prelude::*;
use seedpress_codec::packing::pack_bits;
use seedpress_codec::wire::Put;
use seedpress_codec::{EncodeContext, EncodeError, Encoded, Role, Segment, Symbols, TensorView};
use seedpress_lfsr_basis::cache::Cache;
use seedpress_lfsr_basis::subspace::BATCH;
use seedpress_lfsr_basis::{Emphasis, Sequence, Subspaces};
use seedpress_simd::Level;

use crate::config::{Config, Hessian};
use crate::fed;
use crate::grid::grid;
use crate::search::{Choice, Grid, search};

static TABLES: Cache<(u32, usize, usize, usize), Subspaces> = Cache::new(64 << 20);

/// The windows a configuration searches, built once a process.
///
/// # Errors
/// None for a legal configuration.
pub fn windows(config: &Config) -> Result<Arc<Subspaces>, EncodeError> {
    let (width, rows, columns) = (config.k.get() as u32, config.block.size(), config.coefficients.size());
    let sequence = Sequence::new(width, None, 1).map_err(|error| EncodeError::Internal(error.to_string()))?;
    let count = config.candidates.size().min(sequence.len());
    let windows = if count == 0 { sequence.len() } else { count };
    let bytes = Subspaces::memory(windows, rows, columns);
    Ok(TABLES.get((width, rows, columns, windows), bytes, || Subspaces::new(sequence, rows, columns, windows, None)))
}

/// Encodes a tensor.
///
/// # Errors
/// Cancellation.
pub fn encode(config: &Config, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
    let table = windows(config)?;
    let (rows, columns) = (config.block.size(), config.coefficients.size());
    let largest = tensor.values().iter().fold(0f32, |largest, value| largest.max(value.abs()));
    // The largest coefficient at the largest exponent reaches four times the largest weight: room for windows whose columns cancel,
    // out of 16 octaves in all.
    let reach = 2f32.powi(config.coefficient_bits.get() as i32 - 1);
    let top = (largest / reach * 4.0).min(f32::MAX).max(if largest > 0.0 { f32::from_bits(1) } else { 0.0 });
    let grid = grid(config, top);
    let fed = match config.hessian {
        Hessian::None => None,
        Hessian::Full => fed::choices(config, &table, top, tensor, context)?,
    };
    let choices = match (fed, emphasis(config, tensor, context)) {
        (Some(choices), _) => choices,
        (None, Some(emphasis)) => weighted(&table, &grid, tensor, &emphasis, context)?,
        (None, None) => plain(&table, &grid, tensor.values(), context)?,
    };
    let (k, bits) = (config.k.get() as u8, config.coefficient_bits.get() as u8);
    let mut params = vec![rows as u8, columns as u8, k, bits, config.exponents_per_octave.get() as u8];
    params.put_f32(top);
    let mask = (1u32 << bits) - 1;
    let seeds = pack_bits(choices.iter().map(|choice| table.seed(choice.window as usize)), k);
    let exponents = pack_bits(choices.iter().map(|choice| u32::from(choice.exponent)), 4);
    let coefficients = choices.iter().flat_map(|choice| &choice.coefficients[..columns]).map(|&q| q as u32 & mask);
    let coefficients = pack_bits(coefficients, bits);
    let across = if tensor.columns().is_multiple_of(rows) { tensor.columns() / rows } else { 0 };
    let count = choices.len();
    Ok(Encoded::single(
        params,
        vec![
            Segment::new(Role::Seeds, Symbols::bits(k, count, across), seeds),
            Segment::new(Role::Exponents, Symbols::bits(4, count, across), exponents),
            Segment::new(Role::Coefficients, Symbols::bits(bits, count * columns, across * columns), coefficients),
        ],
    ))
}

/// The choices of consecutive blocks; the last is padded with zeros. A block that has been before has the same choice: constant, binary
/// and pruned tensors consist of few.
fn plain(
    table: &Subspaces,
    grid: &Grid,
    values: &[f32],
    context: &EncodeContext<'_>,
) -> Result<Vec<Choice>, EncodeError> {
    let rows = table.rows();
    let (distinct, place) = distinct(values, rows);
    let batches = distinct.par_chunks(BATCH).map(|blocks| {
        context.check_cancelled()?;
        let mut weights = Vec::with_capacity(blocks.len() * rows);
        for &block in blocks {
            weights.extend(values[block * rows..].iter().take(rows).map(|&w| f64::from(w)));
            weights.resize(weights.len().next_multiple_of(rows), 0.0);
        }
        let choices = search(Level::fastest(), table, grid, &weights);
        context.advance((blocks.len() * rows).min(values.len()));
        Ok(choices)
    });
    let choices = batches.collect::<Result<Vec<_>, EncodeError>>()?.concat();
    context.advance((place.len() - distinct.len()) * rows);
    Ok(place.into_iter().map(|at| choices[at]).collect())
}

/// The first of every kind of block, by its number, and for each block which of these it is like.
fn distinct(values: &[f32], rows: usize) -> (Vec<usize>, Vec<usize>) {
    let bits = |&block: &usize| values[block * rows..].iter().take(rows).map(|value| value.to_bits());
    let mut sorted: Vec<usize> = (0..values.len().div_ceil(rows)).collect();
    // Stable: the first of a kind stays its first.
    sorted.par_sort_by(|a, b| bits(a).cmp(bits(b)));
    let mut first = vec![0; sorted.len()];
    for alike in sorted.chunk_by(|a, b| bits(a).eq(bits(b))) {
        alike.iter().for_each(|&block| first[block] = alike[0]);
    }
    let (mut distinct, mut place) = (Vec::new(), vec![0; first.len()]);
    for block in 0..first.len() {
        if first[block] == block {
            place[block] = distinct.len();
            distinct.push(block);
        } else {
            place[block] = place[first[block]];
        }
    }
    (distinct, place)
}

/// The factor by which the error of every column counts, where the configuration asks for one and the statistics fit.
fn emphasis(config: &Config, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Option<Vec<f64>> {
    let columns = tensor.columns();
    let calibration = context.calibration.filter(|_| config.weighted)?;
    let squares = calibration.mean_square();
    if squares.len() != columns || !columns.is_multiple_of(config.block.size()) {
        return None;
    }
    // Channels that were silent may speak later: they count a little.
    let floor = squares.iter().map(|&square| f64::from(square)).sum::<f64>() / columns as f64 * 1e-3;
    let weights = || squares.iter().map(|&square| f64::from(square).max(floor).sqrt());
    (floor > 0.0 && weights().all(f64::is_finite)).then(|| weights().collect())
}

/// The choices where columns count differently: the blocks above one another share a table.
fn weighted(
    table: &Subspaces,
    grid: &Grid,
    tensor: &TensorView<'_>,
    emphasis: &[f64],
    context: &EncodeContext<'_>,
) -> Result<Vec<Choice>, EncodeError> {
    let rows = table.rows();
    let across = emphasis.len() / rows;
    let stacks = emphasis.par_chunks_exact(rows).enumerate().map(|(stack, emphasis)| {
        context.check_cancelled()?;
        let table = table.emphasised(Emphasis::of_rows(emphasis.to_vec()));
        let mut choices = Vec::with_capacity(tensor.rows());
        for lines in tensor.values().chunks(emphasis.len() * across * BATCH) {
            context.check_cancelled()?;
            let blocks = lines.chunks_exact(rows).skip(stack).step_by(across);
            let weights: Vec<f64> = blocks.flatten().map(|&w| f64::from(w)).collect();
            choices.extend(search(Level::fastest(), &table, grid, &weights));
            context.advance(weights.len());
        }
        Ok(choices)
    });
    let stacks = stacks.collect::<Result<Vec<_>, EncodeError>>()?;
    Ok((0..tensor.rows()).flat_map(|row| stacks.iter().map(move |stack| stack[row])).collect())
}
