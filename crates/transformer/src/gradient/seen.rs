//! What the backward pass shows, and of what.

use crate::description::Linear;
use crate::error::TransformerError;

/// What a product multiplied, and what its outputs matter.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The product.
    pub linear: &'a Linear,
    /// Its inputs, one token a row.
    pub inputs: &'a [f32],
    /// Gradients of `log p(y)` by its outputs, in nats, one token a row.
    pub gradients: &'a [f32],
}

/// Sees every product of the backward pass: within a block in no order of execution, the rows of a product in that of the forward pass.
pub type Sight<'a> = dyn FnMut(Seen<'_>) -> Result<(), TransformerError> + 'a;

/// The tokens whose probability is derived.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// These, one behind each token of the sequence.
    Given(&'a [u32]),
    /// Drawn from the model's own distribution with this seed.
    Drawn(u64),
}
