//! `seedpress compress`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use seedpress::Registry;
use seedpress::codec::{AnyCodec, EncodeContext};
use seedpress_checkpoint::{Checkpoint, Container, Content, Entry, Order};

use crate::failure::{Failure, Outcome};

/// What to compress and how.
#[derive(Args)]
#[command(after_help = "  seedpress compress model.safetensors --codec seedlm-progressive -o model.sdp
  seedpress compress model.safetensors.index.json --codec rtn:group=64 --bits 3 --then zstd -o model.sdp")]
pub struct Arguments {
    /// A .safetensors file, or the .safetensors.index.json of a sharded checkpoint
    input: PathBuf,
    /// The codec with its options: id, or id:key=value,key=value
    #[arg(long)]
    codec: String,
    /// Bits per weight, for codecs that target a rate
    #[arg(long)]
    bits: Option<f64>,
    /// Entropy stage behind the codec
    #[arg(long, value_name = "STAGE")]
    then: Option<String>,
    /// Tensors with fewer weights, and those of rank 0 and 1, are stored as they are; 0 hands everything to the codec
    #[arg(long, default_value_t = 1024)]
    keep_below: usize,
    /// Write one tensor after the other instead of all base layers first
    #[arg(long)]
    tensor_major: bool,
    /// The .sdp file to write
    #[arg(short, long)]
    output: PathBuf,
    /// Replace the output if it is there
    #[arg(long)]
    force: bool,
}

/// Compresses a checkpoint, one tensor at a time.
pub fn run(arguments: &Arguments) -> Outcome {
    let registry = seedpress::registry();
    let codec = codec(arguments, &registry)?;
    refuse_overwrite(&arguments.output, arguments.force)?;
    let raw = registry.codec("raw").map_err(Failure::usage)?.default_codec();
    let checkpoint = Checkpoint::open(&arguments.input).map_err(Failure::data)?;
    let bar = progress(checkpoint.source_bytes());
    let mut entries = Vec::with_capacity(checkpoint.tensors().len());
    for (index, info) in checkpoint.tensors().iter().enumerate() {
        let entry = match checkpoint.load(index).map_err(Failure::data)? {
            Content::Float(tensor) => {
                let kept = arguments.keep_below > 0
                    && (tensor.shape().len() <= 1 || tensor.values().len() < arguments.keep_below);
                let context = EncodeContext { registry: Some(&registry), ..EncodeContext::default() };
                let chosen = if kept { &raw } else { &codec };
                Entry::Record(chosen.encode(&tensor.view(&info.name), &context).map_err(Failure::data)?)
            }
            Content::Opaque(bytes) => Entry::Opaque { dtype: info.dtype.clone(), shape: info.shape.clone(), bytes },
        };
        entries.push((info.name.clone(), entry));
        bar.inc(info.bytes as u64);
    }
    bar.finish_and_clear();
    let order = if arguments.tensor_major { Order::TensorMajor } else { Order::QualityMajor };
    let container = Container { metadata: checkpoint.metadata().clone(), order, entries };
    let written = container.write(&arguments.output).map_err(Failure::data)?;
    let source = checkpoint.source_bytes();
    let ratio = source as f64 / written as f64;
    println!("{}: {source} -> {written} bytes, {ratio:.2} times smaller, {}", arguments.output.display(), codec.name());
    Ok(())
}

fn codec(arguments: &Arguments, registry: &Registry) -> Result<AnyCodec, Failure> {
    let (mut name, stage) = match arguments.codec.split_once('+') {
        Some((name, stage)) => (name.to_owned(), Some(stage.to_owned())),
        None => (arguments.codec.clone(), None),
    };
    if let Some(bits) = arguments.bits {
        let id = name.split(':').next().unwrap_or_default();
        let entry = registry.codec(id).map_err(Failure::usage)?;
        if entry.schema()["properties"]["bits"].is_null() {
            return Err(Failure::usage(format!("codec `{id}` has no option `bits`: see `seedpress codecs {id}`")));
        }
        name.push(if name.contains(':') { ',' } else { ':' });
        name.push_str(&format!("bits={bits}"));
    }
    if let Some(stage) = arguments.then.as_ref().or(stage.as_ref()) {
        name.push('+');
        name.push_str(stage);
    }
    registry.parse(&name).map_err(Failure::usage)
}

/// Refuses a file that is there, unless forced.
pub fn refuse_overwrite(path: &Path, force: bool) -> Outcome {
    if path.exists() && !force {
        return Err(Failure::usage(format!("{} is there already: --force replaces it", path.display())));
    }
    Ok(())
}

/// A bar over bytes, on a terminal only.
pub fn progress(bytes: u64) -> ProgressBar {
    if std::io::stderr().is_terminal() { ProgressBar::new(bytes) } else { ProgressBar::hidden() }
}
