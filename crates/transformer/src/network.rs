//! A language model as a [`Network`] of blocks, for whoever walks through one: statistics of inputs, sequential compression.
//!
//! Blocks are the embedding, attention and feed-forward half of each layer (one block where they run in parallel), and the head. Hidden
//! states begin as token numbers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use seedpress_codec::DType;
use seedpress_model::{BlockWeights, Hidden, ModelError, Network, Outputs, TensorInfo};

use crate::config::Shapes;
use crate::description::{Block, Description, Experts, FeedForward, Linear, Norm, Residual};
use crate::error::TransformerError;
use crate::forward::{self, Half};
use crate::layers::Inputs;
use crate::weights::Weights;

/// What a block of the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Embedding,
    Layer(usize, Half),
    Head,
}

/// A [`Description`] as a network.
#[derive(Debug)]
pub struct TransformerNetwork {
    description: Description,
    steps: Vec<Step>,
    tensors: Vec<TensorInfo>,
    places: HashMap<String, usize>,
    /// Tensors of each step in the order of use.
    of_step: Vec<Vec<usize>>,
    /// Those that share inputs.
    groups: Vec<Vec<Vec<usize>>>,
    /// For tensors of experts: those that see what all experts see.
    stand_ins: HashMap<usize, Vec<usize>>,
}

impl TransformerNetwork {
    /// The network of a description whose checkpoint has these shapes.
    pub fn new(description: Description, shapes: &Shapes) -> Self {
        let mut steps = vec![Step::Embedding];
        for (layer, block) in description.blocks.iter().enumerate() {
            match block.residual {
                Residual::Parallel => steps.push(Step::Layer(layer, Half::Both)),
                _ => steps.extend([Step::Layer(layer, Half::Attention), Step::Layer(layer, Half::FeedForward)]),
            }
        }
        if description.head.norm.is_some() || description.head.product.is_some() {
            steps.push(Step::Head);
        }
        let (tensors, places) = (Vec::new(), HashMap::new());
        let (of_step, groups) = (Vec::new(), Vec::new());
        let stand_ins = HashMap::new();
        let mut network = Self { description, steps, tensors, places, of_step, groups, stand_ins };
        for step in network.steps.clone() {
            let parts = network.parts(step);
            let mut own: Vec<usize> = Vec::new();
            for (name, kind) in parts.tensors {
                let place = network.place(&name, kind, shapes);
                if !own.contains(&place) {
                    own.push(place);
                }
            }
            let mut groups: Vec<Vec<usize>> = Vec::new();
            for group in parts.groups {
                let group: Vec<usize> = group.iter().map(|name| network.places[name]).collect();
                // Experts in one tensor come one by one; the tensor is one.
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
            network.of_step.push(own);
            network.groups.push(groups);
            for (names, stand_ins) in parts.stand_ins {
                let stand_ins: Vec<usize> = stand_ins.iter().map(|name| network.places[name]).collect();
                let names = names.iter().map(|name| network.places[name]);
                network.stand_ins.extend(names.map(|name| (name, stand_ins.clone())).collect::<Vec<_>>());
            }
        }
        network
    }

    fn place(&mut self, name: &str, kind: &'static str, shapes: &Shapes) -> usize {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let shape = shapes.get(name).map_or(&[][..], Vec::as_slice);
        self.tensors.push(TensorInfo { dtype: DType::F32, ..TensorInfo::new(name, shape, kind) });
        self.places.insert(name.to_owned(), self.tensors.len() - 1);
        self.tensors.len() - 1
    }

    /// The place of a tensor in [`tensors`](Network::tensors).
    pub fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// What it computes.
    pub fn description(&self) -> &Description {
        &self.description
    }

    fn parts(&self, step: Step) -> Parts {
        let mut parts = Parts::default();
        match step {
            Step::Embedding => {
                let embedding = &self.description.embedding;
                let tables = std::iter::once(&embedding.tokens).chain(&embedding.positions).chain(&embedding.types);
                parts.tensors.extend(tables.map(|table| (table.clone(), "embedding")));
                parts.norm(embedding.norm.as_ref());
            }
            Step::Layer(layer, half) => {
                let block = &self.description.blocks[layer];
                if half != Half::FeedForward {
                    parts.attention(block);
                }
                if half != Half::Attention {
                    parts.feed_forward(block);
                }
            }
            Step::Head => {
                parts.norm(self.description.head.norm.as_ref());
                parts.products(&self.description.head.product.iter().collect::<Vec<_>>());
            }
        }
        parts
    }
}

/// Tensors of a step by name, with the kind of layer, and which share inputs.
#[derive(Default)]
struct Parts {
    tensors: Vec<(String, &'static str)>,
    groups: Vec<Vec<String>>,
    /// Tensors of experts, with those that see what all experts see.
    stand_ins: Vec<(Vec<String>, Vec<String>)>,
}

impl Parts {
    fn norm(&mut self, norm: Option<&Norm>) {
        let Some(norm) = norm else { return };
        self.tensors.push((norm.weight.clone(), "norm"));
        self.tensors.extend(norm.bias.iter().map(|bias| (bias.clone(), "norm")));
    }

