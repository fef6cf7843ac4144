//! Blocks down the columns, for encoders that feed errors forward.
//!
//! The output error `tr(E H E^T)` treats all rows alike, so an orthogonal mix of the *rows* leaves it as it is: columns are rotated and
//! searched one after another, each aiming at what makes up for the errors of those before it ([`seedpress_calibration`]). Along rows,
//! as without calibration, a block would hold the columns that should make up for each other.
//!
//! # The stream
//!
//! Parameters and blocks are those of [`stream`](crate::stream) with these differences. The byte `columns` holds `L - 9` in bits 0-2; bit 3
//! says that there are scales of columns. Bit 6 of the kind now means scales of rows.
//!
//! | segment | role | |
//! | --- | --- | --- |
//! | row scales | scales | with bit 6: a byte a row, as those of blocks |
//! | column scales | scales | with bit 3: a byte a column |
//! | indices | indices | the panels |
//!
//! A *panel* is the least number of columns that hold [`LEAST`] (32) weights, one column where a column does, else the next number of which
//! the weights are a multiple of 8; the last panel is of what remains. Its `n` weights, column after column, are cut into `b = ceil(n / 256)`
//! blocks of `ceil(n / b)` weights, rounded up to a multiple of 8, the last one of fewer, `r`, coded as `r'` weights. A weight is its value
//! times the step, then times its column's factor; with bit 5 each column then goes through the inverse of [`Rotation`] for rows of as
//! many weights; last it is multiplied by its row's factor. All of it in binary32.

use rayon::prelude::*;
use seedpress_calibration::{Factor, InputStatistics, Order, Quantizer, sweep_columns};
use seedpress_codec::power::PowerOfTwo;
use seedpress_codec::{
    DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Role, Segment, Symbols, TensorView,
};
use seedpress_entropy::binary::log2;
use seedpress_matrix::{transpose, transpose_into};
use seedpress_rotation::{Rotation, SIDE};

use crate::block::{Block, HALF_STEP, SPREAD, bounded, factor, pack, padded, scale_byte};
use crate::code::{DEVIATION, value};
use crate::header::{Header, Layout, Settings};
use crate::search::Search;

/// Weights of a panel at least, some lengths of a state: with fewer the search gains nothing over single weights. Columns of a panel make up
/// for no errors of each other, so more is worse where rows are few (10 rows of 150 columns at 1 bit: an output error of .20 with 32
/// weights, .35 with 128).
const LEAST: usize = 32;

/// What is tried, in this order, as additions to the diagonal of the second moment, in parts of its mean, until weights come back nearer
/// than zeros would: errors in directions of which the inputs say little may outgrow them.
const DAMPING: [f64; 3] = [0.01, 0.1, 1.0];

/// What a scale of 8 bits must save at least, in bits of all weights it serves.
const SCALE_BITS: f64 = 9.0;

/// Rows this much below all others, in energy, would be lost in their noise, `2^-12`, and get scales where these are a sixteenth of a bit
/// a weight or less.
const FAINT: f64 = 1.0 / 4096.0;
const FAINT_COLUMNS: usize = 128;

/// Columns of a few hundred weights that are all alike differ by less than this, in squared energy.
const CHANCE: f64 = 1.4;

/// How columns are cut.
#[derive(Clone, Copy)]
struct Panels {
    rows: usize,
    columns: usize,
    /// Columns of a panel.
    width: usize,
    settings: Settings,
}

impl Panels {
    fn new(rows: usize, columns: usize, settings: Settings) -> Self {
        let least = LEAST.div_ceil(rows.max(1));
        let whole = |width: &usize| (width * rows).is_multiple_of(8);
        let width = if least == 1 { 1 } else { (least..least + 8).find(whole).unwrap_or(least) };
        Self { rows, columns, width: width.min(columns.max(1)), settings }
    }

    /// The weights of the blocks of a panel of so many.
    fn blocks(self, count: usize) -> (usize, usize) {
        let blocks = count.div_ceil(SIDE).max(1);
        (count.div_ceil(blocks).next_multiple_of(8), blocks)
    }

    /// Bytes of a panel of so many weights.
    fn bytes(self, count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        let (length, blocks) = self.blocks(count);
        let last = padded(count - (blocks - 1) * length, self.settings);
        ((blocks - 1) * length + last) / 8 * self.settings.bits as usize
    }

    /// Bytes of all panels; `None` where they are more than can be.
    fn all_bytes(self) -> Option<usize> {
        let (whole, rest) = (self.columns / self.width, self.columns % self.width);
        self.bytes(self.width * self.rows).checked_mul(whole)?.checked_add(self.bytes(rest * self.rows))
    }
}

