//! `seedpress compress`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use seedpress::Registry;
use seedpress_checkpoint::container::shards::index_path;
use seedpress_checkpoint::{Order, Overwrite, Shards, companions};
use seedpress_model::Storage;
use seedpress_press::control::DEFAULT_MEMORY;
use seedpress_press::{Accompanied, Control, Guide, Layout, NoGuide, PressError, Source, Summary, compress_file};
use seedpress_transformer::guide::{self, CalibrationGuide};

use crate::calibration::{Calibration, Text};
use crate::choice::Choice;
use crate::common::{Common, MemoryLimit, checkpoint, named_for, output};
use crate::failure::{Failure, Outcome};
use crate::foreign::Foreign;
use crate::inputs;
use crate::language;
use crate::print::{note, parse_bytes};
use crate::summary;
use crate::verify::error;
use crate::zoo::{Calibrated, Zoo};

/// What to compress and how.
#[derive(Args)]
#[command(after_help = "  seedpress compress model.safetensors --codec seedlm-progressive -o model.sdp
  seedpress compress checkpoint-folder --codec rtn:group=64 --bits 3 --then zstd -o model.sdp
  seedpress compress model.safetensors --codec trellis --exclude '*lm_head*' -o model.sdp
  seedpress compress model.safetensors --codec trellis --max-error 0.1 -o model.sdp
  seedpress compress checkpoint-folder --codec trellis --shard-size 2GB -o model.sdp
  seedpress compress model.safetensors --plan plan.toml -o model.sdp
  seedpress compress fashion-mlp --codec trellis:hessian=full -o model.sdp
  seedpress compress smollm2-135m --codec trellis:bits=3,hessian=full --calibration text.txt -o model.sdp
Codecs that use calibration data have it for models of the zoo, and for folders of language models with --calibration: tensors are then
compressed in the order of execution, each with the inputs that those before it leave it. Hidden states of the text that exceed
--max-memory lie in a temporary file beside the output meanwhile. Of a file nothing is known but its weights.
A relative error is ||original - decoded|| / ||original||, of what the written bytes decode to: 0 for a faithful copy, 1 for zeros. With
--max-error each tensor is encoded at several rates, from what its codec allows (whole bits, or steps of 1/32); one that no rate brings
within E is stored as it is, and said so. `seedpress verify model.sdp --against model.safetensors --max-error E` checks the result.
A folder's config.json, tokenizer and generation files are carried in the file (--weights-only leaves them out).
A run that was killed is taken up by the same command, tensor by tensor. The file is decoded before it is put in its place.")]
pub(crate) struct Arguments {
    /// A .safetensors file, the .safetensors.index.json of a sharded checkpoint, a folder that holds either; a .gguf,
    /// .pt, .pth, .bin, .npz or .npy file, or a folder in compressed-tensors, GPTQ, AWQ or MLX layout; a model of the zoo; or -
    /// for standard input
    input: PathBuf,
    /// The codec with its options: id, or id:key=value,key=value
    #[arg(long, required_unless_present = "plan")]
    codec: Option<String>,
    /// A plan that names a codec for each tensor: see `seedpress plan`
    #[arg(long, value_name = "TOML", conflicts_with_all = ["codec", "bits", "then"])]
    plan: Option<PathBuf>,
    /// Bits per weight, for codecs that target a rate
    #[arg(long, value_parser = rate)]
    bits: Option<f64>,
    /// Choose the rate of each tensor: the lowest at which the relative error of the tensor, and of its middle row, is at most E
    #[arg(long, value_name = "E", requires = "codec", conflicts_with_all = ["plan", "bits", "no_verify"], value_parser = error)]
    max_error: Option<f64>,
    /// Entropy stage behind the codec
    #[arg(long, value_name = "STAGE")]
    then: Option<String>,
    /// Tensors with fewer weights, and those of rank 0 and 1, are stored as they are; 0 hands everything to the codec [default: 1024,
    /// or what the plan says]
    #[arg(long, value_name = "N")]
    keep_below: Option<usize>,
    /// Compress only tensors whose name matches (* and ? are patterns); the others are stored as they are; repeatable
    #[arg(long, visible_alias = "tensor", value_name = "PATTERN")]
    include: Vec<String>,
    /// Store tensors whose name matches as they are; repeatable
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    #[command(flatten)]
    text: Text,
    /// Calibrate each tensor with the inputs of the uncompressed model, whatever became of those before it
    #[arg(long, requires = "calibration")]
    not_sequential: bool,
    /// Write one tensor after the other instead of all base layers first
    #[arg(long)]
    tensor_major: bool,
    /// Write files of at most this many bytes, model-00001-of-00003.sdp and so on, and model.sdp.index.json, which names them and is what
    /// other commands take. A tensor that is larger has a file of its own
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    shard_size: Option<u64>,
    /// Do not decode what was written
    #[arg(long)]
    no_verify: bool,
    /// Leave out the files beside the weights of a folder: configuration and tokenizer
    #[arg(long)]
    weights_only: bool,
    /// Store tensors of the same content as often as they are there
    #[arg(long)]
    no_tie: bool,
    /// Keep finished tensors when stopped with Ctrl-C: the same command goes on
    #[arg(long)]
    resumable: bool,
    /// The .sdp file to write, or - for standard output
    #[arg(short, long)]
    output: PathBuf,
    /// Replace the output if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    work: MemoryLimit,
    #[command(flatten)]
    common: Common,
}

/// Endings of files that are no `.sdp` file.
const OTHERS: [&str; 6] = ["safetensors", "gguf", "pt", "pth", "npz", "npy"];

