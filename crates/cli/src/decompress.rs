//! `seedpress decompress`.

use std::path::{Path, PathBuf};

use clap::Args;
use seedpress::codec::{DecodeError, Limits};
use seedpress_checkpoint::{CheckpointError, ContainerView, SavedTensor, StoredView, save_safetensors};

use crate::compress::{progress, refuse_overwrite};
use crate::failure::{Failure, Outcome};

/// What to restore, and from how much of the file.
#[derive(Args)]
#[command(after_help = "A file that was cut short decodes from what is there, as long as every base layer is.
  seedpress decompress model.sdp -o back.safetensors --layers 1")]
pub struct Arguments {
    /// The .sdp file
    input: PathBuf,
    /// The .safetensors file to write
    #[arg(short, long)]
    output: PathBuf,
    /// Decode from the first N layers of each tensor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    layers: Option<u64>,
    /// Decode from the first N bytes of the file
    #[arg(long, value_name = "N")]
    max_bytes: Option<usize>,
    /// Replace the output if it is there
    #[arg(long)]
    force: bool,
}

/// Restores a checkpoint.
pub fn run(arguments: &Arguments) -> Outcome {
    refuse_overwrite(&arguments.output, arguments.force)?;
    let bytes = read(&arguments.input)?;
    let at_hand = &bytes[..arguments.max_bytes.unwrap_or(bytes.len()).min(bytes.len())];
    let view = ContainerView::parse(at_hand).map_err(|error| fault(&arguments.input, error))?;
    let registry = seedpress::registry();
    let layers = arguments.layers.and_then(|count| usize::try_from(count).ok());
    let bar = progress(view.entries.len() as u64);
    let mut tensors = Vec::with_capacity(view.entries.len());
    let (mut used, mut total) = (0, 0);
    for entry in &view.entries {
        let saved = match &entry.stored {
            StoredView::Record { .. } => {
                let decoded = entry
                    .decode(&registry, layers, &mut Limits::for_input(bytes.len()))
                    .map_err(|error| fault(&arguments.input, error))?;
                used += decoded.layers;
                total += decoded.layers_total;
                SavedTensor {
                    dtype: decoded.tensor.dtype().name().to_uppercase(),
                    shape: decoded.tensor.shape().to_vec(),
                    bytes: decoded.tensor.to_le_bytes(),
                }
            }
            StoredView::Opaque { dtype, shape, .. } => SavedTensor {
                dtype: dtype.clone(),
                shape: shape.clone(),
                bytes: entry.opaque_bytes().map_err(|error| fault(&arguments.input, error))?.to_vec(),
            },
        };
        tensors.push((entry.name.clone(), saved));
        bar.inc(1);
    }
    bar.finish_and_clear();
    save_safetensors(&arguments.output, &tensors, &view.metadata).map_err(Failure::data)?;
    let count = tensors.len();
    println!("{}: {count} tensors from {used} of {total} layers", arguments.output.display());
    Ok(())
}

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::data(format!("{}: {error}", path.display())))
}

/// A decoding error with its file.
pub fn fault(path: &Path, source: DecodeError) -> Failure {
    Failure::data(CheckpointError::Container { path: path.to_owned(), source })
}
