//! What is known of a tensor without its values.

use seedpress_codec::DType;
use seedpress_codec::MatrixView;

/// A tensor of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the checkpoint.
    pub name: String,
    /// Dimensions, outermost (outputs) first.
    pub shape: Vec<usize>,
    /// Its type at the source.
    pub dtype: DType,
    /// `linear`, `conv3x3`, `conv1x1`, `conv`, `embedding`, `recurrent`, `bias`, `norm` or `other`.
    pub layer_type: String,
}

impl TensorInfo {
    /// A tensor of 32-bit floats.
    pub fn new(name: impl Into<String>, shape: &[usize], layer_type: impl Into<String>) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), dtype: DType::F32, layer_type: layer_type.into() }
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of the weights at the source.
    pub fn bytes(&self) -> usize {
        self.weights() * self.dtype.size()
    }

    /// Inputs of the layer: columns of the matrix that codecs see, see [`MatrixView::of`].
    pub fn columns(&self) -> usize {
        MatrixView::of(&self.name, &self.shape).matrix_shape(&self.shape).1
    }

    /// Rows of its matrix view.
    pub fn rows(&self) -> usize {
        MatrixView::of(&self.name, &self.shape).matrix_shape(&self.shape).0
    }

    /// Whether it is of a kind that multiplies inputs: a matrix or a kernel, no table that is looked up, no vector.
    pub fn multiplies(&self) -> bool {
        self.shape.len() > 1 && !matches!(self.layer_type.as_str(), "embedding" | "norm" | "bias")
    }
}

/// The kind of layer that a tensor of a checkpoint most likely belongs to, from its name and shape.
pub fn guess_layer_type(name: &str, shape: &[usize]) -> &'static str {
    let name = name.to_ascii_lowercase();
    match shape {
        _ if name.contains("norm") || name.contains(".bn") || name.contains("ln_") => "norm",
        [] | [_] if name.contains("bias") => "bias",
        [] | [_] => "other",
        _ if name.contains("embed") || name.contains("wte") || name.contains("wpe") => "embedding",
        _ if name.contains("lstm") || name.contains("rnn") || name.contains("gru") => "recurrent",
        [_, _] => "linear",
        [_, _, 1, 1] | [_, _, 1] => "conv1x1",
        [_, _, 3, 3] => "conv3x3",
        [_, _, ..] => "conv",
    }
}