    /// Products of the same inputs.
    fn products(&mut self, products: &[&Linear]) {
        for product in products {
            self.tensors.push((product.weight.clone(), "linear"));
            self.tensors.extend(product.bias.iter().map(|bias| (bias.clone(), "bias")));
        }
        // The columns of a transposed tensor are its outputs: statistics of inputs say nothing of them.
        let group: Vec<String> =
            products.iter().filter(|product| !product.transposed).map(|product| product.weight.clone()).collect();
        if !group.is_empty() {
            self.groups.push(group);
        }
    }

    fn attention(&mut self, block: &Block) {
        use crate::description::Projections::{Interleaved, Separate, Stacked};
        self.norm(block.attention_input.as_ref());
        match &block.attention.projections {
            Separate { query, key, value } => self.products(&[query, key, value]),
            Stacked(all) | Interleaved(all) => self.products(&[all]),
        }
        self.norm(block.attention.query_norm.as_ref());
        self.norm(block.attention.key_norm.as_ref());
        self.products(&[&block.attention.output]);
        self.norm(block.attention_output.as_ref());
    }

    fn network(&mut self, network: &crate::description::Mlp) {
        use crate::description::First::{FusedGated, Gated, Plain};
        match &network.first {
            Plain(first) | FusedGated(first) => self.products(&[first]),
            Gated { gate, up } => self.products(&[gate, up]),
        }
        self.products(&[&network.down]);
    }

    /// The router sees all tokens; what goes into an expert's second product stands in for any other's.
    fn stand_ins(&mut self, experts: &Experts) {
        let alone = |linear: &&Linear| linear.expert.is_none() && !linear.transposed;
        let name = |linear: &Linear| linear.weight.clone();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for expert in &experts.experts {
            let mut products = expert.linears();
            second.extend(products.pop().filter(alone).map(name));
            first.extend(products.into_iter().filter(alone).map(name));
        }
        if !experts.router.transposed {
            self.stand_ins.push((first, vec![name(&experts.router)]));
        }
        self.stand_ins.push((second.clone(), second));
    }

    fn feed_forward(&mut self, block: &Block) {
        self.norm(block.feed_forward_input.as_ref());
        match &block.feed_forward {
            FeedForward::Dense(network) => self.network(network),
            FeedForward::Experts(experts) => {
                let mut first = vec![&experts.router];
                first.extend(experts.shared.as_ref().and_then(|shared| shared.gate.as_ref()));
                self.products(&first);
                experts.shared.iter().for_each(|shared| self.network(&shared.network));
                experts.experts.iter().for_each(|expert| self.network(expert));
                self.stand_ins(experts);
            }
        }
        self.norm(block.feed_forward_output.as_ref());
    }
}

/// A block's weights by name.
struct Named<'a> {
    weights: &'a BlockWeights<'a>,
    places: &'a HashMap<String, usize>,
}

impl Weights for Named<'_> {
    fn values(&self, tensor: &str, range: Range<usize>) -> Result<Cow<'_, [f32]>, TransformerError> {
        let missing = || TransformerError::tensor(tensor, "is missing");
        let place = *self.places.get(tensor).ok_or_else(missing)?;
        let short = || TransformerError::tensor(tensor, "is shorter than its use");
        self.weights.values(place).get(range).map(Cow::Borrowed).ok_or_else(short)
    }
}

