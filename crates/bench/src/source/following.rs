//! A walk through a model behind compressed tensors, and what it is told of them.

use seedpress_codec::Tensor;
use seedpress_model::Walk;

use crate::key;

/// A decoded tensor with its hash.
#[derive(Debug, Clone)]
pub struct Hashed {
    /// The tensor.
    pub tensor: Tensor,
    /// Of type, shape and values.
    pub(super) hash: String,
}

impl From<Tensor> for Hashed {
    fn from(tensor: Tensor) -> Self {
        Self { hash: key::content(&tensor), tensor }
    }
}

/// A walk through a model behind compressed tensors.
pub(super) struct Following {
    pub(super) walk: Walk,
    /// Hashes of the tensors that were handed to it.
    pub(super) taken: Vec<String>,
}

impl std::fmt::Debug for Following {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Following(behind {} tensors)", self.taken.len())
    }
}
