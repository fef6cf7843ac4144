//! A description as a network: the same answers, statistics for every product, and sequential compression that repairs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seedpress_checkpoint::Checkpoint;
use seedpress_codec::Tensor;
use seedpress_model::{BlockWeights, CheckpointWeights, Hidden, Mode, Network, NoTap, Walk, Weights};
use seedpress_transformer::weighing::Importances;
use seedpress_transformer::{Transformer, TransformerNetwork};

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families");
    let paths = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn open(folder: &Path) -> (Transformer, Arc<TransformerNetwork>, Arc<CheckpointWeights>) {
    let model = Transformer::open(folder).unwrap();
    let network = TransformerNetwork::new(model.description().clone(), model.shapes());
    let weights = CheckpointWeights::new(Checkpoint::open(&folder.join("model.safetensors")).unwrap(), &network);
    (model, Arc::new(network), Arc::new(weights))
}

fn answers(network: &TransformerNetwork, weights: &dyn Weights, tokens: &[&[u32]]) -> Vec<f32> {
    let mut hidden = network.start(Hidden::tokens(tokens)).unwrap();
    for block in 0..network.blocks() {
        let loaded = BlockWeights::load(network, block, weights).unwrap();
        hidden = network.step(block, &loaded, &hidden, &mut NoTap).unwrap();
    }
    hidden.values
}

/// Sequences that differ, of tokens that repeat.
fn samples(count: u32) -> Vec<Hidden> {
    let tokens = |sample: u32| (0..40).map(|at| 2 + (at * at * 7 + sample * 11) % 62).collect::<Vec<u32>>();
    (0..count).map(|sample| Hidden::tokens(&[&tokens(sample)])).collect()
}

#[test]
fn a_network_answers_as_its_model() {
    for folder in folders() {
        let (model, network, weights) = open(&folder);
        let tokens: [&[u32]; 2] = [&[3, 5, 7, 9, 11, 13, 15, 17, 19], &[4, 4, 8, 60]];
        let own: Vec<f32> = tokens.iter().flat_map(|tokens| model.scores(tokens).unwrap()).collect();
        let walked = answers(&network, &*weights, &tokens);
        assert!(own.iter().zip(&walked).all(|(a, b)| (a - b).abs() < 1e-4), "{}", folder.display());
        assert_eq!(Walk::order(&*network).len(), network.tensors().len(), "{}", folder.display());
    }
}

#[test]
fn every_product_gets_statistics_of_its_inputs() {
    for folder in folders() {
        let (model, network, weights) = open(&folder);
        let samples = samples(6);
        for mode in [Mode::Plain, Mode::Sequential] {
            let mut walk = Walk::new(network.clone(), weights.clone(), &samples, mode).unwrap().capped(16.0);
            let mut found = Vec::new();
            for tensor in Walk::order(&*network) {
                let info = &network.tensors()[tensor];
                if let Some(statistics) =
                    walk.statistics(tensor).unwrap_or_else(|error| panic!("{}: {error}", info.name))
                {
                    assert_eq!(statistics.inputs().columns(), info.columns(), "{}", info.name);
                    found.push(info.name.clone());
                }
            }
            let description = model.description();
            for linear in description.blocks.iter().flat_map(|block| block.linears()).chain(&description.head.product) {
                assert!(
                    linear.transposed || found.contains(&linear.weight),
                    "{} of {}",
                    linear.weight,
                    folder.display()
                );
            }
        }
    }
}

/// How much each output counts comes with the statistics of its inputs: a number a row, experts apart, of mean 1.
#[test]
fn every_product_that_has_rows_of_outputs_learns_what_they_count() {
    for folder in folders() {
        let (model, network, weights) = open(&folder);
        if model.description().head.product.is_none() {
            continue;
        }
        let samples = samples(3);
        let found = Importances::new(&network, model.weights(), &samples, &mut |_| true);
        // An encoder predicts no text.
        let Ok(found) = found else { continue };
        let head = &model.description().head.product.as_ref().unwrap().weight;
        let (embedding, tied) =
            (network.find(&model.description().embedding.tokens), *head == model.description().embedding.tokens);
        let read = embedding.and_then(|place| found.lookups(place));
        assert_eq!(read.is_some(), tied, "{}", folder.display());
        let found = Arc::new(found);
        let mut walk = Walk::new(network.clone(), weights.clone(), &samples, Mode::Plain).unwrap().weighted(found);
        for tensor in Walk::order(&*network) {
            let info = &network.tensors()[tensor];
            let Some(statistics) = walk.statistics(tensor).unwrap() else { continue };
            let name = format!("{} of {}", info.name, folder.display());
            let Some(outputs) = statistics.inputs().outputs() else {
                // Statistics of the whole block stand in for those of an expert, and nothing for the inputs of rows.
                let is_transposed = model
                    .description()
                    .blocks
                    .iter()
                    .any(|b| b.linears().iter().any(|l| l.transposed && l.weight == info.name));
                assert!(statistics.scarce().is_some() || is_transposed, "{name}");
                continue;
            };
            let rows = info.shape.iter().product::<usize>() / info.columns();
            assert_eq!(outputs.values().len(), rows, "{name}");
            let mean = outputs.values().iter().map(|&value| f64::from(value)).sum::<f64>() / rows as f64;
            assert!((mean - 1.0).abs() < 1e-5, "{name}: {mean}");
            assert_eq!(outputs.ridge() > 0.0, tied && Some(tensor) == embedding, "{name}");
        }
    }
}

