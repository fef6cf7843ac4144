//! What is known of a tensor's inputs, and what follows from the tensors before it.
//!
//! Plain compression knows nothing: [`NoGuide`]. Calibrated compression gives statistics of what each tensor multiplies. Sequential
//! compression, where each tensor repairs what those before it did wrong, also learns what became of every tensor, and may give
//! another tensor to encode in its place.

use std::borrow::Cow;
use std::sync::Arc;

use seedpress_codec::{InputStatistics, Tensor};

use crate::error::PressError;

/// What an encoder is told of one tensor.
#[derive(Debug, Clone, Default)]
pub struct Guidance {
    /// Statistics of what it multiplies.
    pub statistics: Option<Arc<InputStatistics>>,
    /// What is encoded in its place. Errors are still measured against the tensor itself.
    pub corrected: Option<Tensor>,
    /// Rows of inputs that reached the tensor itself, where statistics are of others that stand in for them: an expert that few tokens chose.
    pub scarce: Option<u64>,
}

/// Knows a model's inputs.
pub trait Guide {
    /// What is known of a tensor. Called once for each, in order; not for tensors that are kept as they are or whose codec uses no
    /// statistics, unless [`follows`](Self::follows).
    ///
    /// # Errors
    /// [`PressError::Guide`].
    fn guide(&mut self, tensor: usize) -> Result<Guidance, PressError>;

    /// Whether [`compressed`](Self::compressed) must be called with each tensor before the next is asked for, unless that one
    /// [is known](Self::is_known). Tensors are then mostly in work one at a time.
    fn follows(&self) -> bool {
        false
    }

    /// Whether a tensor's guidance does not depend on tensors that were asked for and whose outcome is not known yet: those that share
    /// their inputs are in work together.
    fn is_known(&self, tensor: usize) -> bool {
        let _ = tensor;
        false
    }

    /// What became of a tensor, kept ones included.
    ///
    /// # Errors
    /// [`PressError::Guide`].
    fn compressed(&mut self, tensor: usize, decoded: &Tensor) -> Result<(), PressError> {
        let _ = (tensor, decoded);
        Ok(())
    }

    /// What the guidance depends on, for taking up work that was killed: a model and its data. `None` where that cannot be said.
    fn identity(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// Nothing is known but the weights.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGuide;

impl Guide for NoGuide {
    fn guide(&mut self, _: usize) -> Result<Guidance, PressError> {
        Ok(Guidance::default())
    }

    fn identity(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(""))
    }
}
