//! One more codeword after another: the beam search over the stages of a block.
//!
//! Each alternative's residual is searched exactly ([`search`](crate::search)), the best few results of all alternatives go on. A prefix
//! counts by its weighted error.

use std::sync::Arc;

use rayon::prelude::*;
use seedpress_codec::{EncodeContext, EncodeError};
use seedpress_entropy::binary::log2;
use seedpress_simd::Level;

use crate::block::{Block, Counts};
use crate::codebook::{Codebook, DECIMATIONS};
use crate::config::{Config, Shape};
use crate::search::shortlist::{Continuation, Shortlist};
use crate::search::{FINE, Index, Judge, LONGEST, Target};
use crate::values::UNIT;

/// Blocks that set the stages' gains.
pub(crate) const PILOT: usize = 128;

/// Times the pilot is coded: the first sees gains made for independent Gaussian weights.
const PILOT_ROUNDS: usize = 3;

/// Blocks a task codes together, so that the search always has several targets at hand.
pub(crate) const TASK: usize = 8;

/// Share of blocks whose continuations may cost more than they are expected to, and are searched for once more.
const AGAIN: f64 = 0.03;

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
    /// What the last of a stage's continuations hardly ever costs more than, as a share of what its best alternative does.
    ceilings: Vec<f64>,
    beam: usize,
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
            ceilings: vec![f64::INFINITY; shape.stages()],
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
            self.ceilings.fill(f64::INFINITY);
            let coded: Vec<_> = sample.par_chunks(TASK).map(|blocks| self.code_and_tell(blocks)).collect();
            let (paths, shares): (Vec<_>, Vec<_>) = coded.into_iter().unzip();
            let (paths, shares) = (paths.concat(), shares.concat());
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
            for (stage, ceiling) in self.ceilings.iter_mut().enumerate() {
                let mut shares: Vec<f64> = shares.iter().map(|of_block| of_block[stage]).collect();
                shares.sort_unstable_by(f64::total_cmp);
                *ceiling = shares[((1.0 - AGAIN) * (shares.len() - 1) as f64) as usize];
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
        self.code_and_tell(blocks).0
    }

    /// [`code`](Self::code), and what the last of each stage's continuations cost, as a share of what its best alternative did.
    fn code_and_tell(&self, blocks: &[Block<'_>]) -> (Vec<Path>, Vec<[f64; DECIMATIONS.len()]>) {
        let mut shares = vec![[1.0; DECIMATIONS.len()]; blocks.len()];
        let mut beams: Vec<Vec<Path>> = blocks.iter().map(|block| vec![Path::start(block)]).collect();
        for stage in 0..self.shape.stages() {
            let targets: Vec<Target> = blocks
                .iter()
                .zip(&beams)
                .flat_map(|(block, beam)| {
                    let step = self.step(stage, block.gain);
                    beam.iter().map(move |path| block.target(&path.residual, &path.pull, step))
                })
                .collect();
            let continuations = self.continuations(stage, blocks, &beams, &targets);
            let mut rest = &targets[..];
            for (((block, beam), best), shares) in blocks.iter().zip(&mut beams).zip(&continuations).zip(&mut shares) {
                if let Some(last) = best.last().filter(|_| beam[0].cost() > 0.0) {
                    shares[stage] = last.cost / beam[0].cost();
                }
                let (own, others) = rest.split_at(beam.len());
                rest = others;
                self.advance(stage, block, beam, own, best);
            }
        }
        (beams.into_iter().map(|mut beam| beam.swap_remove(0)).collect(), shares)
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
        let starts: Vec<Vec<f64>> = beams.iter().map(|beam| beam.iter().map(Path::cost).collect()).collect();
        let list = |number: usize, ceiling: f64| {
            let step = f64::from(self.step(stage, blocks[number].gain));
            Shortlist::new(index, &starts[number], 2.0 * step * step / f64::from(FINE), keep, nothing, ceiling)
        };
        let ceiling = |number: usize| self.ceilings[stage] * starts[number][0];
        let mut lists: Vec<Shortlist<'_>> = (0..blocks.len()).map(|number| list(number, ceiling(number))).collect();
        let paths = |block: usize| (0..starts[block].len()).map(move |path| (block, path));
        let mut owners = Vec::with_capacity(targets.len());
        owners.extend((0..blocks.len()).flat_map(paths));
        // Blocks of the same penalties pass over the codebook together.
        let (mut first, mut at) = (0, 0);
        while at < blocks.len() {
            let alike = blocks[at..].iter().take_while(|other| blocks[at].counts.shared(&other.counts)).count().max(1);
            let end = first + beams[at..at + alike].iter().map(Vec::len).sum::<usize>();
            self.screen(
                stage,
                &blocks[at],
                &targets[first..end],
                &mut Lists { lists: &mut lists, owners: &owners[first..end] },
            );
            (first, at) = (end, at + alike);
        }
        // What cost more than expected is looked for without a ceiling.
        let mut first = 0;
        for (number, beam) in beams.iter().enumerate() {
            let end = first + beam.len();
            if !lists[number].is_complete() {
                lists[number] = list(number, f64::INFINITY);
                self.screen(
                    stage,
                    &blocks[number],
                    &targets[first..end],
                    &mut Lists { lists: &mut lists, owners: &owners[first..end] },
                );
            }
            first = end;
        }
        lists.into_iter().map(Shortlist::into_best).collect()
    }

    /// Screens the codewords of a stage for targets that count as those of `block` do.
    fn screen(&self, stage: usize, block: &Block<'_>, targets: &[Target], lists: &mut Lists<'_, '_>) {
        let index = &self.indices[stage];
        match &block.counts {
            Counts::Alike => index.screen(index.penalties(), targets, lists),
            Counts::Each(importance) => index.screen(&index.weighted(importance), targets, lists),
            Counts::Form(form) => index.screen(form.penalties(stage), targets, lists),
        }
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

    /// Its error, with what prefixes count.
    fn cost(&self) -> f64 {
        self.past + self.error
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is expected of their costs, the best continuations are found.
    #[test]
    fn ceilings_change_no_code() {
        let config = Config { beam: seedpress_codec::Int::of(5), ..Config::default() };
        let shape = Shape { width: 10, block: 20, terms: 2, layers: 2 };
        let book = |stage| Codebook::new(shape.width, stage, config.values);
        let mut noise = seedpress_testing::Noise::new(3);
        let values: Vec<f32> = (0..shape.block * 40).map(|_| noise.bell(4)).collect();
        let scaled = |(number, values): (usize, &[f32])| -> Vec<f32> {
            // Zeros, loud blocks, and what lies in between.
            let factor = [0.0, 1.0, 300.0, 1e-4, 0.7][number % 5];
            values.iter().map(|value| value * factor).collect()
        };
        let scaled: Vec<Vec<f32>> = values.chunks(shape.block).enumerate().map(scaled).collect();
        let blocks: Vec<Block<'_>> =
            scaled.iter().map(|values| Block { values, gain: 0.5, counts: Counts::Alike }).collect();
        let mut coder =
            Coder::new(Level::fastest(), &config, shape, (0..shape.stages()).map(book).collect(), shape.block);
        let codes = |coder: &Coder| -> Vec<Codes> {
            blocks.chunks(TASK).flat_map(|blocks| coder.code(blocks)).map(|path| path.codes).collect()
        };
        let expected = codes(&coder);
        for ceiling in [0.0, 0.3, 0.6, 0.9, 1.5] {
            coder.ceilings.fill(ceiling);
            assert!(codes(&coder) == expected, "{ceiling}");
        }
    }
}