/// Compresses a tensor; `None` where the statistics are of other inputs, hold no second moment or mislead, or there is nothing but zeros.
///
/// # Errors
/// Cancellation.
pub(crate) fn encode(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    settings: Settings,
    statistics: &InputStatistics,
) -> Result<Option<Encoded>, EncodeError> {
    let (rows, columns) = (tensor.rows(), tensor.columns());
    let largest = tensor.values().iter().fold(0f32, |largest, v| largest.max(v.abs()));
    if statistics.columns() != columns || statistics.second_moment().is_none() || largest == 0.0 {
        return Ok(None);
    }
    let ordinary = (1e-12..1e12).contains(&largest);
    let power = if ordinary { PowerOfTwo::ONE } else { PowerOfTwo::normalising(tensor.values(), 0) };
    let mut values = power.down_all(tensor.values());
    let row_scales = scale_rows(&mut values, columns);
    let mut turned = transpose(&values, rows, columns);
    drop(values);
    let settings = Settings { seed: settings.seed.filter(|_| rows > 1), ..settings };
    if let Some(seed) = settings.seed {
        Rotation::new(seed, rows).apply(&mut turned);
    }
    let square = |values: &[f32]| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    let energy = square(&turned);
    let deviation = (energy / turned.len() as f64).sqrt();
    let unit = SPREAD[settings.bits as usize - 1] / f64::from(DEVIATION);
    let panels = Panels::new(rows, columns, settings);
    for damping in DAMPING {
        let Some(factor) = Factor::new(statistics, damping, Order::Natural) else { return Ok(None) };
        let scaled = columns_pay(&turned, factor.diagonal(), rows, deviation);
        let mut coder = Coder {
            panels,
            context,
            deviation,
            unit: unit as f32,
            step: ((deviation * unit) as f32).max(f32::MIN_POSITIVE),
            scales: if scaled { Some(Vec::with_capacity(columns)) } else { None },
            stream: Vec::new(),
            cancelled: None,
        };
        let chosen = sweep_columns(&factor, &turned, panels.width, &mut coder);
        if let Some(error) = coder.cancelled {
            return Err(error);
        }
        let errors: Vec<f32> = turned.iter().zip(&chosen).map(|(w, q)| w - q).collect();
        if square(&errors) < energy {
            context.advance(tensor.len());
            let header = Header {
                settings,
                layout: Layout::Columns { scaled },
                step: coder.step,
                scaled: row_scales.is_some(),
                power,
            };
            return Ok(Some(assemble(&header, [row_scales, coder.scales], coder.stream, tensor.len())));
        }
    }
    Ok(None)
}

fn assemble(header: &Header, scales: [Option<Vec<u8>>; 2], stream: Vec<u8>, count: usize) -> Encoded {
    let scales = scales.into_iter().flatten();
    let mut segments: Vec<Segment> =
        scales.map(|bytes| Segment::new(Role::Scales, Symbols::bits(8, bytes.len(), 0), bytes)).collect();
    let symbols = Symbols { count: count as u64, ..Symbols::OPAQUE };
    segments.push(Segment::new(Role::Indices, symbols, stream));
    Encoded::single(header.to_bytes(), segments)
}

/// Divides rows by scales of their own, where these pay or a row would be lost without.
fn scale_rows(values: &mut [f32], columns: usize) -> Option<Vec<u8>> {
    let energies: Vec<f64> =
        values.chunks(columns).map(|row| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum()).collect();
    let mean = energies.iter().sum::<f64>() / energies.len() as f64;
    if energies.len() < 2 || mean == 0.0 {
        return None;
    }
    let ratios = || energies.iter().map(|energy| energy / mean);
    // Energy-weighted logarithm of energy, two of which are a bit of every weight.
    let saved = 0.5 * ratios().map(|ratio| ratio * log2(ratio.max(1e-30))).sum::<f64>() / energies.len() as f64;
    let faint = columns >= FAINT_COLUMNS && ratios().any(|ratio| ratio > 0.0 && ratio < FAINT);
    if saved * columns as f64 <= SCALE_BITS && !faint {
        return None;
    }
    let bytes: Vec<u8> = ratios().map(|ratio| scale_byte(ratio.sqrt() / HALF_STEP)).collect();
    for (row, &byte) in values.chunks_mut(columns).zip(&bytes) {
        let inverse = inverse(factor(byte));
        row.iter_mut().for_each(|value| *value *= inverse);
    }
    Some(bytes)
}

fn inverse(factor: f32) -> f32 {
    if factor > 0.0 { 1.0 / factor } else { 0.0 }
}

/// Whether scales of columns pay: with one scale the error of every column is that of the mean column, or more where it is larger; with
/// scales it follows the column's energy.
fn columns_pay(turned: &[f32], importance: &[f64], rows: usize, deviation: f64) -> bool {
    let (mut with, mut without) = (0.0, 0.0);
    for (column, importance) in turned.chunks_exact(rows).zip(importance) {
        let square = column.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / rows as f64;
        let ratio = square / (deviation * deviation);
        with += importance * ratio;
        without += importance * (ratio * ratio / CHANCE).max(1.0);
    }
    let saved = if with > 0.0 { 0.5 * log2((without / with).max(1e-300)) } else { 0.0 };
    saved * rows as f64 > SCALE_BITS
}

