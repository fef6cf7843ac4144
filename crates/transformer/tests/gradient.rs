//! The backward pass against differences of the forward pass, for every family.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;
use std::path::Path;

use seedpress_transformer::gradient::{Targets, backward, importance};
use seedpress_transformer::{Replaced, Transformer, Weights, forward};

/// The sum of `log p` of the targets.
fn log_probability(model: &Transformer, weights: &dyn Weights, tokens: &[u32], targets: &[u32]) -> f64 {
    let description = model.description();
    let mut hidden = forward::embed(description, weights, &[tokens]).unwrap();
    for block in &description.blocks {
        forward::block(block, weights, &mut hidden, &[tokens.len()], &mut |_| Ok(())).unwrap();
    }
    let scores = forward::head(description, weights, &hidden, &mut |_| Ok(())).unwrap();
    let rows = scores.chunks_exact(description.vocabulary).zip(targets);
    rows.map(|(row, &target)| {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|&score| f64::from(score - top).exp()).sum();
        f64::from(row[target as usize] - top) - total.ln()
    })
    .sum()
}

fn noise(seed: usize, at: usize) -> f32 {
    ((at as u32 + 1).wrapping_mul(0x9e37_79b9) ^ (seed as u32).wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35)
        as f32
        / u32::MAX as f32
        - 0.5
}

