//! Statistics of every weight's inputs in one walk through a network.
//!
//! The hidden states of all calibration samples are kept, of the original model and, in sequential mode, of the one that is being
//! compressed. Block by block the inputs of its weights are gathered; the decoded tensors are taken; the states move on. No block is run
//! again once it is passed, so the cost grows with the depth, not with its square, and memory holds one block and its hidden states.
//!
//! - **Plain**: statistics of the inputs in the original model, all of a block in one run.
//! - **Sequential**: for each [group](Network::groups) of tensors that share inputs the block alone is run again, with the groups before
//!   it compressed: statistics of the inputs `y` that the compressed model has, and of how they go with the original's `x`
//!   ([`AsymmetricStatistics`], after Y. Li et al., GPTAQ, 2025).
//!
//! A tensor belongs to the first block that reads it. One that is also read further on (a head tied to an embedding) is compressed
//! before its inputs there are known, so its statistics are those of the original model, from a run of their own when they are first asked for.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;
use seedpress_calibration::{
    Accumulator, AsymmetricAccumulator, AsymmetricStatistics, DAMPING, InputStatistics, StatisticsError,
};
use seedpress_codec::Tensor;

use crate::data::Samples;
use crate::error::ModelError;
use crate::network::{Hidden, Network, NoTap, Tap};
use crate::weights::{BlockWeights, Weights};

/// Raised when statistics of the same model and data, or the weights corrected by them, change: rows of calibrated codecs are then stale.
pub const REVISION: u32 = 1;

/// Layers of more inputs than this get mean squares and no second moment, which grows with the square: 1 GiB here, and twice that while
/// it is summed. The widest down projections of 70 B models have 28,672 inputs; those of 8 B models 14,336.
const LARGEST_SECOND_MOMENT: usize = 16_384;

/// What a walk gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Inputs in the original model.
    Plain,
    /// Inputs behind the tensors already compressed, beside those in the original model.
    Sequential,
}

/// Statistics of a tensor's inputs; cheap to clone.
#[derive(Debug, Clone)]
pub enum Statistics {
    /// Of the original model.
    Plain(Arc<InputStatistics>),
    /// Of the compressed model so far, and how they go with those of the original.
    Asymmetric(Arc<AsymmetricStatistics>),
}

impl Statistics {
    /// What a codec is calibrated with.
    pub fn inputs(&self) -> &InputStatistics {
        match self {
            Self::Plain(inputs) => inputs,
            Self::Asymmetric(both) => both.inputs(),
        }
    }

    /// What the tensor should be to bring the original outputs back; `None` where the original is.
    ///
    /// # Errors
    /// A tensor of other columns.
    pub fn corrected(&self, tensor: &Tensor) -> Result<Option<Tensor>, ModelError> {
        let Self::Asymmetric(both) = self else { return Ok(None) };
        let shape = |what: String| ModelError::Shape(what);
        let values = both.corrected(tensor.values(), DAMPING).map_err(|error| shape(error.to_string()))?;
        let corrected = Tensor::new(tensor.shape().to_vec(), values, tensor.dtype());
        corrected.map(Some).map_err(|error| shape(error.to_string()))
    }
}

/// How much each row of what a tensor multiplies counts: by how much the answers depend on what the tensor makes of it, say.
pub trait RowWeights: Send + Sync {
    /// One weight a row of a batch, in the order in which taps see the rows of the original model; their mean over all batches should be
    /// near 1. `None` where all rows count alike.
    fn of(&self, tensor: usize, batch: usize) -> Option<&[f32]>;
}

/// A walk through a network, see the [module](self).
pub struct Walk {
    network: Arc<dyn Network>,
    weights: Arc<dyn Weights>,
    mode: Mode,
    /// The first and the last block that read each tensor.
    spans: Vec<Option<(usize, usize)>>,
    /// The block at work, and the states before it.
    block: usize,
    original: Vec<Hidden>,
    /// Of the compressed model; `None` as long as nothing differs.
    compressed: Option<Vec<Hidden>>,
    /// Decoded tensors that differ from the original and are still to be read.
    decoded: HashMap<usize, Tensor>,
    /// Of tensors of the block at work.
    known: HashMap<usize, Option<Statistics>>,
    /// Of tensors that several blocks read.
    tied: Option<HashMap<usize, Statistics>>,
    /// Rows louder than this many times the median are turned down to that.
    cap: Option<f32>,
    row_weights: Option<Arc<dyn RowWeights>>,
}