/// Compresses a checkpoint, one tensor at a time.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.common.reporting.begin();
    let registry = seedpress::registry();
    let then = arguments.then.as_deref();
    let codec = match (&arguments.plan, &arguments.codec, arguments.max_error) {
        (Some(plan), ..) => Choice::plan(plan, &registry)?,
        (None, Some(codec), Some(error)) => Choice::within(codec, error, then, &registry)?,
        (None, Some(codec), None) => Choice::codec(codec, arguments.bits, then, &registry)?,
        (None, None, _) => return Err(Failure::usage("name a codec with --codec or a plan with --plan")),
    };
    let choice = codec.keep_below(arguments.keep_below).only(&arguments.include, &arguments.exclude);
    if !arguments.common.reporting.quiet {
        choice.assumptions().iter().for_each(|line| note!("{line}"));
    }
    if let Some(text) = &arguments.text.calibration {
        if arguments.max_error.is_some() && !arguments.not_sequential {
            return Err(Failure::usage(
                "--max-error bounds how far weights are from the original's, and sequential calibration moves them on purpose: \
                 add --not-sequential",
            ));
        }
        return calibrated(arguments, text, &registry, &choice);
    }
    let zoo = arguments.input.to_str().and_then(seedpress_zoo::info).filter(|_| !arguments.input.exists());
    if let Some(info) = zoo {
        let model = Zoo::open(info.name)?;
        return press(arguments, &registry, &choice, &model, &mut Calibrated(&model), None);
    }
    if let Some(foreign) = Foreign::open(&arguments.input)? {
        return press(arguments, &registry, &choice, &foreign, &mut NoGuide, None);
    }
    let checkpoint = checkpoint(&arguments.input)?;
    press(arguments, &registry, &choice, &checkpoint, &mut NoGuide, None)
}

/// Compresses the folder of a language model with calibration text.
fn calibrated(arguments: &Arguments, text: &Path, registry: &Registry, choice: &Choice) -> Outcome {
    let quiet = arguments.common.reporting.quiet;
    let calibration = Calibration::open(&arguments.input, &arguments.text, text, quiet)?;
    let checkpoint = checkpoint(calibration.folder())?;
    let source = guide::InOrder::new(&checkpoint, calibration.text.network());
    let importances = match arguments.text.unweighted {
        true => None,
        false => Some(calibration.weigh(quiet)?),
    };
    let (network, weights) = (calibration.text.network().clone(), calibration.text.weights()?);
    let (samples, sequential) = (calibration.text.samples(), !arguments.not_sequential);
    let storage = states(arguments);
    let mut guide = CalibrationGuide::new(network, weights, &source, samples, sequential, importances, &storage)?;
    press(arguments, registry, choice, &source, &mut guide, Some(checkpoint.path()))
}

/// Bits that were asked for; which of them a codec has, it says itself.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(bits) if bits.is_finite() => Ok(bits),
        _ => Err("bits per weight are a number".to_owned()),
    }
}

/// Where the hidden states of calibration text are kept: beyond `--max-memory` on the disk that has room for the output.
fn states(arguments: &Arguments) -> Storage {
    let folder = match arguments.output.parent() {
        _ if arguments.output == Path::new("-") => std::env::temp_dir(),
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    Storage::new(arguments.work.max_memory.unwrap_or(DEFAULT_MEMORY), &folder)
}

/// What is carried beside the weights of a folder.
pub(crate) fn files(input: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let folder = language::folder(input)?;
    if folder.is_dir() { companions::read(&folder).map_err(Failure::data) } else { Ok(BTreeMap::new()) }
}

/// `weights` are where the source's weights lie, where that is not the input.
fn press(
    arguments: &Arguments,
    registry: &Registry,
    choice: &Choice,
    source: &dyn Source,
    guide: &mut dyn Guide,
    weights: Option<&Path>,
) -> Outcome {
    choice.check(source.tensors()).map_err(Failure::from)?;
    let files = if arguments.weights_only { BTreeMap::new() } else { files(&arguments.input)? };
    let source = &Accompanied::new(source, files);
    let read =
        [Some(arguments.input.as_path()), arguments.plan.as_deref(), arguments.text.calibration.as_deref(), weights];
    let read: Vec<&Path> = read.into_iter().flatten().collect();
    let target = match arguments.shard_size {
        Some(0) => return Err(Failure::usage("--shard-size: a file of no bytes holds nothing")),
        Some(_) if arguments.output == Path::new("-") => {
            return Err(Failure::usage("--shard-size: several files do not go to standard output"));
        }
        Some(_) => index_path(&arguments.output),
        None => arguments.output.clone(),
    };
    let output = output(&target, arguments.force, &read)?;
    named_for(&arguments.output, &OTHERS, "compress writes an .sdp file: `seedpress export` writes other formats")?;
    let order = if arguments.tensor_major { Order::TensorMajor } else { Order::QualityMajor };
    let shards = arguments.shard_size.map(|size| Shards {
        size,
        overwrite: if arguments.force { Overwrite::Allow } else { Overwrite::Refuse },
        inputs: inputs::files(&read),
    });
    let layout = Layout { order, shards };
    let total = source.tensors().iter().map(|info| info.bytes as u64).sum();
    let work = |control: Control<'_>| -> Result<Summary, PressError> {
        let control =
            Control { verify: !arguments.no_verify, tie: !arguments.no_tie, keep: arguments.resumable, ..control };
        compress_file(source, choice, guide, registry, &control, output, layout)
    };
    let summary = arguments.common.run(total, arguments.work.max_memory, "cleaning up", work)?;
    if summary.tensors.iter().any(|tensor| tensor.unguided) && !arguments.common.reporting.quiet {
        note!(
            "note: a file has no calibration data: codecs that use it went without; --calibration takes text for the folder of a language model"
        );
    }
    summary::print(&target, &summary, &choice.name(), &arguments.common);
    Ok(())
}
