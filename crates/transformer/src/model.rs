//! A model in a folder as `transformers` writes it.

use std::path::{Path, PathBuf};

use crate::config::{self, Shapes};
use crate::description::Description;
use crate::error::TransformerError;
use crate::forward;
use crate::weights::{Kept, MappedWeights, Weights};

/// A checkpoint folder: description and weights.
#[derive(Debug)]
pub struct Transformer {
    folder: PathBuf,
    description: Description,
    weights: MappedWeights,
}

impl Transformer {
    /// Opens a folder with `config.json` and `model.safetensors`, or the index of its shards.
    ///
    /// # Errors
    /// Files that are missing or damaged, an architecture or a setting that is not known, tensors that do not fit.
    pub fn open(folder: &Path) -> Result<Self, TransformerError> {
        let path = folder.join("config.json");
        let text = std::fs::read(&path).map_err(TransformerError::io(&path))?;
        let config: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| TransformerError::file(&path, error))?;
        let weights = MappedWeights::open(folder)?;
        let description = config::describe(&config, weights.shapes())?;
        Ok(Self { folder: folder.to_owned(), description, weights })
    }

    /// The folder it was opened from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it computes.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Its own weights.
    pub fn weights(&self) -> &MappedWeights {
        &self.weights
    }

    /// Shapes of its tensors.
    pub fn shapes(&self) -> &Shapes {
        self.weights.shapes()
    }

    /// Scores `[tokens, vocabulary]` of the next token behind each token of a sequence.
    ///
    /// # Errors
    /// Tokens the model does not know, weights that cannot be read.
    pub fn scores(&self, tokens: &[u32]) -> Result<Vec<f32>, TransformerError> {
        let hidden = hidden_states(&self.description, &self.weights, tokens)?;
        forward::head(&self.description, &self.weights, &hidden, &mut |_| Ok(()))
    }

    /// Continues a sequence by the most probable token, `count` times or up to one of `ends`. Every step computes the whole sequence
    /// anew: this is for checks, not for chats.
    ///
    /// # Errors
    /// Tokens the model does not know, an empty sequence, weights that cannot be read.
    pub fn continue_greedily(&self, tokens: &[u32], count: usize, ends: &[u32]) -> Result<Vec<u32>, TransformerError> {
        let weights = Kept::new(&self.weights, self.shapes())?;
        let mut all = tokens.to_vec();
        while all.len() < tokens.len() + count {
            let hidden = hidden_states(&self.description, &weights, &all)?;
            let width = self.description.width;
            let last = hidden.len().checked_sub(width);
            let last = last.ok_or_else(|| TransformerError::Input("nothing to continue".to_owned()))?;
            let scores = forward::head(&self.description, &weights, &hidden[last..], &mut |_| Ok(()))?;
            let best = (1..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best });
            all.push(best as u32);
            if ends.contains(&(best as u32)) {
                break;
            }
        }
        Ok(all.split_off(tokens.len()))
    }
}

/// Hidden states behind the last block.
fn hidden_states(
    description: &Description,
    weights: &dyn Weights,
    tokens: &[u32],
) -> Result<Vec<f32>, TransformerError> {
    let mut hidden = forward::embed(description, weights, &[tokens])?;
    for block in &description.blocks {
        forward::block(block, weights, &mut hidden, &[tokens.len()], &mut |_| Ok(()))?;
    }
    Ok(hidden)
}
