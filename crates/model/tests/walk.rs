//! A walk against the whole network run again for every tensor: the same statistics, at a cost that grows with the depth.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seedpress_calibration::{Accumulator, AsymmetricAccumulator};
use seedpress_codec::{DType, Tensor};
use seedpress_model::random::Random;
use seedpress_model::{
    BlockWeights, Hidden, Mode, ModelError, Network, NoTap, Outputs, Samples, Statistics, Storage, Tap, TapAll,
    TensorInfo, Walk, Weights,
};

const WIDTH: usize = 6;
const WORDS: usize = 5;

/// A table, layers of two matrices on the same input and one behind them, and a head that is the table again.
struct Toy {
    tensors: Vec<TensorInfo>,
    layers: usize,
    steps: AtomicUsize,
}

impl Toy {
    fn new(layers: usize) -> Self {
        let mut tensors = vec![TensorInfo::new("table", &[WORDS, WIDTH], "embedding")];
        for layer in 0..layers {
            for part in ["gate", "up", "down"] {
                tensors.push(TensorInfo::new(format!("{layer}.{part}"), &[WIDTH, WIDTH], "linear"));
            }
            tensors.push(TensorInfo::new(format!("{layer}.bias"), &[WIDTH], "bias"));
        }
        Self { tensors, layers, steps: AtomicUsize::new(0) }
    }

    fn weights(&self) -> Vec<Tensor> {
        let mut random = Random::new(3);
        let mut tensor = |info: &TensorInfo| {
            let values = (0..info.weights()).map(|_| 0.5 * random.normal() as f32).collect();
            Tensor::new(info.shape.clone(), values, DType::F32).unwrap()
        };
        self.tensors.iter().map(&mut tensor).collect()
    }

    fn samples(&self) -> Vec<Hidden> {
        let mut random = Random::new(4);
        let mut batch = |_| {
            let words: Vec<u32> = (0..40).map(|_| random.below(WORDS) as u32).collect();
            Hidden::tokens(&[&words[..15], &words[15..]])
        };
        (0..7).map(&mut batch).collect()
    }
}

fn product(weights: &[f32], rows: &[f32]) -> Vec<f32> {
    let dot = |w: &[f32], x: &[f32]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
    rows.chunks_exact(WIDTH).flat_map(|x| weights.chunks_exact(WIDTH).map(move |w| dot(w, x))).collect()
}

impl Network for Toy {
    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn blocks(&self) -> usize {
        self.layers + 2
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        if (1..=self.layers).contains(&block) { (4 * block - 3..=4 * block).collect() } else { vec![0] }
    }

    fn groups(&self, block: usize) -> Vec<Vec<usize>> {
        match block {
            0 => Vec::new(),
            block if block > self.layers => vec![vec![0]],
            block => vec![vec![4 * block - 3, 4 * block - 2], vec![4 * block - 1]],
        }
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> Result<Hidden, ModelError> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if block == 0 {
            let row = |&word: &f32| &weights.values(0)[word as usize * WIDTH..][..WIDTH];
            return Ok(hidden.with(hidden.values.iter().flat_map(row).copied().collect(), WIDTH));
        }
        if block > self.layers {
            tap.inputs(0, &hidden.values)?;
            return Ok(hidden.with(product(weights.values(0), &hidden.values), WORDS));
        }
        let first = 4 * block - 3;
        tap.inputs(first, &hidden.values)?;
        let [gate, up] = [first, first + 1].map(|tensor| product(weights.values(tensor), &hidden.values));
        let inner: Vec<f32> = gate.iter().zip(up).map(|(gate, up)| gate.tanh() * up).collect();
        tap.inputs(first + 2, &inner)?;
        let change = product(weights.values(first + 2), &inner);
        let bias = weights.values(first + 3).iter().cycle();
        let values = hidden.values.iter().zip(change).zip(bias).map(|((x, y), b)| x + y + b).collect();
        Ok(hidden.with(values, WIDTH))
    }

    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
        Ok(Outputs::Logits { width: WORDS, values: hidden.values })
    }
}

/// What a tensor multiplies in its block `home`, by running the whole network from the start.
fn inputs(toy: &Toy, weights: &[Tensor], home: usize, tensor: usize, batch: Hidden) -> Vec<f32> {
    let mut found = Vec::new();
    let mut hidden = batch;
    for block in 0..toy.blocks() {
        let weights = BlockWeights::load(toy, block, &weights).unwrap();
        let mut tap = TapAll(|at: usize, rows: &[f32]| {
            if at == tensor && block == home {
                found = rows.to_vec();
            }
            Ok(())
        });
        hidden = toy.step(block, &weights, &hidden, &mut tap).unwrap();
    }
    found
}

/// The first tensor that shares a tensor's inputs.
fn leader(toy: &Toy, block: usize, tensor: usize) -> Option<usize> {
    toy.groups(block).into_iter().find(|group| group.contains(&tensor)).map(|group| group[0])
}

fn rounded(tensor: &Tensor) -> Tensor {
    let values = tensor.values().iter().map(|value| (value * 3.0).round() / 3.0).collect();
    Tensor::new(tensor.shape().to_vec(), values, tensor.dtype()).unwrap()
}

