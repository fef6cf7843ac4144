//! Seconds of a forward pass over many sequences, block by block, as calibration and evaluation run it: `forward FOLDER SEQUENCES LENGTH`.
//!
//! Scores of all positions are computed and dropped. Beside PyTorch on the same tokens: `python/measure/forward.py`.

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use seedpress_checkpoint::Checkpoint;
use seedpress_model::{BlockWeights, CheckpointWeights, Hidden, ModelError, Network, NoTap};
use seedpress_transformer::{Transformer, TransformerNetwork};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, sequences, length] = arguments.as_slice() else {
        return Err("forward FOLDER SEQUENCES LENGTH".into());
    };
    let (folder, sequences, length): (_, usize, usize) = (Path::new(folder), sequences.parse()?, length.parse()?);
    let model = Transformer::open(folder)?;
    let network = TransformerNetwork::new(model.description().clone(), model.shapes());
    let weights = CheckpointWeights::new(Checkpoint::open(folder)?, &network);
    let words = model.shapes()[&model.description().embedding.tokens][0];
    let token = |at: usize| ((at * 7919 + 13) % words) as u32;
    let sequence = |number: usize| (number * length..(number + 1) * length).map(token).collect::<Vec<u32>>();
    let start = Instant::now();
    let mut states: Vec<Hidden> = (0..sequences).map(|number| Hidden::tokens(&[&sequence(number)])).collect();
    for block in 0..network.blocks() {
        let weights = BlockWeights::load(&network, block, &weights)?;
        let last = block + 1 == network.blocks();
        states.par_iter_mut().try_for_each(|state| {
            let next = network.step(block, &weights, state, &mut NoTap)?;
            // Scores of all sequences at once would be gigabytes.
            *state = if last { Hidden::tokens(&[]) } else { next };
            Ok::<(), ModelError>(())
        })?;
    }
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}