impl Walk {
    /// Reads the data and stands before the first block.
    ///
    /// # Errors
    /// Data that cannot be read or does not fit.
    pub fn new(
        network: Arc<dyn Network>,
        weights: Arc<dyn Weights>,
        samples: &dyn Samples,
        mode: Mode,
    ) -> Result<Self, ModelError> {
        let start = |batch: usize| network.start(samples.batch(batch)?);
        let original = (0..samples.batches()).into_par_iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let mut spans: Vec<Option<(usize, usize)>> = vec![None; network.tensors().len()];
        for block in 0..network.blocks() {
            for tensor in network.block_tensors(block) {
                spans[tensor] = Some((spans[tensor].map_or(block, |(first, _)| first), block));
            }
        }
        let (block, tied) = (0, None);
        let (compressed, decoded, known) = (None, HashMap::new(), HashMap::new());
        let (cap, row_weights) = (None, None);
        Ok(Self { network, weights, mode, spans, block, original, compressed, decoded, known, tied, cap, row_weights })
    }

    /// Counts rows of inputs by these weights, in place of all alike.
    #[must_use]
    pub fn weighted(self, row_weights: Arc<dyn RowWeights>) -> Self {
        Self { row_weights: Some(row_weights), ..self }
    }

    /// Turns rows of inputs louder than `times` the median of their batch down to that, see [`Accumulator::capped`]; in sequential mode
    /// both of a pair by the same factor.
    #[must_use]
    pub fn capped(self, times: f32) -> Self {
        Self { cap: Some(times), ..self }
    }

    /// Every tensor of the network in the order in which a walk may be asked for them.
    pub fn order(network: &dyn Network) -> Vec<usize> {
        let mut order = Vec::new();
        for block in 0..network.blocks() {
            let tensors = network.block_tensors(block).into_iter();
            order.extend(tensors.filter(|tensor| !order.contains(tensor)).collect::<Vec<_>>());
        }
        order
    }

    /// Statistics of what a tensor multiplies; `None` where it multiplies nothing. In sequential mode tensors that were not handed to
    /// [`compressed`](Self::compressed) count as the original's.
    ///
    /// # Errors
    /// [`ModelError::Passed`] for a tensor of an earlier block than one already asked for.
    pub fn statistics(&mut self, tensor: usize) -> Result<Option<Statistics>, ModelError> {
        let Some((first, last)) = self.spans[tensor] else { return Ok(None) };
        if first < self.block {
            return Err(ModelError::Passed(self.network.tensors()[tensor].name.clone()));
        }
        while self.block < first {
            self.advance()?;
        }
        if first < last {
            if self.tied.is_none() {
                self.tied = Some(self.gather_tied()?);
            }
            return Ok(self.tied.as_ref().and_then(|tied| tied.get(&tensor).cloned()));
        }
        if let Some(known) = self.known.get(&tensor) {
            return Ok(known.clone());
        }
        let groups = self.network.groups(self.block);
        let Some(group) = groups.iter().find(|group| group.contains(&tensor)) else { return Ok(None) };
        let found = match self.mode {
            Mode::Plain => self.plain(&groups)?,
            Mode::Sequential => self.asymmetric(group)?,
        };
        let gathered = match self.mode {
            Mode::Plain => groups.iter().flatten().collect::<Vec<_>>(),
            Mode::Sequential => group.iter().collect(),
        };
        self.known.extend(gathered.into_iter().map(|tensor| (*tensor, found.get(tensor).cloned())));
        Ok(self.known.get(&tensor).cloned().flatten())
    }

    /// Takes what a tensor was decoded to. Groups of its block that were asked for already are not gathered again.
    ///
    /// # Errors
    /// [`ModelError::Passed`] for a tensor of a block behind, another shape than the network's.
    pub fn compressed(&mut self, tensor: usize, decoded: &Tensor) -> Result<(), ModelError> {
        let Some((first, _)) = self.spans[tensor] else { return Ok(()) };
        let info = &self.network.tensors()[tensor];
        if first < self.block {
            return Err(ModelError::Passed(info.name.clone()));
        }
        if decoded.shape() != info.shape {
            let what = format!("was decoded to shape {:?}, not {:?}", decoded.shape(), info.shape);
            return Err(ModelError::Weights { tensor: info.name.clone(), what });
        }
        // Equal weights change nothing: no second model is followed for them.
        if self.mode == Mode::Sequential && self.weights.load(tensor)?.values() != decoded.values() {
            self.decoded.insert(tensor, decoded.clone());
        }
        Ok(())
    }