#[test]
fn statistics_are_those_of_running_the_whole_network_for_every_tensor() {
    let folder = tempfile::tempdir().unwrap();
    // All hidden states in memory, some of them, none.
    for limit in [u64::MAX, 8000, 0] {
        compare(&Storage::new(limit, folder.path()));
    }
}

fn compare(storage: &Storage) {
    let toy = Arc::new(Toy::new(4));
    let weights = toy.weights();
    let samples = toy.samples();
    let walk = |mode| Walk::within(toy.clone(), Arc::new(weights.clone()), &samples, mode, storage).unwrap();
    let (mut plain, mut sequential) = (walk(Mode::Plain), walk(Mode::Sequential));
    let mut given = weights.clone();
    for tensor in Walk::order(toy.as_ref()) {
        let home = if tensor == 0 { toy.blocks() - 1 } else { (tensor - 1) / 4 + 1 };
        let (plain, behind) = (plain.statistics(tensor).unwrap(), sequential.statistics(tensor).unwrap());
        let Some(leader) = leader(&toy, home, tensor) else {
            assert!(plain.is_none() && behind.is_none(), "a bias multiplies nothing");
            continue;
        };
        // Those of a group see each other as they were: they have the same inputs anyway.
        let mut before = given.clone();
        before[leader..=tensor].clone_from_slice(&weights[leader..=tensor]);
        let (mut once, mut pairs) = (Accumulator::new(WIDTH), AsymmetricAccumulator::new(WIDTH));
        for batch in 0..samples.batches() {
            let x = inputs(&toy, &weights, home, leader, samples.batch(batch).unwrap());
            let y = inputs(&toy, &before, home, leader, samples.batch(batch).unwrap());
            once.add(&x);
            pairs.add(&x, &y);
        }
        let (once, pairs) = (once.finish().unwrap(), pairs.finish().unwrap());
        assert_eq!(**plain.unwrap().inputs(), once, "tensor {tensor}");
        match behind.unwrap() {
            Statistics::Asymmetric(found) => assert_eq!(*found, pairs, "tensor {tensor}"),
            // The tied table is compressed before its inputs are known.
            Statistics::Plain(found) => assert_eq!((tensor, &*found), (0, &once)),
            Statistics::Pooled { .. } => panic!("every row reaches tensor {tensor}"),
        }
        given[tensor] = rounded(&weights[tensor]);
        sequential.compressed(tensor, &given[tensor]).unwrap();
    }
}

#[test]
fn what_is_taken_is_handed_over_once() {
    let toy = Arc::new(Toy::new(2));
    let (weights, samples) = (toy.weights(), toy.samples());
    for mode in [Mode::Plain, Mode::Sequential] {
        let walk = || Walk::new(toy.clone(), Arc::new(weights.clone()), &samples, mode).unwrap();
        let (mut kept, mut taken) = (walk(), walk());
        for tensor in Walk::order(toy.as_ref()) {
            let (own, handed) = (kept.statistics(tensor).unwrap(), taken.take(tensor).unwrap());
            assert_eq!(own.as_ref().map(|own| own.inputs().clone()), handed.map(|handed| handed.inputs().clone()));
            if taken.knows(tensor) {
                assert!(matches!(taken.take(tensor), Err(ModelError::Passed(_))), "tensor {tensor}");
            }
        }
    }
}

#[test]
fn the_cost_grows_with_the_depth_alone() {
    let steps = |layers: usize| {
        let toy = Arc::new(Toy::new(layers));
        let (weights, samples) = (toy.weights(), toy.samples());
        let mut walk = Walk::new(toy.clone(), Arc::new(weights.clone()), &samples, Mode::Sequential).unwrap();
        for tensor in Walk::order(toy.as_ref()) {
            walk.statistics(tensor).unwrap();
            walk.compressed(tensor, &rounded(&weights[tensor])).unwrap();
        }
        toy.steps.load(Ordering::Relaxed)
    };
    let (few, many) = (steps(4), steps(8));
    assert!(many < 2 * few, "{few} {many}");
    // A layer: both models through each group's part and through the whole layer, and the run for the tied table.
    assert!(few <= 7 * (4 * (2 * 2 + 2 + 1) + 5), "{few}");
}

#[test]
fn what_does_not_fit_or_comes_too_late_is_refused() {
    let toy = Arc::new(Toy::new(2));
    let (weights, samples) = (toy.weights(), toy.samples());
    let mut walk = Walk::new(toy.clone(), Arc::new(weights.clone()), &samples, Mode::Sequential).unwrap();
    walk.statistics(5).unwrap();
    assert!(matches!(walk.statistics(1), Err(ModelError::Passed(_))));
    assert!(matches!(walk.compressed(1, &weights[1]), Err(ModelError::Passed(_))));
    assert!(matches!(walk.compressed(5, &weights[0]), Err(ModelError::Weights { .. })));
    let short = &weights[..3];
    assert!(matches!(BlockWeights::load(toy.as_ref(), 2, &short), Err(ModelError::Weights { .. })));
    assert!(short.load(7).is_err() && Hidden::new(vec![0.0; 5], 2, vec![2]).is_err());
    let hidden = toy.step(0, &BlockWeights::load(toy.as_ref(), 0, &weights).unwrap(), &samples[0], &mut NoTap).unwrap();
    assert_eq!((hidden.width, hidden.rows()), (WIDTH, 40));
}