/// An expert that few tokens reach learns of its inputs from all tokens of its block, and says how few they were.
#[test]
fn all_tokens_stand_in_for_the_few_of_an_expert() {
    for family in ["mixtral", "qwen2-moe", "qwen3-moe"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(family);
        let (_, network, weights) = open(&folder);
        let columns = |tensor: usize| network.tensors()[tensor].columns() as u64;
        for mode in [Mode::Plain, Mode::Sequential] {
            // Few enough tokens that some expert is idle, many enough that others are not.
            let tokens: Vec<u32> = (0..24).map(|at| 2 + at * 2).collect();
            let samples = vec![Hidden::tokens(&[&tokens])];
            let mut walk = Walk::new(network.clone(), weights.clone(), &samples, mode).unwrap();
            let (mut all, mut scarce) = (None, 0);
            for tensor in Walk::order(&*network) {
                let info = &network.tensors()[tensor];
                let Some(statistics) = walk.statistics(tensor).unwrap() else { continue };
                let (inputs, name) = (statistics.inputs(), info.name.as_str());
                if name.ends_with(".gate.weight") {
                    all = inputs.second_moment().map(<[f32]>::to_vec);
                }
                if !name.contains(".experts.") {
                    assert_eq!(statistics.scarce(), None, "{name}");
                    continue;
                }
                match statistics.scarce() {
                    None => assert!(4 * inputs.samples() >= columns(tensor), "{name}"),
                    Some(own) => {
                        assert!(4 * own < columns(tensor) && inputs.samples() > own, "{name}");
                        scarce += 1;
                        if !network.stand_ins(tensor).contains(&tensor) {
                            assert_eq!((inputs.samples(), inputs.second_moment()), (24, all.as_deref()), "{name}");
                        }
                    }
                }
            }
            assert!(scarce > 0, "{family}");
        }
    }
}

/// Rounding to a coarse grid, alone and with each tensor repairing what those before it did.
#[test]
fn sequential_rounding_is_nearer_to_the_model() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/llama");
    let (_, network, weights) = open(&folder);
    let sequence =
        |seed: u32| (0..48u32).map(|at| 2 + (at * at * 7 + at * seed + seed * 11) % 62).collect::<Vec<u32>>();
    let samples: Vec<Hidden> = (0..24).map(|seed| Hidden::tokens(&[&sequence(seed)])).collect();
    let other = sequence(100);
    let truth = answers(&network, &*weights, &[&other]);
    let error = |given: Vec<Tensor>| {
        let found = answers(&network, &given, &[&other]);
        found.iter().zip(&truth).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
    };
    let round = |tensor: &Tensor| {
        let values = tensor.values().iter().map(|value| (value * 8.0).round() / 8.0).collect();
        Tensor::new(tensor.shape().to_vec(), values, tensor.dtype()).unwrap()
    };
    let own = |tensor: usize| weights.load(tensor).unwrap().into_owned();
    let matrix = |tensor: usize| network.tensors()[tensor].shape.len() == 2;
    let plain =
        (0..network.tensors().len()).map(|tensor| if matrix(tensor) { round(&own(tensor)) } else { own(tensor) });
    let plain = error(plain.collect());
    let mut walk = Walk::new(network.clone(), weights.clone(), &samples, Mode::Sequential).unwrap().capped(16.0);
    let mut given: Vec<Tensor> = (0..network.tensors().len()).map(own).collect();
    for tensor in Walk::order(&*network).into_iter().filter(|&tensor| matrix(tensor)) {
        let statistics = walk.statistics(tensor).unwrap();
        let wanted = statistics.and_then(|statistics| statistics.corrected(&given[tensor]).unwrap());
        given[tensor] = round(wanted.as_ref().unwrap_or(&given[tensor]));
        walk.compressed(tensor, &given[tensor]).unwrap();
    }
    let sequential = error(given);
    assert!(sequential < 0.8 * plain, "{sequential} {plain}");
}
