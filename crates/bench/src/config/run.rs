//! The `[run]` table.

use schemars::JsonSchema;
use seedpress_codec::Int;
use serde::{Deserialize, Serialize};

/// How a run measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Name of the run: its report lands in `reports/<name>/`.
    pub name: String,
    /// How often each tensor is encoded; every time is kept.
    pub encode_runs: Int<1, 100>,
    /// How often each tensor is decoded; every time is kept.
    pub decode_runs: Int<1, 1000>,
    /// Threads for encoders and whole-model decoding; 0 takes every processor. Tensors are decoded on one thread.
    pub threads: Int<0, 1024>,
    /// Tensors with fewer weights than this are stored by codec `raw`, as are those of rank 0 and 1 (biases, norms): their rows say
    /// so in `stored_by`. 0 hands every tensor to the codec.
    pub keep_below: Int<0, 1_000_000_000>,
    /// Whether models are evaluated on their task before and after.
    pub evaluate: bool,
    /// Further files of each lossy row, of weights moved by 2^-12 of themselves and measured like the row's own: how far an encoder's
    /// figures scatter. Their spread widens the intervals of metrics.
    pub draws: Int<0, 16>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            encode_runs: Int::of(1),
            decode_runs: Int::of(3),
            threads: Int::of(0),
            keep_below: Int::of(1024),
            evaluate: true,
            draws: Int::of(0),
        }
    }
}

impl RunSettings {
    /// Threads to use.
    pub fn thread_count(&self) -> usize {
        match self.threads.size() {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }

    /// Whether the small-tensor policy stores a tensor of this shape as it is.
    pub fn keeps(&self, shape: &[usize], weights: usize) -> bool {
        self.keep_below.get() > 0 && (shape.len() <= 1 || weights < self.keep_below.size())
    }
}
