//! From weights to layers.
//!
//! 1. The mean and a power of two are taken out, the gain track is chosen.
//! 2. A pilot of [`PILOT`] blocks finds how loud the residual is before each stage of *this* tensor, which sets the stages' gains.
//! 3. Every block is coded on its own by a beam search over the stages: each alternative's residual is searched exactly
//!    ([`search`](crate::search)), the best few results of all alternatives go on. A prefix counts by its weighted error.
//! 4. Least squares over the whole tensor gives each prefix its multipliers.

use std::sync::Arc;

use rayon::prelude::*;
use seedpress_codec::packing::pack_bits;
use seedpress_codec::wire::Put;
use seedpress_codec::{EncodeContext, EncodeError, Encoded, Layer, Role, Segment, Symbols, TensorView};
use seedpress_entropy::binary::log2;
use seedpress_lfsr_basis::Path as SearchPath;

use crate::codebook::{Codebook, DECIMATIONS, UNIT};
use crate::config::{Config, Shape};
use crate::decode::power;
use crate::gain;
use crate::least_squares::Fit;
use crate::params::Params;
use crate::search::shortlist::{Continuation, Shortlist};
use crate::search::{EVEN, FINE, Index, Judge, LONGEST, MOST, Target, target};

/// Blocks that set the stages' gains.
const PILOT: usize = 128;

/// Times the pilot is coded: the first sees gains made for independent Gaussian weights.
const PILOT_ROUNDS: usize = 3;

/// Blocks a task codes together, so that the search always has several targets at hand.
const TASK: usize = 8;

/// How much of its bits' worth a stage achieves, in `4^-(efficiency * bits)`: measured on Gaussian weights.
const EFFICIENCY: f64 = 0.92;

/// A codeword with its sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// Position, or `2^K - 1` for the zero codeword.
    pub position: u32,
    pub negative: bool,
}

/// The codes of a block by stage.
type Codes = [Code; DECIMATIONS.len()];

/// A block to be coded.
struct Block<'a> {
    values: &'a [f32],
    gain: f32,
    /// What the error of each weight counts, in units of `1 / EVEN`; nothing where all count alike.
    importance: Option<Vec<i32>>,
}

/// One way to code a block up to some stage.
#[derive(Clone)]
struct Path {
    residual: [f32; LONGEST],
    error: f64,
    /// Weighted errors of the prefixes already complete.
    past: f64,
    codes: Codes,
}

/// The stages' searches and what steers the beam.
struct Coder {
    shape: Shape,
    codebooks: Vec<Arc<Codebook>>,
    indices: Vec<Index>,
    /// Gain of each stage relative to the block's.
    gains: Vec<f32>,
    /// What an error after each stage counts; 0 inside a layer.
    weights: Vec<f64>,
    beam: usize,
}

/// Compresses a tensor.
///
/// # Errors
/// Cancellation.
pub fn encode(config: &Config, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
    encode_with(SearchPath::fastest(), config, tensor, context)
}

