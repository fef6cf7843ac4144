//! From the effort and the rate to the parameters of a search.

use schemars::JsonSchema;
use seedpress_codec::EncodeError;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::stream::CHUNK;

/// How hard the encoder searches. The decoder's speed is the same for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// 8 states.
    Fast,
    /// 16 states; 32 from 2.2 and 256 from 2.75 bits on, where the search for a rate is short and other codecs come closest.
    #[default]
    Default,
    /// 64 states, 256 from 2.75 bits on.
    High,
    /// 256 states: within about 0.3 dB of the rate-distortion function at high rates.
    Best,
}

/// How hard to search, and what for.
#[derive(Debug, Clone, Copy)]
pub struct SearchParameters {
    /// Memory of the trellis code.
    pub memory: u8,
    /// Passes over the whole tensor at most.
    pub passes: usize,
    /// Weights in the sample.
    pub sample: usize,
    /// Deviation from the target rate that ends the search, bits per weight.
    pub tolerance: f64,
    /// Whether scales of rows and columns may become contexts.
    pub contexts: bool,
    /// The seed of the rotation that the rows have been through: written down, so that a decoder turns them back. They must then not all
    /// have one value, for which there is a stream without rotation.
    pub rotation: Option<u32>,
    /// Whether columns are coefficients of a transform, whose scales differ by far.
    pub spread: bool,
}

impl SearchParameters {
    /// The trellis code.
    pub fn code(self) -> Result<Code, EncodeError> {
        Code::new(self.memory).ok_or_else(|| EncodeError::Internal("unknown trellis code".into()))
    }
}

impl Effort {
    /// The search for a layer of several, which looks at the next one: `2^(2 memory)` states.
    pub fn layered(self, rate: f64, count: usize) -> SearchParameters {
        let memory = match self {
            Effort::Fast => 5,
            Effort::Default => 6,
            Effort::High => 7,
            Effort::Best => 8,
        };
        SearchParameters { memory, ..self.search(rate, count) }
    }

    /// The search at a rate in bits per weight for a number of weights.
    pub fn search(self, rate: f64, count: usize) -> SearchParameters {
        let memory = match self {
            Effort::Fast => 3,
            Effort::Default if rate < 2.2 => 4,
            Effort::Default if rate < 2.75 => 5,
            Effort::High if rate < 2.75 => 6,
            Effort::Default | Effort::High | Effort::Best => 8,
        };
        let passes = if count < CHUNK { 12 } else { 6 };
        let (sample, tolerance) = match self {
            Effort::Fast => (1 << 14, 0.008),
            // The passes over the sample would be nearly all of the time.
            Effort::Default if count <= CHUNK => (1 << 13, 0.005),
            Effort::Default => (1 << 14, 0.005),
            Effort::High | Effort::Best => (1 << 16, 0.004),
        };
        SearchParameters { memory, passes, sample, tolerance, contexts: true, rotation: None, spread: false }
    }
}