/// Moving a weight by `step R` moves `log p` by `step g^T R x`, summed over tokens.
#[test]
fn gradients_are_differences() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families");
    let mut folders: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.is_dir() && !folder.ends_with("bert"));
    folders.sort();
    for folder in folders {
        let model = Transformer::open(&folder).unwrap();
        let tokens: Vec<u32> = (0..64).map(|at: u32| 2 + (at * at * 7 + at) % 60).collect();
        let targets: Vec<u32> = (0..64).map(|at: u32| 2 + (at * 13 + 5) % 60).collect();
        // For each tensor: `sum g^T R x` with a fixed R of the tensor's shape.
        let mut along: HashMap<String, (f64, usize)> = HashMap::new();
        backward(model.description(), model.weights(), &tokens, Targets::Given(&targets), &mut |seen| {
            let (inputs, outputs) = (seen.linear.inputs, seen.linear.outputs);
            let start = seen.linear.expert.unwrap_or(0) * inputs * outputs;
            let place = |row: usize, column: usize| match seen.linear.transposed {
                true => start + column * outputs + row,
                false => start + row * inputs + column,
            };
            let sum = &mut along.entry(seen.linear.weight.clone()).or_default().0;
            for (x, g) in seen.inputs.chunks_exact(inputs).zip(seen.gradients.chunks_exact(outputs)) {
                for (row, &g) in g.iter().enumerate() {
                    for (column, &x) in x.iter().enumerate() {
                        *sum += f64::from(g * noise(1, place(row, column)) * x);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
        assert!(along.len() >= 5, "{}", folder.display());
        for (name, (wanted, _)) in along {
            // A tied embedding moves the first hidden states, too: what the head sees is not all.
            if name == model.description().embedding.tokens {
                continue;
            }
            let size: usize = model.shapes()[&name].iter().product();
            let own = model.weights().values(&name, 0..size).unwrap().into_owned();
            let at = |step: f32| {
                let moved = own.iter().enumerate().map(|(at, &value)| value + step * noise(1, at)).collect();
                let mut given = Replaced::new(model.weights());
                given.insert(name.clone(), moved);
                log_probability(&model, &given, &tokens, &targets)
            };
            // Rounding in f32, curvature and choices of experts that flip: the best of several steps.
            let scale = own.iter().map(|value| value.abs()).fold(0.0, f32::max);
            let miss = [3e-2f32, 1e-2, 3e-3, 1e-3, 3e-4].map(|step| {
                let step = step * scale;
                let found = (at(step) - at(-step)) / f64::from(2.0 * step);
                (found - wanted).abs() / wanted.abs().max(1.0)
            });
            let least = miss.into_iter().fold(f64::INFINITY, f64::min);
            assert!(least < 0.02, "{name} of {}: off by {miss:?}, {wanted}", folder.display());
        }
    }
}

/// The Fisher information is the curvature of the divergence: `KL ~ 1/2 E (sum g^T D x)^2` over answers drawn from the model.
#[test]
fn drawn_answers_measure_the_divergence() {
    const DRAWS: u64 = 600;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/llama");
    let model = Transformer::open(&folder).unwrap();
    let tokens: Vec<u32> = (0..48).map(|at: u32| 2 + (at * at * 7 + at) % 60).collect();
    let scores = |weights: &dyn Weights| {
        let description = model.description();
        let mut hidden = forward::embed(description, weights, &[&tokens]).unwrap();
        for block in &description.blocks {
            forward::block(block, weights, &mut hidden, &[tokens.len()], &mut |_| Ok(())).unwrap();
        }
        forward::head(description, weights, &hidden, &mut |_| Ok(())).unwrap()
    };
    let softmax = |row: &[f32]| {
        let total: f64 = row.iter().map(|&score| f64::from(score).exp()).sum();
        row.iter().map(|&score| f64::from(score).exp() / total).collect::<Vec<f64>>()
    };
    let own = scores(model.weights());
    for name in ["model.layers.0.mlp.down_proj.weight", "model.layers.1.self_attn.q_proj.weight"] {
        let size: usize = model.shapes()[name].iter().product();
        let weight = model.weights().values(name, 0..size).unwrap().into_owned();
        let step = 0.02 * weight.iter().map(|value| value.abs()).fold(0.0, f32::max);
        let mut given = Replaced::new(model.weights());
        given.insert(name, weight.iter().enumerate().map(|(at, &value)| value + step * noise(3, at)).collect());
        let moved = scores(&given);
        let vocabulary = model.description().vocabulary;
        let rows = own.chunks_exact(vocabulary).zip(moved.chunks_exact(vocabulary));
        let measured: f64 = rows
            .map(|(own, moved)| {
                let (p, q) = (softmax(own), softmax(moved));
                p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>()
            })
            .sum();
        let mut expected = 0.0;
        for seed in 0..DRAWS {
            let mut along = 0.0;
            backward(model.description(), model.weights(), &tokens, Targets::Drawn(seed), &mut |seen| {
                if seen.linear.weight == name {
                    let (inputs, outputs) = (seen.linear.inputs, seen.linear.outputs);
                    for (x, g) in seen.inputs.chunks_exact(inputs).zip(seen.gradients.chunks_exact(outputs)) {
                        for (row, &g) in g.iter().enumerate() {
                            let moved: f32 = x.iter().enumerate().map(|(at, x)| x * noise(3, row * inputs + at)).sum();
                            along += f64::from(g * step * moved);
                        }
                    }
                }
                Ok(())
            })
            .unwrap();
            expected += 0.5 * along * along / DRAWS as f64;
        }
        // The mean of that many squares scatters by the root of 2 / DRAWS, 6 %.
        assert!((measured / expected - 1.0).abs() < 0.25, "{name}: measured {measured}, expected {expected}");
    }
}

/// What outputs count is the mean square of gradients over many draws of answers; for scores it is that of all answers at once.
#[test]
fn outputs_count_their_squared_gradients() {
    const DRAWS: u64 = 400;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/llama");
    let model = Transformer::open(&folder).unwrap();
    let tokens: Vec<u32> = (0..48).map(|at: u32| 2 + (at * at * 7 + at) % 60).collect();
    let description = model.description();
    let head = description.head.product.as_ref().unwrap().weight.as_str();
    for (name, slack) in [(head, 0.05), ("model.layers.0.mlp.up_proj.weight", 1e-9)] {
        let mut squares: Vec<f64> = Vec::new();
        let mut counted: Vec<f64> = Vec::new();
        for seed in 0..DRAWS {
            backward(description, model.weights(), &tokens, Targets::Drawn(seed), &mut |seen| {
                if seen.linear.weight == name {
                    squares.resize(seen.linear.outputs, 0.0);
                    for row in seen.gradients.chunks_exact(seen.linear.outputs) {
                        squares.iter_mut().zip(row).for_each(|(sum, &g)| *sum += f64::from(g * g));
                    }
                }
                Ok(())
            })
            .unwrap();
            let own = importance(description, model.weights(), &tokens, seed).unwrap();
            counted.resize(own.outputs[name].len(), 0.0);
            counted.iter_mut().zip(&own.outputs[name]).for_each(|(sum, own)| *sum += own);
        }
        let off: f64 = squares.iter().zip(&counted).map(|(a, b)| (a - b).powi(2)).sum();
        let all: f64 = squares.iter().map(|a| a * a).sum();
        assert!(off <= slack * slack * all, "{name}: {}", (off / all).sqrt());
    }
}
