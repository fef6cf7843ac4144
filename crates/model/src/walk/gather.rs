//! Sums over the inputs of the block at work: what a [`Walk`] finds before it moves on.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;
use seedpress_calibration::{Accumulator, AsymmetricAccumulator, InputStatistics, OutputWeights, StatisticsError};

use super::{Mode, SCARCE, Statistics, Walk};
use crate::block_weights::BlockWeights;
use crate::error::ModelError;
use crate::network::{Hidden, Network, Tap};
use crate::states::States;

/// Layers of more inputs than this get mean squares and no second moment, which grows with the square: 1 GiB here, and twice that while
/// it is summed. The widest down projections of 70 B models have 28,672 inputs; those of 8 B models 14,336.
const LARGEST_SECOND_MOMENT: usize = 16_384;

impl Walk {
    /// The tensors of a group whose statistics differ: all where rows have weights, else the first stands for all.
    fn apart<'g>(&self, group: &'g [usize]) -> &'g [usize] {
        if self.row_weights.is_some() { group } else { &group[..1] }
    }

    /// Weights of the rows of a batch, where there are as many.
    fn row_weights(&self, tensor: usize, batch: usize, rows: &[f32]) -> Option<&[f32]> {
        let weights = self.row_weights.as_ref()?.of(tensor, batch)?;
        (weights.len() * self.columns(tensor) == rows.len()).then_some(weights)
    }

    /// How much each output of a tensor of these inputs counts, where it is known.
    fn outputs(&self, tensor: usize, inputs: &InputStatistics) -> Option<Arc<OutputWeights>> {
        self.row_weights.as_ref()?.outputs(tensor, inputs)
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
    pub(super) fn plain(&self, groups: &[Vec<usize>]) -> Result<HashMap<usize, Statistics>, ModelError> {
        let weights = BlockWeights::load(self.network.as_ref(), self.block, self.weights.as_ref())?;
        let leaders: Vec<usize> = groups.iter().map(|group| group[0]).collect();
        let mut sums: HashMap<usize, Accumulator> = HashMap::new();
        let gather = |batch| gather(self.network.as_ref(), self.block, &weights, &*self.original.at(batch)?, &leaders);
        in_order(self.original.len(), gather, |batch, found: Vec<(usize, Vec<f32>)>| {
            for (leader, rows) in &found {
                let group = groups.iter().find(|group| group[0] == *leader).map_or(&[][..], Vec::as_slice);
                self.add(&mut sums, group, batch, rows);
            }
            true
        })?;
        let found = self.finished(sums)?;
        let of_group = |group: &Vec<usize>| {
            let own = group.iter().filter_map(|tensor| Some((*tensor, found.get(tensor)?.clone()))).collect();
            self.shared(group, own)
        };
        Ok(groups.iter().flat_map(of_group).collect())
    }

    fn finished(&self, sums: HashMap<usize, Accumulator>) -> Result<HashMap<usize, Statistics>, ModelError> {
        let finish = |(tensor, sums): (usize, Accumulator)| {
            let inputs = self.sound(tensor, sums.finish())?;
            let plain = |inputs: InputStatistics| {
                let outputs = self.outputs(tensor, &inputs);
                Statistics::Plain(Arc::new(inputs.with_outputs(outputs)))
            };
            Ok(inputs.map(|inputs| (tensor, plain(inputs))))
        };
        sums.into_iter().filter_map(|entry| finish(entry).transpose()).collect()
    }

    /// Statistics of a group of the block at work behind compressed ones.
    pub(super) fn asymmetric(&self, group: &[usize]) -> Result<HashMap<usize, Statistics>, ModelError> {
        let Some(sums) = self.paired(group)? else { return self.unpaired(group) };
        let mut found = HashMap::new();
        for (&tensor, sums) in self.apart(group).iter().zip(sums) {
            let Some(both) = self.sound(tensor, sums.finish())? else { continue };
            let outputs = self.outputs(tensor, both.inputs());
            let both = both.with_outputs(outputs);
            found.insert(tensor, Statistics::Asymmetric(Arc::new(both)));
        }
        Ok(self.shared(group, found))
    }

    /// Sums over inputs of both models for each tensor of a group that is told apart; `None` where they do not pair, or are too wide.
    fn paired(&self, group: &[usize]) -> Result<Option<Vec<AsymmetricAccumulator>>, ModelError> {
        let (leader, columns) = (group[0], self.columns(group[0]));
        if columns > LARGEST_SECOND_MOMENT {
            return Ok(None);
        }
        let weights = BlockWeights::load(self.network.as_ref(), self.block, self.weights.as_ref())?;
        let given = self.given(&weights);
        let differs = given.is_some() || self.compressed.is_some();
        let given = given.as_ref().unwrap_or(&weights);
        let behind = self.compressed.as_ref().unwrap_or(&self.original);
        let inputs = |weights: &BlockWeights<'_>, state: &Hidden| -> Result<Vec<f32>, ModelError> {
            let found = gather(self.network.as_ref(), self.block, weights, state, &[leader])?;
            Ok(found.into_iter().next().map(|(_, rows)| rows).unwrap_or_default())
        };
        let apart = self.apart(group);
        let mut sums: Vec<_> = apart.iter().map(|_| AsymmetricAccumulator::new(columns)).collect();
        let both = |batch| {
            let x = inputs(&weights, &*self.original.at(batch)?)?;
            let y = if differs { Some(inputs(given, &*behind.at(batch)?)?) } else { None };
            Ok((x, y))
        };
        let paired = in_order(self.original.len(), both, |batch, (mut x, mut y): (Vec<f32>, Option<Vec<f32>>)| {
            // Routing that changed: what reaches this expert now has no counterpart in the original.
            if y.as_ref().is_some_and(|y| x.len() != y.len()) {
                return false;
            }
            if let Some(times) = self.cap {
                turn_down(&mut x, y.as_mut(), columns, times);
            }
            for (&tensor, sums) in apart.iter().zip(&mut sums) {
                let weights = self.row_weights(tensor, batch, &x);
                sums.add_weighted(&x, y.as_ref().unwrap_or(&x), weights);
            }
            true
        })?;
        Ok(paired.then_some(sums))
    }

    /// Weights of the block at work in the compressed model, with the states before it.
    fn behind(&self) -> Result<(BlockWeights<'_>, &States), ModelError> {
        let mut weights = BlockWeights::load(self.network.as_ref(), self.block, self.weights.as_ref())?;
        self.decoded.iter().for_each(|(&tensor, values)| weights.replace(tensor, values));
        Ok((weights, self.compressed.as_ref().unwrap_or(&self.original)))
    }

    /// Statistics of the compressed model alone, where its inputs do not pair with the original's.
    fn unpaired(&self, group: &[usize]) -> Result<HashMap<usize, Statistics>, ModelError> {
        let (weights, states) = self.behind()?;
        let mut sums = HashMap::new();
        let gather = |batch| gather(self.network.as_ref(), self.block, &weights, &*states.at(batch)?, &group[..1]);
        in_order(states.len(), gather, |batch, found: Vec<(usize, Vec<f32>)>| {
            found.iter().for_each(|(_, rows)| self.add(&mut sums, group, batch, rows));
            true
        })?;
        Ok(self.shared(group, self.finished(sums)?))
    }

    /// Puts statistics of more rows in place of those of tensors that too few rows reached.
    pub(super) fn stand_in(
        &mut self,
        tensors: &[usize],
        found: &mut HashMap<usize, Statistics>,
    ) -> Result<(), ModelError> {
        for &tensor in tensors {
            let stand_ins = self.network.stand_ins(tensor);
            let own = found.get(&tensor).map_or(0, |statistics| statistics.inputs().samples());
            if stand_ins.is_empty() || own as f64 >= SCARCE * self.columns(tensor) as f64 {
                continue;
            }
            let inputs = match self.pooled.get(&stand_ins) {
                Some(known) => known.clone(),
                None => {
                    let inputs = self.pool(&stand_ins)?;
                    self.pooled.entry(stand_ins).or_insert(inputs).clone()
                }
            };
            if let Some(inputs) = inputs.filter(|inputs| inputs.samples() > own) {
                found.insert(tensor, Statistics::Pooled { inputs, own });
            }
        }
        Ok(())
    }

    /// Statistics of the inputs of some tensors of the block at work together, in the compressed model so far. All rows count alike:
    /// weights are those of other tensors.
    fn pool(&self, tensors: &[usize]) -> Result<Option<Arc<InputStatistics>>, ModelError> {
        let (weights, states) = self.behind()?;
        let mut sums = self.accumulator(tensors[0]);
        let gather = |batch| gather(self.network.as_ref(), self.block, &weights, &*states.at(batch)?, tensors);
        in_order(states.len(), gather, |_, found: Vec<(usize, Vec<f32>)>| {
            found.iter().for_each(|(_, rows)| sums.add(rows));
            true
        })?;
        Ok(self.sound(tensors[0], sums.finish())?.map(Arc::new))
    }

    /// Statistics of tensors that are read again by a later block, in the original model.
    pub(super) fn gather_tied(&self) -> Result<HashMap<usize, Statistics>, ModelError> {
        let is_tied = |tensor: &usize| self.spans[*tensor].is_some_and(|(first, last)| first < last);
        let wanted: Vec<Vec<Vec<usize>>> = (0..self.network.blocks())
            .map(|block| self.network.groups(block).into_iter().filter(|group| group.iter().any(is_tied)).collect())
            .collect();
        let Some(end) = wanted.iter().rposition(|wanted| !wanted.is_empty()) else { return Ok(HashMap::new()) };
        let mut ahead = Self { original: self.original.duplicate()?, block: self.block, ..self.bare() };
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
            original: States::none(),
            compressed: None,
            decoded: HashMap::new(),
            known: HashMap::new(),
            pooled: HashMap::new(),
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

/// Makes something of every batch, as many side by side as there are threads, and takes it in order, which results depend on; until `take`
/// says that it is enough. Whether it never did.
fn in_order<T: Send>(
    batches: usize,
    make: impl Fn(usize) -> Result<T, ModelError> + Sync,
    mut take: impl FnMut(usize, T) -> bool,
) -> Result<bool, ModelError> {
    let all: Vec<usize> = (0..batches).collect();
    for part in all.chunks(rayon::current_num_threads().max(1)) {
        let made = part.par_iter().map(|&batch| make(batch)).collect::<Result<Vec<_>, _>>()?;
        for (&batch, made) in part.iter().zip(made) {
            if !take(batch, made) {
                return Ok(false);
            }
        }
    }
    Ok(true)
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
