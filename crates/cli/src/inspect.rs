//! `seedpress inspect` and `seedpress verify`.

use std::path::PathBuf;

use clap::Args;
use seedpress::codec::Limits;
use seedpress_checkpoint::{Checkpoint, ContainerView, Order, StoredView};

use crate::decompress::{fault, read};
use crate::failure::{Failure, Outcome};

/// The file to look at.
#[derive(Args)]
#[command(after_help = "  seedpress inspect model.sdp")]
pub struct Arguments {
    /// The .sdp file
    input: PathBuf,
}

/// Lists what a file holds, without decoding.
pub fn run(arguments: &Arguments) -> Outcome {
    let bytes = read(&arguments.input)?;
    let view = ContainerView::parse(&bytes).map_err(|error| fault(&arguments.input, error))?;
    let order = match view.order {
        Order::TensorMajor => "tensor after tensor",
        Order::QualityMajor => "base layers first",
    };
    let state = if view.complete { "complete" } else { "cut short" };
    let (have, whole) = (bytes.len(), view.whole_len);
    println!("{state}: {have} of {whole} bytes, index {} bytes, {order}", view.index_len);
    for entry in &view.entries {
        let (present, all) = entry.layers();
        match &entry.stored {
            StoredView::Record { header, .. } => {
                let stage = if header.stage.is_empty() { String::new() } else { format!("+{}", header.stage) };
                let layers: usize = (0..header.layers.len()).map(|index| header.layer_len(index)).sum();
                let stored = layers + header.to_bytes().len();
                let bits = 8.0 * stored as f64 / header.weights().max(1) as f64;
                let (codec, dtype, shape) = (&header.codec, header.dtype.name(), &header.shape);
                let name = &entry.name;
                println!(
                    "{name}: {codec}{stage}, {dtype} {shape:?}, {stored} bytes, {bits:.3} bits/weight, layers {present}/{all}"
                );
            }
            StoredView::Opaque { dtype, shape, .. } => {
                println!("{}: kept as it is, {dtype} {shape:?}, present {present}/{all}", entry.name);
            }
        }
    }
    for (key, value) in &view.metadata {
        println!("metadata {key}: {value}");
    }
    Ok(())
}

/// The file to check.
#[derive(Args)]
#[command(after_help = "  seedpress verify model.sdp --against model.safetensors")]
pub struct VerifyArguments {
    /// The .sdp file
    input: PathBuf,
    /// The checkpoint it was made from: also report the relative error of every tensor
    #[arg(long, value_name = "SAFETENSORS")]
    against: Option<PathBuf>,
}

/// Decodes everything.
pub fn verify(arguments: &VerifyArguments) -> Outcome {
    let bytes = read(&arguments.input)?;
    let view = ContainerView::parse(&bytes).map_err(|error| fault(&arguments.input, error))?;
    let registry = seedpress::registry();
    let original = arguments.against.as_deref().map(Checkpoint::open).transpose().map_err(Failure::data)?;
    for entry in &view.entries {
        let StoredView::Record { .. } = entry.stored else {
            entry.opaque_bytes().map_err(|error| fault(&arguments.input, error))?;
            continue;
        };
        let mut limits = Limits::for_input(bytes.len());
        let decoded =
            entry.decode(&registry, None, &mut limits).map_err(|error| fault(&arguments.input, error))?.tensor;
        let Some(original) = &original else { continue };
        let weights = original.load_float(&entry.name).map_err(Failure::data)?;
        if weights.shape() != decoded.shape() {
            return Err(Failure::data(format!(
                "{}: shape {:?}, not {:?}",
                entry.name,
                decoded.shape(),
                weights.shape()
            )));
        }
        let (mut error, mut energy) = (0.0, 0.0);
        let pairs = weights.values().iter().zip(decoded.values()).filter(|(w, v)| w.is_finite() && v.is_finite());
        for (&w, &v) in pairs {
            error += (f64::from(w) - f64::from(v)).powi(2);
            energy += f64::from(w).powi(2);
        }
        let relative = seedpress_results::derive::relative_mse(error, energy).sqrt();
        println!("{}: relative error {relative:.6}", entry.name);
    }
    if !view.complete {
        let (have, whole) = (bytes.len(), view.whole_len);
        return Err(Failure::data(format!("{}: cut short: {have} of {whole} bytes", arguments.input.display())));
    }
    println!("{}: {} tensors decode, every checksum fits", arguments.input.display(), view.entries.len());
    Ok(())
}
