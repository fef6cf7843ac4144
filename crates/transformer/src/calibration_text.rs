//! The text that calibrates a model, with what is found out from it once and kept: how much each token counts, what errors cost.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use seedpress_checkpoint::Checkpoint;
use seedpress_model::{CheckpointWeights, Hidden, Mode, ModelError, Network as _, RowWeights, Storage, Walk};
use seedpress_plan::Store;
use seedpress_press::Source;
use seedpress_press::control::DEFAULT_MEMORY;

use crate::error::TransformerError;
use crate::guide::{CAP, identity};
use crate::model::Transformer;
use crate::network::TransformerNetwork;
use crate::spectra::{self, Spectra};
use crate::weighing::{self, Importances};

/// How far a search is.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// So many of so many sequences went through the model forwards and backwards.
    Weighed(usize, usize),
    /// So many tensors were priced, this one last.
    Priced(usize, &'a str),
}

/// Learns how far the work is; returns whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(Step<'_>) -> bool;

/// A model with the sequences that calibrate it.
#[derive(Debug)]
pub struct CalibrationText {
    transformer: Transformer,
    network: Arc<TransformerNetwork>,
    samples: Vec<Hidden>,
    importances: OnceLock<Arc<Importances>>,
}

impl CalibrationText {
    /// Sequences of tokens for the model of a folder.
    ///
    /// # Errors
    /// As [`Transformer::open`].
    pub fn new(folder: &Path, samples: Vec<Hidden>) -> Result<Self, TransformerError> {
        let transformer = Transformer::open(folder)?;
        let network = Arc::new(TransformerNetwork::new(transformer.description().clone(), transformer.shapes()));
        Ok(Self { transformer, network, samples, importances: OnceLock::new() })
    }

    /// The model as blocks.
    pub fn network(&self) -> &Arc<TransformerNetwork> {
        &self.network
    }

    /// The sequences.
    pub fn samples(&self) -> &Vec<Hidden> {
        &self.samples
    }

    /// Its weights, read tensor by tensor.
    ///
    /// # Errors
    /// A checkpoint that changed.
    pub fn weights(&self) -> Result<Arc<dyn seedpress_model::Weights>, TransformerError> {
        let checkpoint = Checkpoint::open(self.transformer.folder())?;
        Ok(Arc::new(CheckpointWeights::new(checkpoint, self.network.as_ref())))
    }

    /// How much each token counts for each tensor: the backward pass over the text, or what `store` kept of an earlier one.
    ///
    /// # Errors
    /// As [`Importances::new`].
    pub fn importances(&self, store: &dyn Store, watch: Watch<'_>) -> Result<Arc<Importances>, TransformerError> {
        if let Some(known) = self.importances.get() {
            return Ok(known.clone());
        }
        let key = self.key(weighing::KEPT);
        let kept = key.as_ref().and_then(|key| Importances::from_bytes(&store.get(key)?));
        let found = match kept {
            Some(kept) => kept,
            None => {
                let count = self.samples.len();
                let mut progress = |done: usize| watch(Step::Weighed(done, count));
                let weights = self.transformer.weights();
                let found = Importances::new(&self.network, weights, &self.samples, &mut progress)?;
                key.iter().for_each(|key| store.put(key, &found.to_bytes()));
                found
            }
        };
        Ok(self.importances.get_or_init(|| Arc::new(found)).clone())
    }

    /// The same, as a walk takes it.
    ///
    /// # Errors
    /// As [`importances`](Self::importances).
    pub fn row_weights(&self) -> Result<Arc<dyn RowWeights>, ModelError> {
        let found = self.importances(&seedpress_plan::subject::NoStore, &mut |_| true);
        Ok(found.map_err(|error| ModelError::Data(error.to_string()))?)
    }

    /// What errors of each tensor cost, of those that the network knows and `wanted` takes; computed, or what `store` kept.
    ///
    /// # Errors
    /// As [`spectra::spectra`].
    pub fn spectra(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        store: &dyn Store,
        watch: Watch<'_>,
    ) -> Result<Spectra, TransformerError> {
        let names = self.network.tensors().iter().map(|info| info.name.as_str()).filter(|name| wanted(name));
        let key = self.key(spectra::KEPT);
        if let Some(kept) = key.as_ref().and_then(|key| spectra::from_bytes(&store.get(key)?, names)) {
            return Ok(kept);
        }
        let importances = self.importances(store, watch)?;
        let weights = self.weights()?;
        let storage = Storage::new(DEFAULT_MEMORY, &std::env::temp_dir());
        let walk = Walk::within(self.network.clone(), weights.clone(), &self.samples, Mode::Plain, &storage);
        let walk = walk.map_err(|error| TransformerError::Input(error.to_string()))?;
        let walk = walk.capped(CAP).weighted(importances.clone());
        let mut progress = |done: usize, name: &str| watch(Step::Priced(done, name));
        let found = spectra::spectra(&self.network, walk, weights.as_ref(), &importances, wanted, &mut progress)?;
        key.iter().for_each(|key| store.put(key, &spectra::to_bytes(&found)));
        Ok(found)
    }

    fn key(&self, what: &str) -> Option<String> {
        let checkpoint = Checkpoint::open(self.transformer.folder()).ok()?;
        let source: &dyn Source = &checkpoint;
        let (model, text) = (source.identity()?, identity(&self.samples).replace(' ', "-"));
        Some(format!("{what}-{model:032x}-{text}"))
    }
}
