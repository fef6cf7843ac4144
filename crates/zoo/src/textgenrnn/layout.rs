//! Names and shapes of the tensors.

pub(super) const CLASSES: usize = 465;
pub(super) const EMBEDDING: usize = 100;
pub(super) const WIDTH: usize = 128;
pub(super) const GATES: usize = 4 * WIDTH;
pub(super) const CONTEXT: usize = 40;

/// Embedding and both LSTMs' outputs, side by side.
pub(super) const SEEN: usize = EMBEDDING + 2 * WIDTH;

/// Name, shape and layer type of every tensor.
pub(super) const NAMES: [(&str, &[usize], &str); 10] = [
    ("embedding.weight", &[CLASSES, EMBEDDING], "embedding"),
    ("rnn_1.weight_ih", &[GATES, EMBEDDING], "recurrent"),
    ("rnn_1.weight_hh", &[GATES, WIDTH], "recurrent"),
    ("rnn_1.bias", &[GATES], "bias"),
    ("rnn_2.weight_ih", &[GATES, WIDTH], "recurrent"),
    ("rnn_2.weight_hh", &[GATES, WIDTH], "recurrent"),
    ("rnn_2.bias", &[GATES], "bias"),
    ("attention.weight", &[1, SEEN], "linear"),
    ("output.weight", &[CLASSES, SEEN], "linear"),
    ("output.bias", &[CLASSES], "bias"),
];
