//! Statistics of every weight's inputs in one walk through a network.
//!
//! The hidden states of all calibration samples are kept, of the original model and, in sequential mode, of the one that is being
//! compressed. Block by block the inputs of its weights are gathered; the decoded tensors are taken; the states move on. No block is run
//! again once it is passed, so the cost grows with the depth, not with its square, and memory holds one block and its hidden states, of
//! which those beyond a [limit](Storage) lie in a temporary file.
//!
//! - **Plain**: statistics of the inputs in the original model, all of a block in one run.
//! - **Sequential**: for each [group](Network::groups) of tensors that share inputs the block alone is run again, with the groups before
//!   it compressed: statistics of the inputs `y` that the compressed model has, and of how they go with the original's `x`
//!   ([`AsymmetricStatistics`], after Y. Li et al., GPTAQ, 2025).
//!
//! A tensor belongs to the first block that reads it. One that is also read further on (a head tied to an embedding) is compressed
//! before its inputs there are known, so its statistics are those of the original model, from a run of their own when they are first asked for.

mod gather;

use std::collections::HashMap;
use std::sync::Arc;

use seedpress_calibration::{AsymmetricStatistics, DAMPING, InputStatistics, OutputWeights};
use seedpress_codec::Tensor;

use crate::block_weights::BlockWeights;
use crate::data::Samples;
use crate::error::ModelError;
use crate::network::{Network, NoTap};
use crate::states::{States, Storage};
use crate::weights::Weights;

/// Raised when statistics of the same model and data, or the weights corrected by them, change: rows of calibrated codecs are then stale.
pub const REVISION: u32 = 2;

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
    /// Of all rows that [stand in](Network::stand_ins) for the few that reach the tensor, of the compressed model so far.
    Pooled {
        /// The sums over all of them.
        inputs: Arc<InputStatistics>,
        /// Rows that reach the tensor itself.
        own: u64,
    },
}

/// A tensor that fewer rows reach than this share of its columns is calibrated with those that stand in for them: a second moment of
/// fewer rows than columns leaves directions unseen, and damping alone decides about most of them below a quarter.
const SCARCE: f64 = 0.25;

impl Statistics {
    /// What a codec is calibrated with.
    pub fn inputs(&self) -> &Arc<InputStatistics> {
        match self {
            Self::Plain(inputs) | Self::Pooled { inputs, .. } => inputs,
            Self::Asymmetric(both) => both.inputs(),
        }
    }

    /// Rows of inputs that reached the tensor itself, where others stand in for them.
    pub fn scarce(&self) -> Option<u64> {
        if let Self::Pooled { own, .. } = self { Some(*own) } else { None }
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

    /// How much each row of the tensor's matrix view counts behind these inputs; `None` where all count alike.
    fn outputs(&self, tensor: usize, inputs: &InputStatistics) -> Option<Arc<OutputWeights>> {
        let _ = (tensor, inputs);
        None
    }
}

/// What a walk has of a tensor of the block at work.
enum Known {
    /// Statistics; `None` where the tensor is not a layer's weight.
    Held(Option<Statistics>),
    /// They were [handed over](Walk::take).
    Taken,
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
    original: States,
    /// Of the compressed model; `None` as long as nothing differs.
    compressed: Option<States>,
    /// Decoded tensors that differ from the original and are still to be read.
    decoded: HashMap<usize, Tensor>,
    /// Of tensors of the block at work.
    known: HashMap<usize, Known>,
    /// Of rows that stand in for those of others in the block at work, by the tensors they are the inputs of.
    pooled: HashMap<Vec<usize>, Option<Arc<InputStatistics>>>,
    /// Of tensors that several blocks read.
    tied: Option<HashMap<usize, Statistics>>,
    /// Rows louder than this many times the median are turned down to that.
    cap: Option<f32>,
    row_weights: Option<Arc<dyn RowWeights>>,
}

impl Walk {
    /// Reads the data and stands before the first block, with all hidden states in memory.
    ///
    /// # Errors
    /// Data that cannot be read or does not fit.
    pub fn new(
        network: Arc<dyn Network>,
        weights: Arc<dyn Weights>,
        samples: &dyn Samples,
        mode: Mode,
    ) -> Result<Self, ModelError> {
        Self::within(network, weights, samples, mode, &Storage::memory())
    }

