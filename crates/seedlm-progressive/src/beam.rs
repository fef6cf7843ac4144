//! One more codeword after another: the beam search over the stages of a block.
//!
//! Each alternative's residual is searched exactly ([`search`](crate::search)), the best few results of all alternatives go on. A prefix
//! counts by its weighted error.

use std::sync::Arc;

use rayon::prelude::*;
use seedpress_codec::{EncodeContext, EncodeError};
use seedpress_entropy::binary::log2;
use seedpress_simd::Level;

use crate::codebook::{Codebook, DECIMATIONS};
use crate::config::{Config, Shape};
use crate::form::Form;
use crate::search::shortlist::{Continuation, Shortlist};
use crate::search::{EVEN, FINE, Index, Judge, LONGEST, Target, target};
use crate::values::UNIT;

/// Blocks that set the stages' gains.
pub(crate) const PILOT: usize = 128;

/// Times the pilot is coded: the first sees gains made for independent Gaussian weights.
const PILOT_ROUNDS: usize = 3;

/// Blocks a task codes together, so that the search always has several targets at hand.
pub(crate) const TASK: usize = 8;

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
pub(crate) type Codes = [Code; DECIMATIONS.len()];

/// A block to be coded.
#[derive(Clone)]
pub(crate) struct Block<'a> {
    pub values: &'a [f32],
    pub gain: f32,
    pub counts: Counts<'a>,
}

/// What the errors of a block's weights count.
#[derive(Clone)]
pub(crate) enum Counts<'a> {
    /// All alike.
    Alike,
    /// Each for itself, in units of `1 / EVEN`.
    Each(Vec<i32>),
    /// All together.
    Form(&'a Form),
}

/// One way to code a block up to some stage.
#[derive(Clone)]
pub(crate) struct Path {
    pub residual: [f32; LONGEST],
    /// The residual times the form, where errors count by one.
    pull: [f32; LONGEST],
    error: f64,
    /// Weighted errors of the prefixes already complete.
    past: f64,
    pub codes: Codes,
}

/// The stages' searches and what steers the beam.
pub(crate) struct Coder {
    shape: Shape,
    codebooks: Vec<Arc<Codebook>>,
    pub indices: Vec<Index>,
    /// Gain of each stage relative to the block's.
    gains: Vec<f32>,
    /// What an error after each stage counts; 0 inside a layer.
    weights: Vec<f64>,
    beam: usize,
}

/// The sum of squares.
pub(crate) fn energy(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
}

impl Counts<'_> {
    /// Whether both are the same for all codewords.
    fn shared(&self, other: &Self) -> bool {
        match (self, other) {
            (Counts::Alike, Counts::Alike) => true,
            (Counts::Form(own), Counts::Form(other)) => std::ptr::eq(*own, *other),
            _ => false,
        }
    }

    /// What a weight's error counts on average.
    fn mean(&self) -> f64 {
        match self {
            Counts::Alike | Counts::Each(_) => 1.0,
            Counts::Form(form) => form.mean(),
        }
    }
}

impl Block<'_> {
    /// The sum of squared errors as they count, and the residual times the form where there is one.
    fn weigh(&self, residual: &[f32]) -> (f64, [f32; LONGEST]) {
        let mut pull = [0.0; LONGEST];
        let error = match &self.counts {
            Counts::Alike => energy(residual),
            Counts::Each(importance) => {
                let square = |(&r, &h): (&f32, &i32)| f64::from(r) * f64::from(r) * (f64::from(h) / f64::from(EVEN));
                residual.iter().zip(importance).map(square).sum()
            }
            Counts::Form(form) => {
                form.times(residual, &mut pull);
                residual.iter().zip(&pull).map(|(&r, &p)| f64::from(r) * f64::from(p)).sum()
            }
        };
        (error, pull)
    }

    /// What the search looks for to bring a path nearer, in the units of codewords.
    fn target(&self, path: &Path, step: f32) -> Target {
        let residual = path.residual[..self.values.len()].iter().map(|r| r / step);
        match &self.counts {
            Counts::Alike => target(residual),
            Counts::Each(importance) => target(residual.zip(importance).map(|(r, &h)| r * (h as f32 / EVEN as f32))),
            Counts::Form(_) => target(path.pull[..self.values.len()].iter().map(|p| p / step)),
        }
    }
}

impl Coder {
    /// Searches of blocks of `length` weights.
    pub(crate) fn new(
        level: Level,
        config: &Config,
        shape: Shape,
        codebooks: Vec<Arc<Codebook>>,
        length: usize,
    ) -> Self {
        let index = |book: &Arc<Codebook>| Index::with_level(level, book, length, config.candidates.size());
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

    /// The same steps for blocks of another length.
    pub(crate) fn with_length(self, level: Level, config: &Config, length: usize) -> Self {
        let index = |book: &Arc<Codebook>| Index::with_level(level, book, length, config.candidates.size());
        Self { indices: self.codebooks.iter().map(index).collect(), ..self }
    }

    /// Codes a sample of the blocks to set gains and weights for this tensor.
    ///
    /// # Errors
    /// Cancellation.
    pub(crate) fn steer(
        &mut self,
        config: &Config,
        sample: &[Block<'_>],
        context: &EncodeContext<'_>,
    ) -> Result<(), EncodeError> {
        let searched = config.candidates.size().min((1 << self.shape.width) - 1);
        let a_stage = kept(searched, self.shape.block);
        let nominal = |b: &Block<'_>| f64::from(b.gain) * f64::from(b.gain) * b.values.len() as f64 * b.counts.mean();
        let nominal: f64 = sample.iter().map(nominal).sum();
        for _ in 0..PILOT_ROUNDS {
            context.check_cancelled()?;
            let paths: Vec<Path> = sample.par_chunks(TASK).map(|blocks| self.code(blocks)).collect::<Vec<_>>().concat();
            let errors: Vec<f64> = (0..self.shape.stages())
                .map(|stage| {
                    let after = |(block, path): (&Block<'_>, &Path)| {
                        block.weigh(&self.residual(block, &path.codes[..=stage])).0
                    };
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
    pub(crate) fn code(&self, blocks: &[Block<'_>]) -> Vec<Path> {
        let mut beams: Vec<Vec<Path>> = blocks.iter().map(|block| vec![Path::start(block)]).collect();
        for stage in 0..self.shape.stages() {
            let targets: Vec<Target> = blocks
                .iter()
                .zip(&beams)
                .flat_map(|(block, beam)| {
                    let step = self.step(stage, block.gain);
                    beam.iter().map(move |path| block.target(path, step))
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
        // Blocks of the same penalties pass over the codebook together.
        let (mut first, mut blocks, mut beams) = (0, blocks, beams);
        while let Some(block) = blocks.first() {
            let count = blocks.iter().take_while(|other| block.counts.shared(&other.counts)).count().max(1);
            let own = first..first + beams[..count].iter().map(Vec::len).sum::<usize>();
            (first, blocks, beams) = (own.end, &blocks[count..], &beams[count..]);
            let mut lists = Lists { lists: &mut lists, owners: &owners[own.clone()] };
            match &block.counts {
                Counts::Alike => index.screen(index.penalties(), &targets[own], &mut lists),
                Counts::Each(importance) => index.screen(&index.weighted(importance), &targets[own], &mut lists),
                Counts::Form(form) => index.screen(form.penalties(stage), &targets[own], &mut lists),
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
                (path.error, path.pull) = block.weigh(&path.residual[..length]);
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
        let (error, pull) = block.weigh(block.values);
        Self { residual, pull, error, past: 0.0, codes: Codes::default() }
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
