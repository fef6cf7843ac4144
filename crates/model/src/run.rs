//! Running a network over data.

use rayon::prelude::*;

use crate::block_weights::BlockWeights;
use crate::data::Samples;
use crate::error::ModelError;
use crate::network::{Hidden, Network, NoTap};
use crate::outputs::Outputs;
use crate::weights::Weights;

/// Runs a network over a data set and hands over what it says of each batch, in order.
///
/// Each tensor is loaded once, for all data, unless the weights are [resident](Weights::resident); batches run side by side.
///
/// # Errors
/// What the network, the weights, the data or `take` return.
pub fn run(
    network: &dyn Network,
    weights: &dyn Weights,
    samples: &dyn Samples,
    take: &mut dyn FnMut(usize, Outputs) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let together = if weights.resident() { rayon::current_num_threads() } else { samples.batches() };
    let batches: Vec<usize> = (0..samples.batches()).collect();
    for batches in batches.chunks(together.max(1)) {
        let states = states(network, weights, samples, batches, network.blocks())?;
        let outputs = states.into_par_iter().map(|state| network.finish(state)).collect::<Result<Vec<_>, _>>()?;
        for (&batch, outputs) in batches.iter().zip(outputs) {
            take(batch, samples.counted(batch, outputs))?;
        }
    }
    Ok(())
}

/// What comes out of the first `blocks` blocks for some batches: each block is loaded once, batches run side by side.
///
/// # Errors
/// As [`run`].
pub(crate) fn states(
    network: &dyn Network,
    weights: &dyn Weights,
    samples: &dyn Samples,
    batches: &[usize],
    blocks: usize,
) -> Result<Vec<Hidden>, ModelError> {
    let start = |&batch: &usize| network.start(samples.batch(batch)?);
    let mut states = batches.par_iter().map(start).collect::<Result<Vec<Hidden>, _>>()?;
    for block in 0..blocks {
        let weights = BlockWeights::load(network, block, weights)?;
        states.par_iter_mut().try_for_each(|state| {
            *state = network.step(block, &weights, state, &mut NoTap)?;
            Ok::<(), ModelError>(())
        })?;
    }
    Ok(states)
}