    /// Moves the states behind the block at work.
    fn advance(&mut self) -> Result<(), ModelError> {
        let (network, block) = (self.network.clone(), self.block);
        let own = self.weights.clone();
        let weights = BlockWeights::load(network.as_ref(), block, own.as_ref())?;
        let mut compressed = self.compressed.take();
        let given = self.given(&weights);
        if given.is_some() && compressed.is_none() {
            compressed = Some(self.original.clone());
        }
        if let Some(states) = &mut compressed {
            step_all(network.as_ref(), block, given.as_ref().unwrap_or(&weights), states)?;
        }
        drop(given);
        self.compressed = compressed;
        step_all(network.as_ref(), block, &weights, &mut self.original)?;
        self.known.clear();
        self.decoded.retain(|&tensor, _| self.spans[tensor].is_some_and(|(_, last)| last > block));
        self.block += 1;
        Ok(())
    }

    /// The weights of the block at work with the decoded ones in place; `None` where none differs.
    fn given<'w>(&'w self, weights: &BlockWeights<'w>) -> Option<BlockWeights<'w>> {
        let tensors = self.network.block_tensors(self.block);
        let mut changed = tensors.iter().filter_map(|tensor| Some((*tensor, self.decoded.get(tensor)?))).peekable();
        changed.peek()?;
        let mut given = weights.clone();
        changed.for_each(|(tensor, values)| given.replace(tensor, values));
        Some(given)
    }

