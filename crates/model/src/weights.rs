//! Where weights come from: memory, a checkpoint, other weights with some replaced.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use seedpress_checkpoint::Checkpoint;
use seedpress_codec::{DType, Tensor};

use crate::block_weights::BlockWeights;
use crate::error::ModelError;
use crate::network::Network;
use crate::tensor::TensorInfo;

/// The weights of a network, one tensor at a time, by its place in [`Network::tensors`].
pub trait Weights: Send + Sync {
    /// A tensor, widened to 32-bit floats: borrowed where it lies in memory, read where it does not.
    ///
    /// # Errors
    /// A tensor that is not there or cannot be read.
    fn load(&self, tensor: usize) -> Result<Cow<'_, Tensor>, ModelError>;

    /// The type of a tensor at its source, where it is known.
    fn dtype(&self, tensor: usize) -> Option<DType> {
        let _ = tensor;
        None
    }

    /// Whether loading costs nothing. Where it does not, a network is run block by block over all of its data, so that every tensor is
    /// read once; where it does, a few batches at a time go through all blocks, so that few hidden states are held.
    fn resident(&self) -> bool {
        false
    }
}

fn absent(tensor: usize) -> ModelError {
    ModelError::Weights { tensor: format!("tensor {tensor}"), what: "no such tensor".to_owned() }
}

impl Weights for &[Tensor] {
    fn load(&self, tensor: usize) -> Result<Cow<'_, Tensor>, ModelError> {
        self.get(tensor).map(Cow::Borrowed).ok_or_else(|| absent(tensor))
    }

    fn dtype(&self, tensor: usize) -> Option<DType> {
        self.get(tensor).map(Tensor::dtype)
    }

    fn resident(&self) -> bool {
        true
    }
}

impl Weights for Vec<Tensor> {
    fn load(&self, tensor: usize) -> Result<Cow<'_, Tensor>, ModelError> {
        self.get(tensor).map(Cow::Borrowed).ok_or_else(|| absent(tensor))
    }

    fn dtype(&self, tensor: usize) -> Option<DType> {
        self.get(tensor).map(Tensor::dtype)
    }

    fn resident(&self) -> bool {
        true
    }
}

/// The tensors of a checkpoint, read when they are asked for.
#[derive(Debug)]
pub struct CheckpointWeights {
    checkpoint: Arc<Checkpoint>,
    infos: Vec<TensorInfo>,
}

impl CheckpointWeights {
    /// The tensors of a network by their names.
    pub fn new(checkpoint: impl Into<Arc<Checkpoint>>, network: &dyn Network) -> Self {
        Self { checkpoint: checkpoint.into(), infos: network.tensors().to_vec() }
    }
}

impl Weights for CheckpointWeights {
    fn load(&self, tensor: usize) -> Result<Cow<'_, Tensor>, ModelError> {
        let info = self.infos.get(tensor).ok_or_else(|| absent(tensor))?;
        let loaded = self.checkpoint.load_float(&info.name)?;
        fits(info, &loaded)?;
        Ok(Cow::Owned(loaded))
    }

    fn dtype(&self, tensor: usize) -> Option<DType> {
        let name = &self.infos.get(tensor)?.name;
        self.checkpoint.tensors().iter().find(|info| info.name == *name)?.float()
    }
}

/// Other weights with some tensors replaced.
pub struct Replaced<'a> {
    base: &'a dyn Weights,
    given: HashMap<usize, Cow<'a, Tensor>>,
}

impl<'a> Replaced<'a> {
    /// `given` stand in place of the tensors of `base` with these numbers.
    pub fn new(base: &'a dyn Weights, given: impl IntoIterator<Item = (usize, &'a Tensor)>) -> Self {
        Self { base, given: given.into_iter().map(|(tensor, values)| (tensor, Cow::Borrowed(values))).collect() }
    }
}

impl Weights for Replaced<'_> {
    fn load(&self, tensor: usize) -> Result<Cow<'_, Tensor>, ModelError> {
        match self.given.get(&tensor) {
            Some(given) => Ok(Cow::Borrowed(given)),
            None => self.base.load(tensor),
        }
    }

    fn dtype(&self, tensor: usize) -> Option<DType> {
        self.given.get(&tensor).map(|given| given.dtype()).or_else(|| self.base.dtype(tensor))
    }

    fn resident(&self) -> bool {
        self.base.resident()
    }
}

fn fits(info: &TensorInfo, tensor: &Tensor) -> Result<(), ModelError> {
    if tensor.shape() == info.shape {
        return Ok(());
    }
    let what = format!("has shape {:?}, not {:?}", tensor.shape(), info.shape);
    Err(ModelError::Weights { tensor: info.name.clone(), what })
}

impl<'a> BlockWeights<'a> {
    /// Loads what a block reads.
    ///
    /// # Errors
    /// As [`Weights::load`], and tensors of another shape than the network's.
    pub fn load(network: &dyn Network, block: usize, weights: &'a dyn Weights) -> Result<Self, ModelError> {
        let read = |tensor: usize| {
            let loaded = weights.load(tensor)?;
            fits(&network.tensors()[tensor], &loaded)?;
            Ok((tensor, loaded))
        };
        let tensors = network.block_tensors(block).into_iter().map(read).collect::<Result<_, ModelError>>()?;
        Ok(Self { tensors })
    }
}
