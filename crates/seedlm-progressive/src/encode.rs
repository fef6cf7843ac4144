//! From weights to layers.
//!
//! 1. The mean and a power of two are taken out, the gain track is chosen.
//! 2. A pilot, a sample of blocks, finds how loud the residual is before each stage of *this* tensor, which sets the
//!    stages' gains.
//! 3. Every block is coded on its own by a beam search over the stages (`beam`); or, with calibration data, one column of
//!    blocks after another, each making up for the errors of those before it (`fed`).
//! 4. Least squares over the whole tensor gives each prefix its multipliers.

use std::sync::Arc;

use rayon::prelude::*;
use seedpress_codec::packing::pack_bits;
use seedpress_codec::wire::Put;
use seedpress_codec::{EncodeContext, EncodeError, Encoded, Layer, Role, Segment, Symbols, TensorView};
use seedpress_simd::Level;

use crate::beam::{Coder, Codes, PILOT, TASK};
use crate::block::{Block, Counts, energy};
use crate::codebook::Codebook;
use crate::config::{Config, Hessian, Shape};
use crate::decode::power;
use crate::fed::{self, OutputForm, Weights};
use crate::gain;
use crate::multipliers::{multipliers, under_form};
use crate::params::Params;
use crate::search::{EVEN, MOST};

/// Compresses a tensor.
///
/// # Errors
/// Cancellation.
pub fn encode(config: &Config, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
    encode_with(Level::fastest(), config, tensor, context)
}

/// [`encode`] with a search at a level of one's choice.
///
/// # Errors
/// Cancellation.
pub fn encode_with(
    level: Level,
    config: &Config,
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
) -> Result<Encoded, EncodeError> {
    let shape = config.shape();
    let (mean, exponent) = unit(tensor.values());
    let params = Params::new(&shape, config.values, exponent, mean).to_bytes();
    let Some(exponent) = exponent else {
        return Ok(Encoded { params, layers: vec![Layer::default()] });
    };
    let factor = power(-exponent);
    let values: Vec<f32> =
        tensor.values().iter().map(|&w| ((f64::from(w) - f64::from(mean)) * factor) as f32).collect();
    let energies: Vec<(f64, usize)> = values.chunks(shape.block).map(|block| (energy(block), block.len())).collect();
    let mean_square = energies.iter().map(|e| e.0).sum::<f64>() / values.len() as f64;
    let levels = gain::track(&energies, mean_square);
    let gains: Vec<f32> = levels.iter().map(|&level| gain::gain(i32::from(level))).collect();
    let codebooks: Vec<_> = (0..shape.stages()).map(|stage| Codebook::new(shape.width, stage, config.values)).collect();
    let task = Task { level, config, shape, codebooks: &codebooks, values: &values, gains: &gains, context };
    let (codes, scales) = match task.fed(tensor)? {
        Some(coded) => coded,
        None => task.alone(column_importance(config, tensor, context).as_deref())?,
    };
    Ok(Encoded { params, layers: layers(&shape, &codes, &levels, &scales) })
}

/// A tensor in units, and what to do with it.
struct Task<'a> {
    level: Level,
    config: &'a Config,
    shape: Shape,
    codebooks: &'a [Arc<Codebook>],
    values: &'a [f32],
    /// Of every block.
    gains: &'a [f32],
    context: &'a EncodeContext<'a>,
}

/// The codes of all blocks, and the multipliers of every prefix.
type Coded = (Vec<Codes>, Vec<Vec<f32>>);