/// [`encode`] with a search on a path of one's choice.
///
/// # Errors
/// Cancellation.
pub fn encode_with(
    path: SearchPath,
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
    let columns = column_importance(config, tensor, context);
    let energies: Vec<(f64, usize)> = values.chunks(shape.block).map(|block| (energy(block), block.len())).collect();
    let mean_square = energies.iter().map(|e| e.0).sum::<f64>() / values.len() as f64;
    let levels = gain::track(&energies, mean_square);
    let blocks: Vec<Block<'_>> = values
        .chunks(shape.block)
        .zip(&levels)
        .enumerate()
        .map(|(index, (values, &level))| {
            let importance = columns.as_ref().map(|columns| of_block(columns, index * shape.block, values.len()));
            Block { values, gain: gain::gain(i32::from(level)), importance }
        })
        .collect();

    let codebooks: Vec<_> = (0..shape.stages()).map(|stage| Codebook::new(shape.width, stage, config.values)).collect();
    let whole = values.len() / shape.block;
    let mut coder = Coder::new(path, config, shape, codebooks.clone(), shape.block);
    if whole > 0 {
        coder.steer(config, &blocks[..whole], context)?;
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
        let tail = Coder {
            indices: codebooks
                .iter()
                .map(|book| Index::with_path(path, book, last.values.len(), config.candidates.size()))
                .collect(),
            ..coder
        };
        codes.extend(tail.code(&blocks[whole..]).into_iter().map(|path| path.codes));
        context.advance(last.values.len());
    }
    let scales = multipliers(&shape, &codebooks, &blocks, &codes);
    Ok(Encoded { params, layers: layers(&shape, &codes, &levels, &scales) })
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

fn energy(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
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

impl Block<'_> {
    /// The sum of squared errors, each as it counts.
    fn error(&self, residual: &[f32]) -> f64 {
        match &self.importance {
            None => energy(residual),
            Some(importance) => {
                let square = |(&r, &h): (&f32, &i32)| f64::from(r) * f64::from(r) * (f64::from(h) / f64::from(EVEN));
                residual.iter().zip(importance).map(square).sum()
            }
        }
    }
}

impl Coder {
    fn new(path: SearchPath, config: &Config, shape: Shape, codebooks: Vec<Arc<Codebook>>, length: usize) -> Self {
        let index = |book: &Arc<Codebook>| Index::with_path(path, book, length, config.candidates.size());
        let indices = codebooks.par_iter().map(index).collect();
        let searched = config.candidates.size().min((1 << shape.width) - 1);
        let a_stage = kept(searched, shape.block);
        let mut coder = Self {
            shape,
            codebooks,
            indices,
            gains: Vec::new(),
            weights: vec![0.0; shape.stages()],
            beam: config.beam.size(),
        };
        let errors: Vec<f64> = (0..shape.stages()).map(|stage| a_stage.powi(stage as i32 + 1)).collect();
        coder.adjust(config, &errors, a_stage);
        coder
    }

    /// Sets gains and weights by the mean square errors after each stage in units of the block's gain.
    fn adjust(&mut self, config: &Config, errors: &[f64], a_stage: f64) {
        let before = std::iter::once(&1.0).chain(errors);
        self.gains = before.zip(errors).map(|(before, _)| (before * (1.0 - a_stage)).sqrt() as f32).collect();
        let last = errors[errors.len() - 1];
        for (stage, &error) in errors.iter().enumerate() {
            let ends = (stage + 1) % self.shape.terms == 0 && stage + 1 < errors.len();
            self.weights[stage] = if ends && error > 0.0 { config.prefix.get() * last / error } else { 0.0 };
        }
    }

    /// Codes a sample of the blocks to set gains and weights for this tensor.
    fn steer(&mut self, config: &Config, blocks: &[Block<'_>], context: &EncodeContext<'_>) -> Result<(), EncodeError> {
        let searched = config.candidates.size().min((1 << self.shape.width) - 1);
        let a_stage = kept(searched, self.shape.block);
        let count = blocks.len().min(PILOT);
        let sample: Vec<Block<'_>> = (0..count)
            .map(|i| &blocks[i * blocks.len() / count])
            .map(|b| Block { values: b.values, gain: b.gain, importance: b.importance.clone() })
            .collect();
        let nominal: f64 = sample.iter().map(|b| f64::from(b.gain) * f64::from(b.gain) * b.values.len() as f64).sum();
        for _ in 0..PILOT_ROUNDS {
            context.check_cancelled()?;
            let paths: Vec<Path> = sample.par_chunks(TASK).map(|blocks| self.code(blocks)).collect::<Vec<_>>().concat();
            let errors: Vec<f64> = (0..self.shape.stages())
                .map(|stage| {
                    let after =
                        |(block, path): (&Block<'_>, &Path)| block.error(&self.residual(block, &path.codes[..=stage]));
                    sample.iter().zip(&paths).map(after).sum::<f64>() / nominal
                })
                .collect();
            if errors.iter().all(|&error| error > 0.0) {
                self.adjust(config, &errors, a_stage);
            }
        }
        Ok(())
    }

    fn residual(&self, block: &Block<'_>, codes: &[Code]) -> Vec<f32> {
        let mut residual = block.values.to_vec();
        for (stage, code) in codes.iter().enumerate() {
            self.subtract(stage, block.gain, *code, &mut residual);
        }
        residual
    }

    fn step(&self, stage: usize, gain: f32) -> f32 {
        gain * self.gains[stage] / UNIT as f32
    }

    fn subtract(&self, stage: usize, gain: f32, code: Code, residual: &mut [f32]) {
        let codebook = &self.codebooks[stage];
        if (code.position as usize) < codebook.len() {
            let step = self.step(stage, gain);
            let step = if code.negative { -step } else { step };
            let codeword = codebook.codeword(code.position as usize, residual.len());
            for (value, codeword) in residual.iter_mut().zip(codeword) {
                *value -= step * codeword;
            }
        }
    }

    /// The best path of each block. All blocks have the length the indices were made for.
    fn code(&self, blocks: &[Block<'_>]) -> Vec<Path> {
        let mut beams: Vec<Vec<Path>> = blocks.iter().map(|block| vec![Path::start(block)]).collect();
        for stage in 0..self.shape.stages() {
            let targets: Vec<Target> = blocks
                .iter()
                .zip(&beams)
                .flat_map(|(block, beam)| {
                    let step = self.step(stage, block.gain);
                    beam.iter().map(move |path| {
                        let residual = path.residual[..block.values.len()].iter().map(|r| r / step);
                        match &block.importance {
                            Some(importance) => {
                                target(residual.zip(importance).map(|(r, &h)| r * (h as f32 / EVEN as f32)))
                            }
                            None => target(residual),
                        }
                    })
                })
                .collect();
            let continuations = self.continuations(stage, blocks, &beams, &targets);
            let mut rest = &targets[..];
            for ((block, beam), best) in blocks.iter().zip(&mut beams).zip(&continuations) {
                let (own, others) = rest.split_at(beam.len());
                rest = others;
                self.advance(stage, block, beam, own, best);
            }
        }
        beams.into_iter().map(|mut beam| beam.swap_remove(0)).collect()
    }

    /// The best continuations of each block's paths by one more codeword, the best first. One target a path, block by block.
    fn continuations(
        &self,
        stage: usize,
        blocks: &[Block<'_>],
        beams: &[Vec<Path>],
        targets: &[Target],
    ) -> Vec<Vec<Continuation>> {
        let index = &self.indices[stage];
        let nothing = (1u32 << self.shape.width) - 1;
        let keep = if stage + 1 == self.shape.stages() { 1 } else { self.beam };
        let starts: Vec<Vec<f64>> =
            beams.iter().map(|beam| beam.iter().map(|path| path.past + path.error).collect()).collect();
        let mut lists: Vec<Shortlist<'_>> = blocks
            .iter()
            .zip(&starts)
            .map(|(block, starts)| {
                let step = f64::from(self.step(stage, block.gain));
                Shortlist::new(index, starts, 2.0 * step * step / f64::from(FINE), keep, nothing)
            })
            .collect();
        let paths = |block: usize| (0..starts[block].len()).map(move |path| (block, path));
        let mut owners = Vec::with_capacity(targets.len());
        owners.extend((0..blocks.len()).flat_map(paths));
        if blocks.iter().all(|block| block.importance.is_none()) {
            index.screen(index.penalties(), targets, &mut Lists { lists: &mut lists, owners: &owners });
        } else {
            // Every block has penalties of its own.
            let mut first = 0;
            for (block, beam) in blocks.iter().zip(beams) {
                let own = first..first + beam.len();
                first = own.end;
                let weighted = block.importance.as_ref().map(|importance| index.weighted(importance));
                let mut lists = Lists { lists: &mut lists, owners: &owners[own.clone()] };
                index.screen(weighted.as_ref().unwrap_or(index.penalties()), &targets[own], &mut lists);
            }
        }
        lists.into_iter().map(Shortlist::into_best).collect()
    }

    /// Replaces the paths of a block by their continuations.
    fn advance(
        &self,
        stage: usize,
        block: &Block<'_>,
        beam: &mut Vec<Path>,
        targets: &[Target],
        continuations: &[Continuation],
    ) {
        let nothing = (1u32 << self.shape.width) - 1;
        let length = block.values.len();
        *beam = continuations
            .iter()
            .map(|&Continuation { origin, position, .. }| {
                let mut path = beam[origin as usize].clone();
                let negative = position != nothing
                    && self.indices[stage].product(&targets[origin as usize], position as usize) < 0;
                path.codes[stage] = Code { position, negative };
                self.subtract(stage, block.gain, path.codes[stage], &mut path.residual[..length]);
                path.error = block.error(&path.residual[..length]);
                path.past += self.weights[stage] * path.error;
                path
            })
            .collect();
    }
}

/// The shortlists of several blocks.
struct Lists<'a, 'b> {
    lists: &'a mut [Shortlist<'b>],
    /// Block, and path within it, by target.
    owners: &'a [(usize, usize)],
}

impl Judge for Lists<'_, '_> {
    #[inline]
    fn bar(&self, target: usize) -> i32 {
        let (block, path) = self.owners[target];
        self.lists[block].bar(path)
    }

    #[inline]
    fn offer(&mut self, target: usize, position: u32, score: i32) {
        let (block, path) = self.owners[target];
        self.lists[block].offer(path, position, score);
    }
}

impl Path {
    fn start(block: &Block<'_>) -> Self {
        let mut residual = [0.0; LONGEST];
        residual[..block.values.len()].copy_from_slice(block.values);
        Self { residual, error: block.error(block.values), past: 0.0, codes: Codes::default() }
    }
}

/// What a stage with this many codewords and their negatives leaves of a block's mean square.
fn kept(codewords: usize, block: usize) -> f64 {
    let bits = (log2(codewords as f64) + 1.0) / block as f64;
    // 4^-x by its series of halved arguments: the library's power function may differ between machines.
    let x = EFFICIENCY * bits * 2.0 * std::f64::consts::LN_2 / 1024.0;
    let mut power = 1.0 - x + x * x / 2.0 - x * x * x / 6.0;
    for _ in 0..10 {
        power *= power;
    }
    power
}

/// The multipliers of every prefix.
fn multipliers(shape: &Shape, codebooks: &[Arc<Codebook>], blocks: &[Block<'_>], codes: &[Codes]) -> Vec<Vec<f32>> {
    let stages = shape.stages();
    let partial = |(blocks, codes): (&[Block<'_>], &[Codes])| {
        let mut fit = Fit::new(stages);
        let mut terms = vec![0f64; stages];
        for (block, codes) in blocks.iter().zip(codes) {
            for (index, &value) in block.values.iter().enumerate() {
                for (term, (code, codebook)) in terms.iter_mut().zip(codes.iter().zip(codebooks)) {
                    let value = codebook.values()[code.position as usize + index] * block.gain;
                    let zero = code.position as usize >= codebook.len();
                    *term = f64::from(if zero {
                        0.0
                    } else if code.negative {
                        -value
                    } else {
                        value
                    });
                }
                let mut value = f64::from(value);
                if let Some(importance) = &block.importance {
                    let root = (f64::from(importance[index]) / f64::from(EVEN)).sqrt();
                    terms.iter_mut().for_each(|term| *term *= root);
                    value *= root;
                }
                fit.add(&terms, value);
            }
        }
        fit
    };
    let parts: Vec<Fit> = blocks.par_chunks(1024).zip(codes.par_chunks(1024)).map(partial).collect();
    // Summed in their order, not in that of the threads.
    let fit = parts.into_iter().fold(Fit::new(stages), Fit::plus);
    (1..=shape.layers).map(|layers| fit.solve(layers * shape.terms).iter().map(|&a| a as f32).collect()).collect()
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
