//! Compressing a language model with calibration text: a [`Guide`] that walks through the model while its tensors are compressed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use seedpress_checkpoint::{Content, TensorInfo};
use seedpress_codec::Tensor;
use seedpress_model::{Hidden, Mode, Network, Storage, Walk, Weights};
use seedpress_press::{Guidance, Guide, PressError, Source};
use xxhash_rust::xxh3::Xxh3;

use crate::network::TransformerNetwork;
use crate::text::Tokens;
use crate::weighing::{Importances, KEPT};

/// A source whose tensors come in the order in which the model uses them; those it does not use come last.
pub struct InOrder<'a> {
    source: &'a dyn Source,
    order: Vec<usize>,
    infos: Vec<TensorInfo>,
}

impl<'a> InOrder<'a> {
    /// Puts a checkpoint in the order of a network.
    pub fn new(source: &'a dyn Source, network: &TransformerNetwork) -> Self {
        let by_name: BTreeMap<&str, usize> =
            source.tensors().iter().enumerate().map(|(at, info)| (info.name.as_str(), at)).collect();
        let used = Walk::order(network).into_iter();
        let mut order: Vec<usize> =
            used.filter_map(|tensor| by_name.get(network.tensors()[tensor].name.as_str()).copied()).collect();
        let mut rest: Vec<usize> = (0..source.tensors().len()).filter(|tensor| !order.contains(tensor)).collect();
        order.append(&mut rest);
        let infos = order.iter().map(|&tensor| source.tensors()[tensor].clone()).collect();
        Self { source, order, infos }
    }
}

impl Source for InOrder<'_> {
    fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.source.metadata()
    }

    fn load(&self, tensor: usize) -> Result<Content, PressError> {
        self.source.load(self.order[tensor])
    }

    fn blocks(&self, tensor: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), PressError> {
        self.source.blocks(self.order[tensor], take)
    }

    fn sample(&self, tensor: usize) -> Result<Option<u128>, PressError> {
        self.source.sample(self.order[tensor])
    }

    fn identity(&self) -> Option<u128> {
        self.source.identity()
    }
}

/// Sequences of `context` tokens, as many as `most`, spread evenly over the documents' tokens; what is shorter than a sequence at the
/// end of the text is left out unless there is nothing else.
pub fn samples(documents: &[Tokens], context: usize, most: usize) -> Vec<Hidden> {
    let mut stretches: Vec<&[u32]> = Vec::new();
    for document in documents {
        stretches.extend(document.ids.chunks(context).filter(|chunk| chunk.len() == context));
    }
    if stretches.is_empty() {
        stretches.extend(documents.iter().map(|document| document.ids.as_slice()).filter(|ids| !ids.is_empty()));
    }
    let count = most.min(stretches.len());
    let at = |index: usize| stretches[index * stretches.len() / count];
    (0..count).map(|index| Hidden::tokens(&[at(index)])).collect()
}

/// A name of these samples: the same text, cut in the same way.
pub fn identity(samples: &[Hidden]) -> String {
    let mut hash = Xxh3::new();
    for sample in samples {
        sample.values.iter().for_each(|value| hash.update(&value.to_le_bytes()));
        hash.update(b"|");
    }
    format!("{} sequences {:032x}", samples.len(), hash.digest128())
}

/// Statistics from calibration text for each tensor of a model, in the order of [`InOrder`].
pub struct CalibrationGuide<'a> {
    walk: Walk,
    source: &'a dyn Source,
    places: Vec<Option<usize>>,
    sequential: bool,
    identity: String,
}

impl<'a> CalibrationGuide<'a> {
    /// Begins a walk. With `sequential` each tensor sees the inputs that the compressed ones before it leave it, and is moved so that it
    /// brings the original outputs back. Tokens count by their `importances`, or all alike. Hidden states are kept where `storage` has them.
    ///
    /// # Errors
    /// Text that does not fit the model, weights that cannot be read.
    pub fn new(
        network: Arc<TransformerNetwork>,
        weights: Arc<dyn Weights>,
        source: &'a dyn Source,
        samples: &Vec<Hidden>,
        sequential: bool,
        importances: Option<Arc<Importances>>,
        storage: &Storage,
    ) -> Result<Self, PressError> {
        let mode = if sequential { Mode::Sequential } else { Mode::Plain };
        let places = source.tensors().iter().map(|info| network.find(&info.name)).collect();
        let weighed = if importances.is_some() { KEPT } else { "unweighed" };
        let identity = format!("{mode:?} {weighed} {}", identity(samples));
        let mut walk = Walk::within(network, weights, samples, mode, storage).map_err(fault)?.capped(CAP);
        if let Some(importances) = importances {
            walk = walk.weighted(importances);
        }
        Ok(Self { walk, source, places, sequential, identity })
    }
}

/// Rows of inputs louder than this many times the median count no more than that: the first position of a language model carries up to
/// 10^5 times the energy of the others, and would be all that calibration sees.
pub const CAP: f32 = 16.0;

fn fault(error: seedpress_model::ModelError) -> PressError {
    PressError::Guide(error.to_string())
}

impl Guide for CalibrationGuide<'_> {
    fn guide(&mut self, tensor: usize) -> Result<Guidance, PressError> {
        let Some(place) = self.places[tensor] else { return Ok(Guidance::default()) };
        let Some(statistics) = self.walk.take(place).map_err(fault)? else { return Ok(Guidance::default()) };
        let corrected = match self.source.load(tensor)? {
            Content::Float(original) => statistics.corrected(&original).map_err(fault)?,
            Content::Opaque(_) => None,
        };
        let scarce = statistics.scarce();
        Ok(Guidance { statistics: Some(statistics.inputs().clone()), corrected, scarce })
    }

    fn follows(&self) -> bool {
        self.sequential
    }

    fn is_known(&self, tensor: usize) -> bool {
        self.places.get(tensor).is_some_and(|place| place.is_some_and(|place| self.walk.knows(place)))
    }

    fn compressed(&mut self, tensor: usize, decoded: &Tensor) -> Result<(), PressError> {
        match self.places[tensor] {
            Some(place) => self.walk.compressed(place, decoded).map_err(fault),
            None => Ok(()),
        }
    }

    fn identity(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.identity))
    }
}