impl Task<'_> {
    fn coder(&self) -> Coder {
        Coder::new(self.level, self.config, self.shape, self.codebooks.to_vec(), self.shape.block)
    }

    /// Under the form of the output error, where the configuration asks for it and the statistics fit and do not mislead.
    fn fed(&self, tensor: &TensorView<'_>) -> Result<Option<Coded>, EncodeError> {
        let Self { config, shape, codebooks, values, gains, context, .. } = self;
        let calibration = context.calibration.filter(|_| config.hessian == Hessian::Full);
        let Some(form) = calibration.and_then(|statistics| OutputForm::new(statistics, tensor.columns())) else {
            return Ok(None);
        };
        let mut coder = self.coder();
        let weights = Weights { values, gains, block: shape.block };
        fed::steer(&mut coder, config, &form, &weights, context)?;
        let codes = fed::codes(&coder, &form, &weights, context)?;
        Ok(codes.map(|codes| {
            let scales = under_form(shape, codebooks, &form, values, gains, &codes);
            (codes, scales)
        }))
    }

    /// Every block on its own.
    fn alone(&self, columns: Option<&[f64]>) -> Result<Coded, EncodeError> {
        let Self { level, config, shape, codebooks, values, gains, context } = self;
        let blocks: Vec<Block<'_>> = values
            .chunks(shape.block)
            .zip(*gains)
            .enumerate()
            .map(|(index, (values, &gain))| {
                let importance = |columns| Counts::Each(of_block(columns, index * shape.block, values.len()));
                Block { values, gain, counts: columns.map_or(Counts::Alike, importance) }
            })
            .collect();
        let whole = values.len() / shape.block;
        let mut coder = self.coder();
        if whole > 0 {
            let count = whole.min(PILOT);
            let sample: Vec<Block<'_>> = (0..count).map(|i| blocks[i * whole / count].clone()).collect();
            coder.steer(config, &sample, context)?;
        }
        let mut codes: Vec<Codes> = blocks[..whole]
            .par_chunks(TASK)
            .map(|blocks| {
                context.check_cancelled()?;
                let codes = coder.code(blocks).into_iter().map(|path| path.codes).collect::<Vec<_>>();
                context.advance(blocks.len() * shape.block);
                Ok(codes)
            })
            .collect::<Result<Vec<_>, EncodeError>>()?
            .concat();
        if let Some(last) = blocks.get(whole) {
            // A shorter block at the end has codewords of its own length.
            let tail = coder.with_length(*level, config, last.values.len());
            codes.extend(tail.code(&blocks[whole..]).into_iter().map(|path| path.codes));
            context.advance(last.values.len());
        }
        let scales = multipliers(shape, codebooks, &blocks, &codes);
        Ok((codes, scales))
    }
}

/// Mean and exponent of the unit of a tensor: its deviation from the mean is between one and two units.
fn unit(values: &[f32]) -> (f32, Option<i32>) {
    if values.iter().all(|&value| value == values[0]) {
        return (values[0], None);
    }
    let count = values.len() as f64;
    let mean = (values.iter().map(|&v| f64::from(v)).sum::<f64>() / count) as f32;
    let square = |&v: &f32| {
        let deviation = f64::from(v) - f64::from(mean);
        deviation * deviation
    };
    let deviation = (values.iter().map(square).sum::<f64>() / count).sqrt();
    if deviation == 0.0 {
        return (mean, None);
    }
    let exponent = ((deviation.to_bits() >> 52) & 0x7FF) as i32 - 1023;
    (mean, Some(exponent.clamp(-160, 130)))
}

/// What the error of every column counts, where the configuration asks for it and the statistics fit.
fn column_importance(config: &Config, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Option<Vec<f64>> {
    let calibration = context.calibration.filter(|_| config.weighted)?;
    let squares: Vec<f64> = calibration.mean_square().iter().map(|&square| f64::from(square)).collect();
    let sum: f64 = squares.iter().sum();
    let fits = squares.len() == tensor.columns() && sum.is_finite() && sum > 0.0 && squares.iter().all(|&s| s >= 0.0);
    // Channels that were silent may speak later: they count a little.
    let floor = 1e-3 * sum / squares.len() as f64;
    fits.then(|| squares.iter().map(|&square| square.max(floor)).collect())
}

/// The importance of a block's weights, relative to their mean: blocks take the same bits, so only differences within one matter.
fn of_block(columns: &[f64], start: usize, length: usize) -> Vec<i32> {
    let own = || (start..start + length).map(|index| columns[index % columns.len()]);
    let mean = own().sum::<f64>() / length as f64;
    own().map(|square| ((square / mean * f64::from(EVEN)).round() as i32).clamp(1, MOST)).collect()
}

fn layers(shape: &Shape, codes: &[Codes], levels: &[i8], scales: &[Vec<f32>]) -> Vec<Layer> {
    let count = codes.len() * shape.terms;
    (0..shape.layers)
        .map(|layer| {
            let stages = layer * shape.terms..(layer + 1) * shape.terms;
            let in_order = || stages.clone().flat_map(|stage| codes.iter().map(move |codes| codes[stage]));
            let width = shape.width as u8;
            let seeds = pack_bits(in_order().map(|code| code.position), width);
            let signs = pack_bits(in_order().map(|code| u32::from(code.negative)), 1);
            let mut segments = vec![
                Segment::new(Role::Seeds, Symbols::bits(width, count, 0), seeds),
                Segment::new(Role::Signs, Symbols::bits(1, count, 0), signs),
            ];
            if layer == 0 {
                segments.push(Segment::new(Role::Coefficients, Symbols::OPAQUE, gain::write(levels)));
            }
            let mut bytes = Vec::new();
            scales[layer].iter().for_each(|&scale| bytes.put_f32(scale));
            let symbols = Symbols::floats(seedpress_codec::Packing::F32, scales[layer].len());
            segments.push(Segment::new(Role::Scales, symbols, bytes));
            Layer { segments }
        })
        .collect()
}
