//! What statistics behind compressed layers cost: `cargo run --release -p seedpress-zoo --example sequential -- <name>`.
//!
//! One walk through the blocks beside running both models from the start for every tensor, with weights rounded to a few levels in
//! place of a codec's. Statistics of both ways are the same.

use std::time::Instant;

use seedpress_calibration::AsymmetricAccumulator;
use seedpress_codec::Tensor;
use seedpress_model::{BlockWeights, Hidden, Mode, Model, ModelError, Statistics, TapAll, Walk};
use seedpress_zoo::load;

fn rounded(tensor: &Tensor) -> Result<Tensor, Box<dyn std::error::Error>> {
    let mean = tensor.values().iter().map(|value| value.abs()).sum::<f32>() / tensor.values().len() as f32;
    let values = tensor.values().iter().map(|value| (value / mean).round() * mean).collect();
    Ok(Tensor::new(tensor.shape().to_vec(), values, tensor.dtype())?)
}

/// The inputs of a tensor, from the start of the network.
fn inputs(model: &Model, weights: &[Tensor], tensor: usize, batch: Hidden) -> Result<Vec<f32>, ModelError> {
    let (network, mut found) = (model.network(), Vec::new());
    let mut hidden = network.start(batch)?;
    for block in 0..network.blocks() {
        let weights = BlockWeights::load(network, block, &weights)?;
        let mut tap = TapAll(|at: usize, rows: &[f32]| {
            if at == tensor {
                found = rows.to_vec();
            }
            Ok(())
        });
        hidden = network.step(block, &weights, &hidden, &mut tap)?;
    }
    Ok(found)
}

fn memory() -> f64 {
    memory_stats::memory_stats().map_or(0.0, |stats| stats.physical_mem as f64 / 1e6)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("which model?")?;
    let model = load(&name)?;
    let before = memory();
    let own = (0..model.tensors().len()).map(|tensor| model.load(tensor)).collect::<Result<Vec<_>, _>>()?;
    let matrix = |tensor: usize| own[tensor].shape().len() > 1;

    let start = Instant::now();
    let mut walk = model.walk(Mode::Sequential)?;
    let mut most = memory();
    let mut found = Vec::new();
    for tensor in Walk::order(model.network()).into_iter().filter(|&tensor| matrix(tensor)) {
        let statistics = walk.statistics(tensor)?;
        most = most.max(memory());
        walk.compressed(tensor, &rounded(&own[tensor])?)?;
        found.push((tensor, statistics));
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{name}: one walk {seconds:.2} s, {:.0} MB more than the model", most - before);

    let data = seedpress_zoo::model::data(&name)?.ok_or("a model that runs is needed")?;
    let samples = data.calibration()?.ok_or("calibration data is needed")?;
    let start = Instant::now();
    let mut given = own.clone();
    for (tensor, statistics) in found {
        if let Some(Statistics::Asymmetric(walked)) = statistics {
            let mut sums = AsymmetricAccumulator::new(model.tensors()[tensor].columns());
            for batch in 0..samples.batches() {
                let (x, y) = rayon::join(
                    || inputs(&model, &own, tensor, samples.batch(batch)?),
                    || inputs(&model, &given, tensor, samples.batch(batch)?),
                );
                sums.add(&x?, &y?);
            }
            assert!(sums.finish()? == *walked, "the statistics of {} differ", model.tensors()[tensor].name);
        }
        given[tensor] = rounded(&own[tensor])?;
    }
    println!("{name}: the whole model for every tensor {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}