impl Network for TransformerNetwork {
    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn blocks(&self) -> usize {
        self.steps.len()
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        self.of_step[block].clone()
    }

    fn groups(&self, block: usize) -> Vec<Vec<usize>> {
        self.groups[block].clone()
    }

    fn stand_ins(&self, tensor: usize) -> Vec<usize> {
        self.stand_ins.get(&tensor).cloned().unwrap_or_default()
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn seedpress_model::Tap,
    ) -> Result<Hidden, ModelError> {
        let named = Named { weights, places: &self.places };
        let mut taps = Taps { network: self, tap, experts: HashMap::new(), refused: None };
        let mut see = |inputs: Inputs<'_>| taps.see(inputs);
        let description = &self.description;
        let made = match self.steps[block] {
            Step::Embedding => {
                let tokens: Vec<u32> = hidden.values.iter().map(|&token| token as u32).collect();
                let mut rest = tokens.as_slice();
                let cut = |&length: &usize| {
                    let (own, after) = rest.split_at(length);
                    rest = after;
                    own
                };
                let sequences: Vec<&[u32]> = hidden.lengths.iter().map(cut).collect();
                forward::embed(description, &named, &sequences).map(|values| (values, description.width))
            }
            Step::Layer(layer, half) => {
                let mut values = hidden.values.clone();
                forward::part(&description.blocks[layer], half, &named, &mut values, &hidden.lengths, &mut see)
                    .map(|()| (values, hidden.width))
            }
            Step::Head => forward::head(description, &named, &hidden.values, &mut see).map(|values| {
                (values, description.head.product.as_ref().map_or(description.width, |head| head.outputs))
            }),
        };
        if let Some(refused) = taps.refused.take() {
            return Err(refused);
        }
        let (values, width) = made.map_err(|error| ModelError::Compute(error.to_string()))?;
        taps.finish()?;
        Ok(hidden.with(values, width))
    }

    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
        let (width, values) = (hidden.width, hidden.values);
        Ok(match self.description.head.product {
            Some(_) => Outputs::Logits { width, values },
            None => Outputs::Vectors { width, values },
        })
    }
}

/// Hands on what a step's products see.
struct Taps<'a> {
    network: &'a TransformerNetwork,
    tap: &'a mut dyn seedpress_model::Tap,
    /// Inputs of tensors that hold several experts, to be handed on as one.
    experts: HashMap<usize, Vec<f32>>,
    refused: Option<ModelError>,
}

impl Taps<'_> {
    fn see(&mut self, inputs: Inputs<'_>) -> Result<(), TransformerError> {
        let Some(first) = inputs.weights.iter().find(|linear| !linear.transposed) else { return Ok(()) };
        let Some(&place) = self.network.places.get(&first.weight) else { return Ok(()) };
        if !self.tap.wants(place) {
            return Ok(());
        }
        if first.expert.is_some() {
            self.experts.entry(place).or_default().extend_from_slice(inputs.rows);
            return Ok(());
        }
        self.tap.inputs(place, inputs.rows).map_err(|error| {
            self.refused = Some(error);
            TransformerError::Stopped
        })
    }

    fn finish(&mut self) -> Result<(), ModelError> {
        let mut experts: Vec<(usize, Vec<f32>)> = self.experts.drain().collect();
        experts.sort_by_key(|&(place, _)| place);
        experts.into_iter().try_for_each(|(place, rows)| self.tap.inputs(place, &rows))
    }
}
