//! The tensors that one block reads.

use std::borrow::Cow;

use seedpress_codec::Tensor;

/// The tensors that one block reads.
#[derive(Debug, Clone)]
pub struct BlockWeights<'a> {
    pub(crate) tensors: Vec<(usize, Cow<'a, Tensor>)>,
}

impl<'a> BlockWeights<'a> {
    /// Puts a tensor in place of one that the block reads; without effect on others.
    pub fn replace<'b>(&mut self, tensor: usize, values: &'b Tensor)
    where
        'b: 'a,
    {
        if let Some(place) = self.tensors.iter_mut().find(|(other, _)| *other == tensor) {
            place.1 = Cow::Borrowed(values);
        }
    }

    /// The same tensors without a copy of any, some to be replaced.
    pub(crate) fn borrowed(&self) -> BlockWeights<'_> {
        let tensors = self.tensors.iter().map(|(tensor, values)| (*tensor, Cow::Borrowed(values.as_ref())));
        BlockWeights { tensors: tensors.collect() }
    }

    /// A tensor that the block reads.
    ///
    /// # Panics
    /// For a tensor that [`Network::block_tensors`](crate::Network::block_tensors) does not list.
    pub fn tensor(&self, tensor: usize) -> &Tensor {
        let found = self.tensors.iter().find(|(other, _)| *other == tensor);
        found.map(|(_, values)| values.as_ref()).expect("a block reads the tensors that it lists")
    }

    /// The values of a tensor that the block reads.
    ///
    /// # Panics
    /// As [`tensor`](Self::tensor).
    pub fn values(&self, tensor: usize) -> &[f32] {
        self.tensor(tensor).values()
    }
}
