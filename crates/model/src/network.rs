//! A network that runs block by block.

use crate::block_weights::BlockWeights;
use crate::error::ModelError;
use crate::outputs::Outputs;
use crate::tensor::TensorInfo;

/// What lies between two blocks for one batch: rows of numbers, in sequences.
///
/// A sequence is what a network never looks beyond: a text, an image, a recording. Its rows are tokens, pixels, moments. The inputs of a
/// network have the same form; tokens are held as numbers of width 1, which is exact below 2^24.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    /// Row after row.
    pub values: Vec<f32>,
    /// Numbers a row.
    pub width: usize,
    /// Rows of each sequence, in order.
    pub lengths: Vec<usize>,
}

impl Hidden {
    /// Rows of `width` numbers in sequences of the given lengths.
    ///
    /// # Errors
    /// [`ModelError::Shape`] where the numbers do not add up.
    pub fn new(values: Vec<f32>, width: usize, lengths: Vec<usize>) -> Result<Self, ModelError> {
        let rows: usize = lengths.iter().sum();
        if values.len() != rows * width {
            let shape = format!("{} numbers are not {rows} rows of {width}", values.len());
            return Err(ModelError::Shape(shape));
        }
        Ok(Self { values, width, lengths })
    }

    /// Token numbers, one a row.
    pub fn tokens(sequences: &[&[u32]]) -> Self {
        let values = sequences.iter().flat_map(|sequence| sequence.iter().map(|&token| token as f32)).collect();
        Self { values, width: 1, lengths: sequences.iter().map(|sequence| sequence.len()).collect() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// The same sequences with rows of another width.
    pub fn with(&self, values: Vec<f32>, width: usize) -> Self {
        debug_assert_eq!(values.len(), self.rows() * width);
        Self { values, width, lengths: self.lengths.clone() }
    }
}

/// Sees what weights multiply.
pub trait Tap {
    /// Whether the inputs of a tensor are of interest: what is not need not be gathered.
    fn wants(&self, tensor: usize) -> bool;

    /// The inputs that a tensor multiplies, one a row, columns in the order of the weight's matrix view (outputs by everything else).
    ///
    /// # Errors
    /// [`ModelError::Enough`] ends the step.
    fn inputs(&mut self, tensor: usize, rows: &[f32]) -> Result<(), ModelError>;
}

/// Wants nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTap;

impl Tap for NoTap {
    fn wants(&self, _: usize) -> bool {
        false
    }

    fn inputs(&mut self, _: usize, _: &[f32]) -> Result<(), ModelError> {
        Ok(())
    }
}

/// Wants everything and hands it to a function.
pub struct TapAll<F>(pub F);

impl<F: FnMut(usize, &[f32]) -> Result<(), ModelError>> Tap for TapAll<F> {
    fn wants(&self, _: usize) -> bool {
        true
    }

    fn inputs(&mut self, tensor: usize, rows: &[f32]) -> Result<(), ModelError> {
        self.0(tensor, rows)
    }
}

/// A network without its weights.
///
/// Its blocks are numbered in the order of execution and small enough that one block's weights and hidden states fit memory: half a
/// layer of a transformer (attention, feed-forward), a layer of an LSTM, a convolution. Results depend on inputs and weights alone, not
/// on the number of threads or on what else is in the batch.
pub trait Network: Send + Sync {
    /// Its tensors. Weights are given by their place in this list.
    fn tensors(&self) -> &[TensorInfo];

    /// Number of blocks.
    fn blocks(&self) -> usize;

    /// The tensors that a block reads, in the order in which it applies them. A tensor may be read by several blocks (a tied head).
    fn block_tensors(&self, block: usize) -> Vec<usize>;

    /// Tensors of a block that multiply inputs, in order, those together that multiply the same inputs (query, key and value). A block
    /// hands the inputs of the first of each group to the tap, once a step (not at all where there is no row: an idle expert); those of
    /// the others may be left out. The inputs of a group follow from the groups before it.
    ///
    /// By default every tensor that [multiplies](TensorInfo::multiplies) stands alone.
    fn groups(&self, block: usize) -> Vec<Vec<usize>> {
        let tensors = self.block_tensors(block).into_iter();
        tensors.filter(|&tensor| self.tensors()[tensor].multiplies()).map(|tensor| vec![tensor]).collect()
    }

    /// Tensors of the same block, as wide as this one, whose inputs together stand for its own where too few rows reach it to tell: for an
    /// expert those of all experts. Empty where every row reaches the tensor.
    fn stand_ins(&self, tensor: usize) -> Vec<usize> {
        let _ = tensor;
        Vec::new()
    }

    /// What goes into the first block.
    ///
    /// # Errors
    /// Inputs of another form than the network's.
    fn start(&self, inputs: Hidden) -> Result<Hidden, ModelError> {
        Ok(inputs)
    }

    /// What a block makes of hidden states.
    ///
    /// # Errors
    /// Hidden states that do not fit; whatever the tap returns.
    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> Result<Hidden, ModelError>;

    /// What the network says.
    ///
    /// # Errors
    /// Hidden states that do not fit.
    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError>;
}