/// Searches panel after panel.
struct Coder<'a> {
    panels: Panels,
    context: &'a EncodeContext<'a>,
    /// Of all weights.
    deviation: f64,
    unit: f32,
    step: f32,
    /// Of the columns so far.
    scales: Option<Vec<u8>>,
    stream: Vec<u8>,
    cancelled: Option<EncodeError>,
}

impl Quantizer for Coder<'_> {
    fn quantize(&mut self, _: &[usize], aims: &[f32], out: &mut [f32]) {
        self.cancelled = self.cancelled.take().or(self.context.check_cancelled().err());
        if self.cancelled.is_some() {
            return;
        }
        let Settings { bits, state_bits, .. } = self.panels.settings;
        let mut samples = Vec::with_capacity(aims.len());
        let mut factors = Vec::with_capacity(self.panels.width);
        for column in aims.chunks_exact(self.panels.rows) {
            let own = match &mut self.scales {
                None => 1.0,
                Some(scales) => {
                    let square = column.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / column.len() as f64;
                    let byte = scale_byte(square.sqrt() / self.deviation / HALF_STEP);
                    scales.push(byte);
                    factor(byte)
                }
            };
            let inverse = (f64::from(inverse(own)) / self.deviation) as f32;
            samples.extend(column.iter().map(|aim| aim * inverse));
            factors.push(own);
        }
        let (length, _) = self.panels.blocks(samples.len());
        let found: Vec<(Vec<u8>, Vec<u16>)> = samples
            .par_chunks(length)
            .map_init(
                || Search::new(state_bits, bits, self.unit),
                |search, samples| {
                    // What a last block is padded with decodes to no weight: any value will do.
                    let mut whole = samples.to_vec();
                    whole.resize(padded(samples.len(), self.panels.settings), f32::NAN);
                    let mut states = search.tail_biting(&whole);
                    let bytes = pack(&states, bits);
                    states.truncate(samples.len());
                    (bytes, states)
                },
            )
            .collect();
        let states = found.iter().flat_map(|block| &block.1);
        for (at, (out, &state)) in out.iter_mut().zip(states).enumerate() {
            let plain = bounded(value(u32::from(state)) as f32 * self.step);
            *out = bounded(plain * factors[at / self.panels.rows]);
        }
        found.iter().for_each(|block| self.stream.extend(&block.0));
    }
}

/// Reconstructs a tensor from segments behind a header of this layout.
///
/// # Errors
/// Truncated or corrupt, or the limit.
pub(crate) fn decode(
    header: &Header,
    scaled: bool,
    encoded: &EncodedView<'_>,
    out: &mut [f32],
    limits: &mut Limits,
) -> Result<(), DecodeError> {
    let (rows, columns) = (encoded.rows(), encoded.columns());
    let panels = Panels::new(rows, columns, header.settings);
    let length = panels.all_bytes().ok_or(DecodeError::corrupt("block count overflows"))?;
    let mut segments = encoded.segments(0)?;
    let row_scales = if header.scaled { segments.exact(Role::Scales, rows)? } else { &[] };
    let column_scales = if scaled { segments.exact(Role::Scales, columns)? } else { &[] };
    let stream = segments.exact(Role::Indices, length)?;
    segments.finish()?;
    let mut turned: Vec<f32> = limits.vec(out.len())?;
    turned.resize(out.len(), 0.0);
    let (whole, bytes) = (panels.width * rows, panels.bytes(panels.width * rows));
    turned.par_chunks_mut(whole.max(1)).enumerate().for_each(|(panel, weights)| {
        panels.decode(&stream[panel * bytes..], header.step, weights);
        for (column, weights) in (panel * panels.width..).zip(weights.chunks_mut(rows.max(1))) {
            if let Some(&byte) = column_scales.get(column) {
                weights.iter_mut().for_each(|weight| *weight = bounded(*weight * factor(byte)));
            }
        }
    });
    if let Some(seed) = header.settings.seed {
        Rotation::new(seed, rows).undo(&mut turned);
    }
    transpose_into(&turned, columns, rows, out);
    for (row, &byte) in out.chunks_mut(columns.max(1)).zip(row_scales) {
        row.iter_mut().for_each(|weight| *weight = bounded(*weight * factor(byte)));
    }
    header.power.up_all(out);
    Ok(())
}

impl Panels {
    /// The weights of a panel, before scales.
    fn decode(self, bytes: &[u8], step: f32, out: &mut [f32]) {
        let Settings { bits, state_bits, .. } = self.settings;
        let (length, _) = self.blocks(out.len());
        let mut rest = bytes;
        for out in out.chunks_mut(length) {
            let coded = padded(out.len(), self.settings);
            let (own, others) = rest.split_at(coded / 8 * bits as usize);
            rest = others;
            Block { bytes: own, state_bits, scale: step, seed: None, index: 0 }.decode(bits, out);
        }
    }
}