    /// The tensors of a group whose statistics differ: all where rows have weights, else the first stands for all.
    fn apart<'g>(&self, group: &'g [usize]) -> &'g [usize] {
        if self.row_weights.is_some() { group } else { &group[..1] }
    }

    /// Weights of the rows of a batch, where there are as many.
    fn row_weights(&self, tensor: usize, batch: usize, rows: &[f32]) -> Option<&[f32]> {
        let weights = self.row_weights.as_ref()?.of(tensor, batch)?;
        (weights.len() * self.columns(tensor) == rows.len()).then_some(weights)
    }

    /// Adds rows of a batch to the sums of each tensor of a group that is told apart.
    fn add(&self, sums: &mut HashMap<usize, Accumulator>, group: &[usize], batch: usize, rows: &[f32]) {
        for &tensor in self.apart(group) {
            let sums = sums.entry(tensor).or_insert_with(|| self.accumulator(tensor));
            match self.row_weights(tensor, batch, rows) {
                Some(weights) => sums.add_weighted(rows, weights),
                None => sums.add(rows),
            }
        }
    }

    /// What was found of those that are told apart, for every tensor of the group.
    fn shared(&self, group: &[usize], mut found: HashMap<usize, Statistics>) -> HashMap<usize, Statistics> {
        if let (1, Some(first)) = (self.apart(group).len(), found.get(&group[0]).cloned()) {
            found.extend(group.iter().map(|&tensor| (tensor, first.clone())));
        }
        found
    }

    /// Statistics of some groups of the block at work in the original model.
    fn plain(&self, groups: &[Vec<usize>]) -> Result<HashMap<usize, Statistics>, ModelError> {
        let weights = BlockWeights::load(self.network.as_ref(), self.block, self.weights.as_ref())?;
        let leaders: Vec<usize> = groups.iter().map(|group| group[0]).collect();
        let mut sums: HashMap<usize, Accumulator> = HashMap::new();
        for (part, states) in self.original.chunks(together()).enumerate() {
            let gather = |state: &Hidden| gather(self.network.as_ref(), self.block, &weights, state, &leaders);
            let found = states.par_iter().map(gather).collect::<Result<Vec<_>, _>>()?;
            for (at, found) in found.iter().enumerate() {
                for (leader, rows) in found {
                    let group = groups.iter().find(|group| group[0] == *leader).map_or(&[][..], Vec::as_slice);
                    self.add(&mut sums, group, part * together() + at, rows);
                }
            }
        }
        let found = self.finished(sums)?;
        let of_group = |group: &Vec<usize>| {
            let own = group.iter().filter_map(|tensor| Some((*tensor, found.get(tensor)?.clone()))).collect();
            self.shared(group, own)
        };
        Ok(groups.iter().flat_map(of_group).collect())
    }

    fn finished(&self, sums: HashMap<usize, Accumulator>) -> Result<HashMap<usize, Statistics>, ModelError> {
        let finish = |(tensor, sums): (usize, Accumulator)| {
            Ok(self.sound(tensor, sums.finish())?.map(|inputs| (tensor, Statistics::Plain(Arc::new(inputs)))))
        };
        sums.into_iter().filter_map(|entry| finish(entry).transpose()).collect()
    }

    /// Statistics of a group of the block at work behind compressed ones.
    fn asymmetric(&self, group: &[usize]) -> Result<HashMap<usize, Statistics>, ModelError> {
        let weights = BlockWeights::load(self.network.as_ref(), self.block, self.weights.as_ref())?;
        let given = self.given(&weights);
        let differs = given.is_some() || self.compressed.is_some();
        let given = given.as_ref().unwrap_or(&weights);
        let behind = self.compressed.as_ref().unwrap_or(&self.original);
        let (leader, columns) = (group[0], self.columns(group[0]));
        let inputs = |weights: &BlockWeights<'_>, state: &Hidden| -> Result<Vec<f32>, ModelError> {
            let found = gather(self.network.as_ref(), self.block, weights, state, &[leader])?;
            Ok(found.into_iter().next().map(|(_, rows)| rows).unwrap_or_default())
        };
        if columns > LARGEST_SECOND_MOMENT {
            return self.unpaired(group, given, behind);
        }
        let apart = self.apart(group);
        let mut sums: Vec<_> = apart.iter().map(|_| AsymmetricAccumulator::new(columns)).collect();
        let pairs: Vec<(&Hidden, &Hidden)> = self.original.iter().zip(behind).collect();
        for (part, pairs) in pairs.chunks(together()).enumerate() {
            let both = |&(original, behind): &(&Hidden, &Hidden)| {
                let x = inputs(&weights, original)?;
                let y = if differs { Some(inputs(given, behind)?) } else { None };
                Ok((x, y))
            };
            let found = pairs.par_iter().map(both).collect::<Result<Vec<_>, ModelError>>()?;
            for (at, (mut x, mut y)) in found.into_iter().enumerate() {
                // Routing that changed: what reaches this expert now has no counterpart in the original.
                if y.as_ref().is_some_and(|y| x.len() != y.len()) {
                    return self.unpaired(group, given, behind);
                }
                if let Some(times) = self.cap {
                    turn_down(&mut x, y.as_mut(), columns, times);
                }
                for (&tensor, sums) in apart.iter().zip(&mut sums) {
                    let weights = self.row_weights(tensor, part * together() + at, &x);
                    sums.add_weighted(&x, y.as_ref().unwrap_or(&x), weights);
                }
            }
        }
        let mut found = HashMap::new();
        for (&tensor, sums) in apart.iter().zip(sums) {
            let both = self.sound(tensor, sums.finish())?;
            found.extend(both.map(|both| (tensor, Statistics::Asymmetric(Arc::new(both)))));
        }
        Ok(self.shared(group, found))
    }

    /// Statistics of the compressed model alone, where its inputs do not pair with the original's.
    fn unpaired(
        &self,
        group: &[usize],
        weights: &BlockWeights<'_>,
        states: &[Hidden],
    ) -> Result<HashMap<usize, Statistics>, ModelError> {
        let mut sums = HashMap::new();
        for (part, states) in states.chunks(together()).enumerate() {
            let gather = |state: &Hidden| gather(self.network.as_ref(), self.block, weights, state, &group[..1]);
            let found = states.par_iter().map(gather).collect::<Result<Vec<_>, _>>()?;
            for (at, found) in found.iter().enumerate() {
                found.iter().for_each(|(_, rows)| self.add(&mut sums, group, part * together() + at, rows));
            }
        }
        Ok(self.shared(group, self.finished(sums)?))
    }

    /// Statistics of tensors that are read again by a later block, in the original model.
    fn gather_tied(&self) -> Result<HashMap<usize, Statistics>, ModelError> {
        let is_tied = |tensor: &usize| self.spans[*tensor].is_some_and(|(first, last)| first < last);
        let wanted: Vec<Vec<Vec<usize>>> = (0..self.network.blocks())
            .map(|block| self.network.groups(block).into_iter().filter(|group| group.iter().any(is_tied)).collect())
            .collect();
        let Some(end) = wanted.iter().rposition(|wanted| !wanted.is_empty()) else { return Ok(HashMap::new()) };
        let mut ahead = Self { original: self.original.clone(), block: self.block, ..self.bare() };
        let mut found = HashMap::new();
        for (block, wanted) in wanted.iter().enumerate().take(end + 1).skip(self.block) {
            if !wanted.is_empty() {
                found.extend(ahead.plain(wanted)?.into_iter().filter(|(tensor, _)| is_tied(tensor)));
            }
            if block < end {
                ahead.advance()?;
            }
        }
        Ok(found)
    }

    /// A plain walk through the same network, without states.
    fn bare(&self) -> Self {
        Self {
            network: self.network.clone(),
            weights: self.weights.clone(),
            mode: Mode::Plain,
            spans: self.spans.clone(),
            block: 0,
            original: Vec::new(),
            compressed: None,
            decoded: HashMap::new(),
            known: HashMap::new(),
            tied: None,
            cap: self.cap,
            row_weights: self.row_weights.clone(),
        }
    }

    fn accumulator(&self, tensor: usize) -> Accumulator {
        let sums = accumulator(self.columns(tensor));
        match self.cap {
            Some(times) => sums.capped(times),
            None => sums,
        }
    }

    fn columns(&self, tensor: usize) -> usize {
        self.network.tensors()[tensor].columns()
    }

    /// Statistics, none where there was no input, or why there are none.
    fn sound<T>(&self, tensor: usize, made: Result<T, StatisticsError>) -> Result<Option<T>, ModelError> {
        match made {
            Ok(made) => Ok(Some(made)),
            Err(StatisticsError::NoSamples) => Ok(None),
            Err(source) => Err(ModelError::Statistics { tensor: self.network.tensors()[tensor].name.clone(), source }),
        }
    }
}

