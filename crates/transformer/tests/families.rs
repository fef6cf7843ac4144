//! Every family gives the answers that `transformers` gives: see `families/make.py` for how they were made.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use seedpress_transformer::{Transformer, forward};

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = file.tensor(name).unwrap().data().to_vec();
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn integers(file: &SafeTensors<'_>, name: &str) -> Vec<u32> {
    let bytes = file.tensor(name).unwrap().data().to_vec();
    bytes.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
}

/// Norm of the difference over the norm.
fn relative(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let difference = square(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(a - b)));
    (difference / square(&mut theirs.iter().map(|&value| f64::from(value)))).sqrt()
}

#[test]
fn answers_are_those_of_transformers() {
    let folders = folders();
    assert!(folders.len() >= 26, "checkpoints are missing");
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let model = Transformer::open(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&bytes).unwrap();
        for number in 0..2 {
            let tokens = integers(&expected, &format!("tokens.{number}"));
            let ours = model.scores(&tokens).unwrap();
            let theirs = floats(&expected, &format!("logits.{number}"));
            let error = relative(&ours, &theirs);
            assert!(error < 1e-5, "{name}: scores of sequence {number} differ by {error:.2e}");
            let largest = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(largest < 1e-4, "{name}: a score of sequence {number} differs by {largest:.2e}");
        }
    }
}

#[test]
fn routers_choose_the_experts_that_transformers_chooses() {
    let mut seen = 0;
    for folder in folders() {
        let model = Transformer::open(&folder).unwrap();
        let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&bytes).unwrap();
        for number in 0..2 {
            let tokens = integers(&expected, &format!("tokens.{number}"));
            let (description, weights) = (model.description(), model.weights());
            let mut hidden = forward::embed(description, weights, &[&tokens]).unwrap();
            for (layer, block) in description.blocks.iter().enumerate() {
                let mut routes = None;
                let mut tap = |inputs: seedpress_transformer::Inputs<'_>| {
                    if inputs.weights[0].weight.ends_with("gate.weight") {
                        routes = forward::routes(block, weights, inputs.rows)?;
                    }
                    Ok(())
                };
                forward::block(block, weights, &mut hidden, &[tokens.len()], &mut tap).unwrap();
                let name = format!("router.{layer}.{number}");
                assert_eq!(routes.is_some(), expected.tensor(&name).is_ok(), "{name} of {}", folder.display());
                if let Some(routes) = routes {
                    let theirs: Vec<usize> = integers(&expected, &name).into_iter().map(|at| at as usize).collect();
                    assert_eq!(routes, theirs, "{name} of {}", folder.display());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 16, "{seen} routers compared");
}

/// Sequences of different lengths in one batch do not see each other, and a block's taps see every weight once.
#[test]
fn batches_are_their_sequences() {
    for folder in folders() {
        let model = Transformer::open(&folder).unwrap();
        let (description, weights) = (model.description(), model.weights());
        let sequences: [&[u32]; 3] = [&[3, 5, 7, 9, 11, 13, 15, 17, 19], &[20], &[4, 4, 8, 60]];
        let lengths = sequences.map(<[u32]>::len);
        let mut hidden = forward::embed(description, weights, &sequences).unwrap();
        for block in &description.blocks {
            let mut tapped = Vec::new();
            let mut tap = |inputs: seedpress_transformer::Inputs<'_>| {
                assert!(inputs.weights.iter().all(|linear| linear.inputs == inputs.columns));
                assert_eq!(inputs.rows.len() % inputs.columns, 0);
                tapped.extend(inputs.weights.iter().map(|&linear| linear.clone()));
                Ok(())
            };
            forward::block(block, weights, &mut hidden, &lengths, &mut tap).unwrap();
            for linear in block.linears() {
                let times = tapped.iter().filter(|&seen| seen == linear).count();
                let experts = linear.expert.is_some() || linear.weight.contains(".experts.");
                assert!(times == 1 || experts && times == 0, "{} was seen {times} times", linear.weight);
            }
        }
        let together = forward::head(description, weights, &hidden, &mut |_| Ok(())).unwrap();
        let alone: Vec<f32> = sequences.iter().flat_map(|sequence| model.scores(sequence).unwrap()).collect();
        let error = relative(&together, &alone);
        assert!(error < 1e-5, "{}: {error:.2e}", folder.display());
    }
}
