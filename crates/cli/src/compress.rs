//! `seedpress compress`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use seedpress::Registry;
use seedpress::codec::{AnyCodec, Calibration, EncodeContext, Tensor};
use seedpress_bench::config::{Location, ModelSpec, Origin};
use seedpress_bench::source::{OpenError, Source};
use seedpress_checkpoint::{Checkpoint, Container, Content, Entry, Order};
use seedpress_plan::PlanFile;

use crate::failure::{Failure, Outcome};

/// What to compress and how.
#[derive(Args)]
#[command(after_help = "  seedpress compress model.safetensors --codec seedlm-progressive -o model.sdp
  seedpress compress model.safetensors.index.json --codec rtn:group=64 --bits 3 --then zstd -o model.sdp
  seedpress compress model.safetensors --plan plan.toml -o model.sdp
  seedpress compress fashion-mlp --codec trellis:hessian=full -o model.sdp
Codecs that use calibration data have it for models of the zoo alone: of a file nothing is known but its weights.")]
pub struct Arguments {
    /// A .safetensors file, the .safetensors.index.json of a sharded checkpoint, or a model of the zoo
    input: PathBuf,
    /// The codec with its options: id, or id:key=value,key=value
    #[arg(long, required_unless_present = "plan")]
    codec: Option<String>,
    /// A plan that names a codec for each tensor: see `seedpress plan`
    #[arg(long, value_name = "TOML", conflicts_with_all = ["codec", "bits", "then"])]
    plan: Option<PathBuf>,
    /// Bits per weight, for codecs that target a rate
    #[arg(long)]
    bits: Option<f64>,
    /// Entropy stage behind the codec
    #[arg(long, value_name = "STAGE")]
    then: Option<String>,
    /// Tensors with fewer weights, and those of rank 0 and 1, are stored as they are; 0 hands everything to the codec [default: 1024,
    /// or what the plan says]
    #[arg(long, value_name = "N")]
    keep_below: Option<usize>,
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
    let choice = Choice::new(arguments, &registry)?;
    let keep_below = arguments.keep_below.unwrap_or(match &choice {
        Choice::One(_) => 1024,
        Choice::Plan(plan, _) => plan.keep_below,
    });
    refuse_overwrite(&arguments.output, arguments.force)?;
    let raw = registry.codec("raw").map_err(Failure::usage)?.default_codec();
    let kept = |shape: &[usize], weights: usize| keep_below > 0 && (shape.len() <= 1 || weights < keep_below);
    let encode = |name: &str, tensor: &Tensor, calibration: Option<&Calibration>, codec: &AnyCodec| {
        let context = EncodeContext { registry: Some(&registry), calibration, ..EncodeContext::default() };
        codec.encode(&tensor.view(name), &context).map_err(Failure::data)
    };
    let zoo = arguments.input.to_str().and_then(seedpress_zoo::info).filter(|_| !arguments.input.exists());
    let (source, container) = if let Some(info) = zoo {
        let model = open(info.name)?;
        let bar = progress(model.source_bytes());
        let mut records = Vec::with_capacity(model.tensors.len());
        for info in &model.tensors {
            let tensor = model.load(info).map_err(Failure::data)?;
            let chosen = if kept(&info.shape, info.weights) { &raw } else { choice.codec(&info.name)? };
            // Collected when it is first asked for, which takes a while.
            let calibration = match chosen.capabilities().uses_calibration {
                true => model.calibration(info).map_err(Failure::data)?,
                false => None,
            };
            records.push(encode(&info.name, &tensor, calibration, chosen)?);
            bar.inc((info.weights * info.dtype.size()) as u64);
        }
        bar.finish_and_clear();
        (model.source_bytes(), model.container(records).map_err(Failure::data)?)
    } else {
        let checkpoint = Checkpoint::open(&arguments.input).map_err(Failure::data)?;
        let bar = progress(checkpoint.source_bytes());
        let mut entries = Vec::with_capacity(checkpoint.tensors().len());
        let mut uncalibrated = false;
        for (index, info) in checkpoint.tensors().iter().enumerate() {
            let entry = match checkpoint.load(index).map_err(Failure::data)? {
                Content::Float(tensor) => {
                    let raw = kept(tensor.shape(), tensor.values().len()).then_some(&raw);
                    let chosen = raw.map_or_else(|| choice.codec(&info.name), Ok)?;
                    uncalibrated |= chosen.capabilities().uses_calibration;
                    Entry::Record(encode(&info.name, &tensor, None, chosen)?)
                }
                Content::Opaque(bytes) => Entry::Opaque { dtype: info.dtype.clone(), shape: info.shape.clone(), bytes },
            };
            entries.push((info.name.clone(), entry));
            bar.inc(info.bytes as u64);
        }
        bar.finish_and_clear();
        if uncalibrated {
            eprintln!(
                "note: a file has no calibration data: codecs that use it went without; name a model of the zoo instead"
            );
        }
        let metadata = checkpoint.metadata().clone();
        (checkpoint.source_bytes(), Container { metadata, entries, ..Container::default() })
    };
    let order = if arguments.tensor_major { Order::TensorMajor } else { Order::QualityMajor };
    let container = Container { order, ..container };
    let written = container.write(&arguments.output).map_err(Failure::data)?;
    let ratio = source as f64 / written as f64;
    println!(
        "{}: {source} -> {written} bytes, {ratio:.2} times smaller, {}",
        arguments.output.display(),
        choice.name()
    );
    Ok(())
}

/// A model of the zoo.
fn open(name: &str) -> Result<Source, Failure> {
    let at = Location { path: PathBuf::from(name), line: 1, column: 1 };
    let origin = Origin::Zoo(name.to_owned());
    let spec = ModelSpec { name: name.to_owned(), origin, include: Vec::new(), exclude: Vec::new(), at };
    Source::open(&spec).map_err(|error| match error {
        OpenError::Absent(message) | OpenError::Wrong(message) => Failure::data(message),
    })
}

/// What stores the tensors that are not kept as they are.
enum Choice {
    One(AnyCodec),
    Plan(PlanFile, PathBuf),
}

impl Choice {
    fn new(arguments: &Arguments, registry: &Registry) -> Result<Self, Failure> {
        match (&arguments.plan, &arguments.codec) {
            (Some(path), _) => Ok(Self::Plan(PlanFile::load(path, registry).map_err(Failure::usage)?, path.clone())),
            (None, Some(name)) => Ok(Self::One(codec(name, arguments, registry)?)),
            (None, None) => Err(Failure::usage("name a codec with --codec or a plan with --plan")),
        }
    }

    fn codec(&self, tensor: &str) -> Result<&AnyCodec, Failure> {
        match self {
            Self::One(codec) => Ok(codec),
            Self::Plan(plan, path) => plan.codec(tensor).ok_or_else(|| {
                let path = path.display();
                Failure::usage(format!(
                    "{path}: no [[tensor]] matches `{tensor}`: add one, or a last one with name = \"*\""
                ))
            }),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::One(codec) => codec.name(),
            Self::Plan(_, path) => format!("plan {}", path.display()),
        }
    }
}

fn codec(given: &str, arguments: &Arguments, registry: &Registry) -> Result<AnyCodec, Failure> {
    let (mut name, stage) = match given.split_once('+') {
        Some((name, stage)) => (name.to_owned(), Some(stage.to_owned())),
        None => (given.to_owned(), None),
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
