//! What a tensor is worth where nothing can be measured: a user's own checkpoint without data.
//!
//! The assumption is the same for all layers: noise that a layer adds to its outputs is its weights' relative squared error, whatever
//! the layer's size, and layers add up. A large layer therefore gets fewer bits a weight than a small one. For the three hidden layers
//! of `fashion-mlp` that is what measuring shows: divergence over relative squared error is .05 to .08 from 2.6 bits on, whatever the
//! size. A profile multiplies by what layers of a kind are worth beside the others of such a model.
//!
//! Tables of a vocabulary (embedding and head, tied or not) are no such layers: their rows are read one at a time, so that an error in
//! each row counts by itself, and a tied table errs twice. They are weighed by their size, see [`vocabulary`].
//!
//! A profile is a guess all the same, and a plan for a model that can run should be measured.

use seedpress_codec::tensor::matrix_shape;
use serde::{Deserialize, Serialize};

use crate::subject::Part;

/// A kind of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Linear layers and embeddings: all relative errors count alike.
    Transformer,
    /// Convolutions with a linear head, whose errors count four times.
    Cnn,
    /// Recurrent layers behind others; convolutions before them count four times.
    Recurrent,
    /// Mostly one table of vectors: all relative errors count alike.
    Embedding,
}

/// How much more than layers of the same number of weights a table of a vocabulary counts: two bits of error energy are one bit of
/// rate, so 2 is half a bit a weight above the layers. The common practice of formats without data is more (`Q6_K` for `output` and
/// `token_embd` beside 4-bit layers); on SmolLM2-135M about the same rate for all tensors was best at 3 bits.
const VOCABULARY_WEIGHT: f64 = 2.0;

/// Fewer rows than this are no vocabulary unless the name says so.
const VOCABULARY_ROWS: usize = 4096;

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

    /// What a relative squared error in each tensor is worth, against one in the layers that give the profile its name.
    pub fn weights(self, parts: &[Part]) -> Vec<f64> {
        let tables = vocabulary(parts);
        let layers = || parts.iter().zip(&tables).filter(|(part, table)| !part.kept && !**table);
        let mean = layers().map(|(part, _)| part.weights).sum::<u64>() as f64 / layers().count() as f64;
        let weight = |(part, table): (&Part, &bool)| match table {
            // Never less than a layer is worth, whatever its size; NaN where there is no layer to compare with.
            true => VOCABULARY_WEIGHT * (part.weights as f64 / mean).max(1.0),
            false => self.factor(&part.layer_type),
        };
        parts.iter().zip(&tables).map(weight).collect()
    }

    /// What layers of this kind are worth.
    fn factor(self, layer_type: &str) -> f64 {
        match (self, layer_type) {
            // The classifying layer of `fashion-mlp`, .28 to .36, against .05 to .08 for those before it. In a CNN the linear layers are
            // the head; in a transformer most linear layers are not, and its head is a table of the vocabulary.
            (Self::Cnn, "linear") => 4.0,
            // The convolutions of `silero-vad`, .2 to 3.6 at 2.6 bits, against .1 and .4 for its recurrent layers: what they lose is lost
            // before the state sees it.
            (Self::Recurrent, kind) if kind.starts_with("conv") => 4.0,
            _ => 1.0,
        }
    }
}

/// Which tensors have one row a word of a vocabulary: by name, or by a number of rows that no layer has.
pub(crate) fn vocabulary(parts: &[Part]) -> Vec<bool> {
    let rows = |part: &Part| if part.shape.len() == 2 { matrix_shape(&part.shape).0 } else { 0 };
    let most = parts.iter().map(rows).max().unwrap_or(0);
    // Layers come in blocks, vocabularies at both ends of a model.
    let by_shape =
        most >= VOCABULARY_ROWS && parts.len() > 2 && parts.iter().filter(|part| rows(part) == most).count() <= 2;
    parts.iter().map(|part| part.shape.len() == 2 && (is_named(part) || by_shape && rows(part) == most)).collect()
}

/// Names of tables in the checkpoints of common libraries.
fn is_named(part: &Part) -> bool {
    const TABLES: [&str; 8] =
        ["embed_tokens", "word_embeddings", "tok_embeddings", "token_embd", "embed_in", "embed_out", "lm_head", "wte"];
    const OTHERS: [&str; 5] = ["position", "pos_emb", "wpe", "token_type", "segment"];
    let name = part.name.to_ascii_lowercase();
    let name = name.strip_suffix(".weight").unwrap_or(&name);
    let last = name.rsplit('.').next().unwrap_or_default();
    if OTHERS.iter().any(|other| name.contains(other)) {
        return false;
    }
    TABLES.contains(&last)
        || part.layer_type == "embedding"
        || matches!(name, "head" | "output" | "shared" | "model.head")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, shape: &[usize], layer_type: &str) -> Part {
        Part {
            name: name.to_owned(),
            shape: shape.to_vec(),
            weights: shape.iter().product::<usize>() as u64,
            layer_type: layer_type.to_owned(),
            hash: String::new(),
            kept: shape.len() < 2,
        }
    }

    #[test]
    fn tables_of_a_vocabulary_are_known_by_name_or_shape() {
        let layers = |parts: &mut Vec<Part>| {
            for block in 0..3 {
                parts.push(part(&format!("blocks.{block}.up"), &[8192, 512], "linear"));
                parts.push(part(&format!("blocks.{block}.down"), &[512, 8192], "linear"));
            }
        };
        let tables = |names: &[(&str, [usize; 2], &str)]| {
            let mut parts: Vec<Part> = names.iter().map(|(name, shape, kind)| part(name, shape, kind)).collect();
            let count = parts.len();
            layers(&mut parts);
            let found = vocabulary(&parts);
            assert!(!found[count..].contains(&true), "{names:?}: a layer is no table");
            found[..count].to_vec()
        };
        assert_eq!(tables(&[("model.embed_tokens.weight", [300, 512], "embedding")]), [true]);
        assert_eq!(
            tables(&[("lm_head.weight", [300, 512], "linear"), ("output.weight", [9, 512], "linear")]),
            [true; 2]
        );
        // Names that nobody knows, tied or not.
        assert_eq!(tables(&[("a", [32_000, 512], "linear"), ("z", [32_000, 512], "linear")]), [true; 2]);
        assert_eq!(tables(&[("a", [32_000, 512], "linear"), ("z", [8192, 512], "linear")]), [true, false]);
        assert_eq!(
            tables(&[("wpe.weight", [1024, 512], "embedding"), ("b.0.attention.output.weight", [512, 512], "linear")]),
            [false; 2]
        );
    }

    #[test]
    fn a_table_is_worth_more_than_layers_of_its_size() {
        let mut parts: Vec<Part> = (0..10).map(|at| part(&format!("layer.{at}"), &[100, 100], "linear")).collect();
        parts.push(part("embed_tokens.weight", &[5000, 100], "embedding"));
        parts.push(part("norm.weight", &[100], "norm"));
        for profile in Profile::ALL {
            let weights = profile.weights(&parts);
            let layer = profile.factor("linear");
            assert_eq!((weights[0], weights[10]), (layer, 100.0));
        }
        let alone = [part("embedding.weight", &[5000, 100], "embedding")];
        assert!(Profile::Embedding.weights(&alone)[0] > 0.0);
    }
}
