//! From weights to segments.

use std::sync::Arc;

use rayon::prelude::*;
use seedpress_codec::packing::pack_bits;
use seedpress_codec::wire::Put;
use seedpress_codec::{EncodeContext, EncodeError, Encoded, Role, Segment, Symbols, TensorView};
use seedpress_lfsr_basis::cache::Cache;
use seedpress_lfsr_basis::subspace::{BATCH, Path};
use seedpress_lfsr_basis::{Sequence, Subspaces};

use crate::search::{Grid, search};
use crate::{Config, factors};

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

/// The grid the decoder will use.
pub fn grid(config: &Config, top: f32) -> Grid {
    let unit = f64::from((1u32 << (config.k.get() - 1)) - 1);
    let high = (1i16 << (config.coefficient_bits.get() - 1)) - 1;
    Grid { factors: factors(top).map(|factor| f64::from(factor) / unit), low: -high - 1, high }
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
    let path = Path::fastest();
    let batches: Vec<_> = tensor
        .values()
        .par_chunks(rows * BATCH)
        .map(|chunk| {
            context.check_cancelled()?;
            let mut weights: Vec<f64> = chunk.iter().map(|&w| f64::from(w)).collect();
            weights.resize(chunk.len().div_ceil(rows) * rows, 0.0);
            let choices = search(path, &table, &grid, &weights);
            context.advance(chunk.len());
            Ok(choices)
        })
        .collect::<Result<Vec<_>, EncodeError>>()?;
    let choices = batches.concat();
    let (k, bits) = (config.k.get() as u8, config.coefficient_bits.get() as u8);
    let mut params = vec![rows as u8, columns as u8, k, bits];
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