fn accumulator(columns: usize) -> Accumulator {
    if columns > LARGEST_SECOND_MOMENT { Accumulator::squares(columns) } else { Accumulator::new(columns) }
}

/// Turns rows of `x` that are louder than `times` the median down to that, and those of `y` by the same factors.
fn turn_down(x: &mut [f32], y: Option<&mut Vec<f32>>, columns: usize, times: f32) {
    let energy = |row: &[f32]| row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>();
    let energies: Vec<f64> = x.chunks_exact(columns).map(energy).collect();
    let mut sorted = energies.clone();
    sorted.sort_by(f64::total_cmp);
    let Some(median) = sorted.get(sorted.len() / 2) else { return };
    let most = f64::from(times) * median;
    let factor = |energy: &f64| if *energy > most { (most / energy).sqrt() as f32 } else { 1.0 };
    let turn = |rows: &mut [f32]| {
        for (row, energy) in rows.chunks_exact_mut(columns).zip(&energies).filter(|(_, energy)| **energy > most) {
            let factor = factor(energy);
            row.iter_mut().for_each(|value| *value *= factor);
        }
    };
    turn(x);
    if let Some(y) = y {
        turn(y);
    }
}

/// Batches that are run side by side: results do not depend on it.
fn together() -> usize {
    rayon::current_num_threads().max(1)
}

fn step_all(
    network: &dyn Network,
    block: usize,
    weights: &BlockWeights<'_>,
    states: &mut [Hidden],
) -> Result<(), ModelError> {
    states.par_iter_mut().try_for_each(|state| {
        *state = network.step(block, weights, state, &mut NoTap)?;
        Ok(())
    })
}

/// What some tensors multiply in one step; ends the step when all are seen.
struct Gather<'a> {
    wanted: &'a [usize],
    found: Vec<(usize, Vec<f32>)>,
}

impl Tap for Gather<'_> {
    fn wants(&self, tensor: usize) -> bool {
        self.wanted.contains(&tensor)
    }

    fn inputs(&mut self, tensor: usize, rows: &[f32]) -> Result<(), ModelError> {
        if self.wants(tensor) {
            self.found.push((tensor, rows.to_vec()));
        }
        if self.found.len() == self.wanted.len() { Err(ModelError::Enough) } else { Ok(()) }
    }
}

fn gather(
    network: &dyn Network,
    block: usize,
    weights: &BlockWeights<'_>,
    state: &Hidden,
    wanted: &[usize],
) -> Result<Vec<(usize, Vec<f32>)>, ModelError> {
    let mut tap = Gather { wanted, found: Vec::new() };
    match network.step(block, weights, state, &mut tap) {
        Ok(_) | Err(ModelError::Enough) => Ok(tap.found),
        Err(error) => Err(error),
    }
}