    /// The same with hidden states where `storage` has them.
    ///
    /// # Errors
    /// Data that cannot be read or does not fit, a file that cannot be written.
    pub fn within(
        network: Arc<dyn Network>,
        weights: Arc<dyn Weights>,
        samples: &dyn Samples,
        mode: Mode,
        storage: &Storage,
    ) -> Result<Self, ModelError> {
        let original = States::new(samples.batches(), storage, |batch| network.start(samples.batch(batch)?))?;
        let mut spans: Vec<Option<(usize, usize)>> = vec![None; network.tensors().len()];
        for block in 0..network.blocks() {
            for tensor in network.block_tensors(block) {
                spans[tensor] = Some((spans[tensor].map_or(block, |(first, _)| first), block));
            }
        }
        let (block, tied) = (0, None);
        let (compressed, decoded, known, pooled) = (None, HashMap::new(), HashMap::new(), HashMap::new());
        let (cap, row_weights) = (None, None);
        Ok(Self {
            network,
            weights,
            mode,
            spans,
            block,
            original,
            compressed,
            decoded,
            known,
            pooled,
            tied,
            cap,
            row_weights,
        })
    }

    /// Counts rows of inputs by these weights, in place of all alike.
    #[must_use]
    pub fn weighted(self, row_weights: Arc<dyn RowWeights>) -> Self {
        Self { row_weights: Some(row_weights), ..self }
    }

    /// Turns rows of inputs louder than `times` the median of their batch down to that, see
    /// [`Accumulator::capped`](seedpress_calibration::Accumulator::capped); in sequential mode
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

    /// Statistics of what a tensor multiplies; `None` where it is not a layer's weight. In sequential mode tensors that were not handed to
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
        match self.known.get(&tensor) {
            Some(Known::Held(known)) => return Ok(known.clone()),
            Some(Known::Taken) => return Err(ModelError::Passed(self.network.tensors()[tensor].name.clone())),
            None => {}
        }
        let groups = self.network.groups(self.block);
        let Some(group) = groups.iter().find(|group| group.contains(&tensor)) else { return Ok(None) };
        let (gathered, mut found) = match self.mode {
            Mode::Plain => (groups.concat(), self.plain(&groups)?),
            Mode::Sequential => (group.clone(), self.asymmetric(group)?),
        };
        self.stand_in(&gathered, &mut found)?;
        let asked = found.get(&tensor).cloned();
        self.known.extend(gathered.into_iter().map(|tensor| (tensor, Known::Held(found.remove(&tensor)))));
        Ok(asked)
    }

    /// As [`statistics`](Self::statistics), and keeps none of them: those of wide layers are the largest part of what a walk holds.
    /// Asking again is an error.
    ///
    /// # Errors
    /// As there.
    pub fn take(&mut self, tensor: usize) -> Result<Option<Statistics>, ModelError> {
        let found = self.statistics(tensor)?;
        if let Some(known) = self.known.get_mut(&tensor) {
            *known = Known::Taken;
        }
        Ok(found)
    }

    /// Whether statistics of a tensor were gathered, with those of another of its group: no tensor that is compressed meanwhile changes
    /// them.
    pub fn knows(&self, tensor: usize) -> bool {
        self.known.contains_key(&tensor)
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
            compressed = Some(self.original.duplicate()?);
        }
        if let Some(states) = &mut compressed {
            let given = given.as_ref().unwrap_or(&weights);
            states.update(|state| network.step(block, given, state, &mut NoTap))?;
        }
        drop(given);
        self.compressed = compressed;
        self.original.update(|state| network.step(block, &weights, state, &mut NoTap))?;
        self.known.clear();
        self.pooled.clear();
        self.decoded.retain(|&tensor, _| self.spans[tensor].is_some_and(|(_, last)| last > block));
        self.block += 1;
        Ok(())
    }

    /// The weights of the block at work with the decoded ones in place; `None` where none differs.
    fn given<'w>(&'w self, weights: &'w BlockWeights<'_>) -> Option<BlockWeights<'w>> {
        let tensors = self.network.block_tensors(self.block);
        let mut changed = tensors.iter().filter_map(|tensor| Some((*tensor, self.decoded.get(tensor)?))).peekable();
        changed.peek()?;
        let mut given = weights.borrowed();
        changed.for_each(|(tensor, values)| given.replace(tensor, values));
        Some(given)
    }
}
