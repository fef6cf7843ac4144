//! What a plan is: a size to reach, and one codec a tensor.

use seedpress_codec::AnyCodec;

use crate::profile::Profile;

/// The size to reach.
#[derive(Debug, Clone)]
pub enum Target {
    /// Bits per weight of the whole file.
    Bits(f64),
    /// Times smaller than 32-bit floats.
    Ratio(f64),
    /// Bytes of the whole file.
    Bytes(u64),
    /// The file that one codec makes of every tensor that the small-tensor policy does not keep.
    Like(AnyCodec),
}

impl Target {
    /// Bytes of the file of a model of so many weights; `None` where another file has to be made to know.
    pub fn bytes(&self, weights: u64) -> Option<u64> {
        match self {
            Self::Bits(bits) => Some((bits * weights as f64 / 8.0) as u64),
            Self::Ratio(ratio) => Some((4.0 * weights as f64 / ratio) as u64),
            Self::Bytes(bytes) => Some(*bytes),
            Self::Like(_) => None,
        }
    }
}

/// What a plan does with one tensor.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The tensor.
    pub tensor: String,
    /// Number of weights.
    pub weights: u64,
    /// The codec that stores it.
    pub codec: AnyCodec,
    /// Bytes of its record.
    pub bytes: u64,
    /// Divergence expected from this tensor alone.
    pub cost: f64,
}

/// Which codec for which tensor.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The model it was made for.
    pub model: String,
    /// One an undecided tensor, in the order of the file. Kept tensors are not listed.
    pub assignments: Vec<Assignment>,
    /// Bytes of the whole file that was allowed.
    pub target: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Weights in the whole model.
    pub weights: u64,
    /// The profile that stood in for measured costs, if one did.
    pub profile: Option<Profile>,
    /// Divergence of the whole model on calibration data, where it can be measured.
    pub joint: Option<f64>,
    /// The same for the uniform choice of this size, where the ladder has one.
    pub uniform: Option<f64>,
    /// What was assumed where costs were not measured, a sentence each; empty where they were.
    pub assumptions: Vec<String>,
}

impl Plan {
    /// The sum of the expected divergences.
    pub fn cost(&self) -> f64 {
        self.assignments.iter().map(|assignment| assignment.cost).sum()
    }

    /// Bits per weight of the whole file.
    pub fn bits(&self) -> f64 {
        8.0 * self.bytes as f64 / self.weights as f64
    }
}
