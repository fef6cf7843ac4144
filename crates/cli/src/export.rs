//! `seedpress export`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use seedpress::codec::text::printable;
use seedpress::codec::{AnyCodec, DType, Registry};
use seedpress_checkpoint::container::is_container;
use seedpress_exchange::export::gguf::types::Wanted;
use seedpress_exchange::export::{
    Exported, GgufOptions, PackedOptions, Target, alike, fit_gguf, fit_packed, write_gguf, write_packed,
};
use seedpress_exchange::gguf::{TypeInfo, by_name};
use seedpress_exchange::packed::gptq::Version;
use seedpress_exchange::{ExchangeError, FileSupply, ModelFiles, SdpSupply, Supply};
use seedpress_plan::PlanFile;
use seedpress_plan::waterfill::Spectrum;
use serde_json::json;
use wildmatch::WildMatch;

use crate::calibration::{Calibration, Text};
use crate::common::{Common, container, output};
use crate::failure::{Failure, Outcome};
use crate::listing::file_bytes;
use crate::print::{bytes, line, note, parse_bytes};
use crate::stop::leave_nothing_when_stopped;

/// What to export and how.
#[derive(Args)]
#[command(after_help = "  seedpress export model-folder --to gguf --type q4_k -o model.gguf
  seedpress export model-folder --to gguf --type q4_k --tensor-type '*.attn_v.weight=q6_k' -o model.gguf
  seedpress export model-folder --to compressed-tensors --bits 4 --group 128 -o out-folder
  seedpress export model-folder --to mlx --bits 3 --group 64 -o out-folder
  seedpress export model.sdp --config model-folder --to gptq -o out-folder
  seedpress export model-folder --to gguf --plan plan.toml -o model.gguf
  seedpress export model-folder --to gguf --size 60MB -o model.gguf
  seedpress export model-folder --to gguf --size 60MB --calibration text.jsonl -o model.gguf
  seedpress export model.gguf --to safetensors --dtype bf16 -o out-folder
Which engine loads which format, and what is lost: docs/formats.")]
pub(crate) struct Arguments {
    /// A folder of Hugging Face, or a file that compress reads, or an .sdp file whose codec fits
    input: PathBuf,
    /// The format
    #[arg(long)]
    to: Format,
    /// GGUF: the type of matrices, e.g. q4_k, q8_0, f16 [default: the type a tensor has in its file, and q4_k for floats]
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// GGUF: another type for tensors whose name in GGUF matches (* and ? are patterns); repeatable, the first that matches counts
    #[arg(long, value_name = "PATTERN=TYPE")]
    tensor_type: Vec<String>,
    /// A plan that names a codec for each tensor: for gguf codecs named as its types are, for the others rtn, gptq, awq or hqq
    #[arg(long, value_name = "TOML", conflicts_with_all = ["kind", "bits", "group", "asymmetric"])]
    plan: Option<PathBuf>,
    /// Bytes of the whole file, e.g. 60MB: types or bits of every tensor are chosen so that it is hardly smaller, and not larger; gguf,
    /// compressed-tensors and mlx
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, conflicts_with_all = ["kind", "bits", "group", "plan", "asymmetric"])]
    size: Option<u64>,
    /// The same as a share: so many times smaller than the input's files of weights
    #[arg(long, value_name = "N", conflicts_with_all = ["size", "kind", "bits", "group", "plan", "asymmetric"])]
    ratio: Option<f64>,
    #[command(flatten)]
    text: Text,
    /// Bits of a code [default: 4]
    #[arg(long)]
    bits: Option<u8>,
    /// Inputs that share a scale; 0 is a whole row [default: 128, for mlx 64]
    #[arg(long)]
    group: Option<u32>,
    /// A grid between the extremes of a group, with a zero point; always so for awq and mlx
    #[arg(long)]
    asymmetric: bool,
    /// safetensors: the type of all floats [default: the one each has]
    #[arg(long)]
    dtype: Option<Float>,
    /// Leave matrices whose name matches as they are; repeatable
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// The folder with config.json and the tokenizer [default: that of the input]
    #[arg(long, value_name = "FOLDER")]
    config: Option<PathBuf>,
    /// Bytes of a file of weights, about; as much is held in memory
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes)]
    shard_size: u64,
    /// The folder to write, for gguf the file
    #[arg(short, long)]
    output: PathBuf,
    /// Replace the output if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Safetensors,
    Gguf,
    CompressedTensors,
    Gptq,
    GptqV2,
    Awq,
    Mlx,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Float {
    F32,
    F16,
    Bf16,
}

/// A file is as large as was asked for where a thousandth is missing at most.
const NEAR: u64 = 1000;

/// Exports a model.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.common.reporting.begin();
    arguments.common.threads.begin()?;
    let registry = seedpress::registry();
    leave_nothing_when_stopped()?;
    if arguments.text.calibration.is_some() && arguments.size.is_none() && arguments.ratio.is_none() {
        return Err(Failure::usage("--calibration chooses types or bits for a file of a size: give --size or --ratio"));
    }
    if arguments.text.unweighted {
        return Err(Failure::usage("--unweighted: types are chosen by how much the answers depend on them"));
    }
    let supply: Box<dyn Supply + '_> = if is_container(&arguments.input) {
        let file = container(&arguments.input, None)?;
        Box::new(SdpSupply::new(file, &registry))
    } else {
        Box::new(FileSupply::open(&arguments.input).map_err(Failure::data)?)
    };
    let files = ModelFiles::beside(arguments.config.as_ref().unwrap_or(&arguments.input));
    let exported = match arguments.to {
        Format::Gguf => gguf(arguments, supply.as_ref(), &files.map_err(Failure::data)?, &registry)?,
        _ => packed(arguments, supply.as_ref(), files.ok().as_ref(), &registry)?,
    };
    if arguments.common.reporting.json {
        let tensors: Vec<_> = exported.tensors.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
        let found = json!({
            "output": arguments.output.display().to_string(), "bytes": exported.bytes, "weights": exported.weights,
            "notes": exported.notes, "tensors": tensors,
        });
        line!("{found}");
        return Ok(());
    }
    if !arguments.common.reporting.quiet {
        for text in &exported.notes {
            note!("note: {}", printable(text));
        }
        if let Some(size) = wanted_size(arguments)?.filter(|size| exported.bytes < size - size / NEAR) {
            note!(
                "note: {} bytes below {size}: the model has too few matrices for a combination of types that comes nearer",
                size - exported.bytes
            );
        }
        let bits = exported.bytes as f64 * 8.0 / exported.weights.max(1) as f64;
        line!(
            "{}: {} tensors, {}, {bits:.3} bits a weight of the whole file",
            arguments.output.display(),
            exported.tensors.len(),
            bytes(exported.bytes)
        );
    }
    Ok(())
}

fn failure(error: ExchangeError) -> Failure {
    match error {
        ExchangeError::CannotHold { .. } => Failure::usage(error),
        error => Failure::data(error),
    }
}

fn gguf(
    arguments: &Arguments,
    supply: &dyn Supply,
    files: &ModelFiles,
    registry: &Registry,
) -> Result<Exported, Failure> {
    let known = |name: &str| by_name(name).ok_or_else(|| Failure::usage(format!("`{name}` is no type of GGUF")));
    let pattern = |text: &String| {
        let (pattern, kind) = text.rsplit_once('=').ok_or_else(|| {
            Failure::usage(format!("--tensor-type {text}: give a pattern and a type, as *.attn_v.weight=q6_k"))
        })?;
        Ok((pattern.to_owned(), known(kind)?))
    };
    let patterns = arguments.tensor_type.iter().map(pattern).collect::<Result<_, Failure>>()?;
    let plan = plan(arguments, registry)?;
    let type_of = |name: &str| plan.as_ref().and_then(|plan| plan.codec(name)).and_then(type_of);
    let unknown = supply.list().into_iter().find_map(|(name, shape)| {
        let codec = plan.as_ref().filter(|_| shape.len() > 1)?.codec(&name)?;
        self::type_of(codec).is_none().then(|| (name, codec.name()))
    });
    if let Some((name, codec)) = unknown {
        return Err(Failure::usage(format!(
            "the plan gives `{name}` the codec `{codec}`, which is no type of GGUF: q4_k, q6_k, q8_0 and others are"
        )));
    }
    let name = arguments.config.as_ref().unwrap_or(&arguments.input);
    let name =
        name.canonicalize().ok().and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    let mut options = GgufOptions {
        wanted: Wanted { matrices: arguments.kind.as_deref().map(known).transpose()?, patterns },
        planned: &type_of,
        matches: &|pattern, name| WildMatch::new(pattern).matches(name),
        name: name.unwrap_or_else(|| "model".to_owned()),
        registry,
    };
    let read = [Some(arguments.input.as_path()), arguments.config.as_deref(), arguments.plan.as_deref()];
    let read: Vec<&Path> = read.into_iter().flatten().collect();
    let output = output(&arguments.output, arguments.force, &read)?;
    let fitted = match wanted_size(arguments)? {
        Some(size) => {
            let worth = worth(arguments, supply)?;
            fit_gguf(supply, files, &options, size, &worth, &|name| say(arguments, name)).map_err(failure)?
        }
        None => BTreeMap::new(),
    };
    let fitted_type = |name: &str| fitted.get(name).copied().or_else(|| type_of(name));
    options.planned = &fitted_type;
    let exported = write_gguf(supply, files, &options, output, &|name| say(arguments, name)).map_err(failure)?;
    Ok(exported)
}

/// What a weight of each matrix is worth: the nats a token that leaving it out costs, by gradients of the model's own answers to the
/// calibration text; without one, all alike.
fn worth(arguments: &Arguments, supply: &dyn Supply) -> Result<impl Fn(&str) -> f64, Failure> {
    let priced = arguments.text.calibration.as_deref().map(|text| priced(arguments, supply, text)).transpose()?;
    Ok(move |name: &str| match &priced {
        None => alike(name),
        // What the network does not use may be used by an engine: it counts as the others do on average.
        Some((worth, average)) => worth.get(name).copied().unwrap_or(*average),
    })
}

/// By the calibration text, and on average.
fn priced(
    arguments: &Arguments,
    supply: &dyn Supply,
    calibration: &Path,
) -> Result<(BTreeMap<String, f64>, f64), Failure> {
    let language = Calibration::open(&arguments.input, &arguments.text, calibration, arguments.common.reporting.quiet)?;
    let list = supply.list();
    let matrices = list.iter().filter(|(_, shape)| shape.len() > 1).map(|(name, _)| name.as_str());
    let matrices: HashSet<&str> = matrices.collect();
    let spectra = language.spectra(&|name| matrices.contains(name))?;
    let mean = |spectrum: &Spectrum| spectrum.costs.iter().sum::<f64>() / spectrum.costs.len().max(1) as f64;
    let worth: BTreeMap<String, f64> = spectra.iter().map(|(name, spectrum)| (name.clone(), mean(spectrum))).collect();
    let average = worth.values().sum::<f64>() / worth.len().max(1) as f64;
    Ok((worth, average))
}

/// The type of GGUF's that a codec writes, options apart.
fn type_of(codec: &AnyCodec) -> Option<&'static TypeInfo> {
    by_name(codec.id()).filter(|_| codec.stage().is_none())
}

fn plan(arguments: &Arguments, registry: &Registry) -> Result<Option<PlanFile>, Failure> {
    arguments.plan.as_ref().map(|path| PlanFile::load(path, registry).map_err(Failure::usage)).transpose()
}

fn say(arguments: &Arguments, name: &str) {
    if arguments.common.verbose {
        note!("{}", printable(name));
    }
}

fn packed(
    arguments: &Arguments,
    supply: &dyn Supply,
    files: Option<&ModelFiles>,
    registry: &Registry,
) -> Result<Exported, Failure> {
    let folder = &arguments.output;
    check_folder(arguments, folder)?;
    let there = folder.is_file() || std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if there && !arguments.force {
        return Err(Failure::usage(format!("{} is there already: --force writes into it", folder.display())));
    }
    let unused = |pattern: &&String| !supply.list().iter().any(|(name, _)| WildMatch::new(pattern).matches(name));
    if let Some(pattern) = arguments.exclude.iter().find(unused) {
        return Err(Failure::usage(format!("no tensor matches `{}`", printable(pattern))));
    }
    let excluded: Vec<WildMatch> = arguments.exclude.iter().map(|pattern| WildMatch::new(pattern)).collect();
    let (plan, codec) = (plan(arguments, registry)?, codec(arguments, registry)?);
    let keep = |name: &str| excluded.iter().any(|pattern| pattern.matches(name));
    let say = |name: &str| say(arguments, name);
    let fitted = match wanted_size(arguments)? {
        Some(size) => {
            let worth = worth(arguments, supply)?;
            fit_packed(supply, target(arguments), &keep, registry, size, &worth, &say).map_err(failure)?
        }
        None => BTreeMap::new(),
    };
    let options = PackedOptions {
        target: target(arguments),
        codec: &|name| match (&plan, fitted.get(name)) {
            (_, Some(fitted)) => Some(fitted.clone()),
            (Some(plan), None) => plan.codec(name).cloned(),
            (None, None) => codec.clone(),
        },
        requantise: wanted_size(arguments)?.is_some(),
        keep: &keep,
        shard: arguments.shard_size,
    };
    let was_there = folder.exists();
    write_packed(supply, files, &options, folder, &say).map_err(|error| {
        if !was_there {
            // Empty after an error: nothing is left that was not there.
            let _ = std::fs::remove_dir(folder);
        }
        failure(error)
    })
}

/// A folder to write to is one, or will be, and holds nothing that is read.
fn check_folder(arguments: &Arguments, folder: &Path) -> Result<(), Failure> {
    if folder == Path::new("-") {
        return Err(Failure::usage("-o -: this format is a folder, which standard output cannot take: name one"));
    }
    if folder.exists() && !folder.is_dir() {
        return Err(Failure::usage(format!("{}: it is no folder, which this format is", folder.display())));
    }
    let Ok(target) = folder.canonicalize() else { return Ok(()) };
    let read = [Some(&arguments.input), arguments.config.as_ref(), arguments.plan.as_ref()];
    for path in read.into_iter().flatten() {
        let (named, real) = (std::path::absolute(path).ok(), path.canonicalize().ok());
        let homes = match path.is_dir() {
            true => [real, None],
            false => [named, real].map(|path| path?.parent()?.canonicalize().ok()),
        };
        if homes.into_iter().flatten().any(|home| home == target) {
            let (folder, path) = (folder.display(), path.display());
            return Err(Failure::usage(format!("{folder} is the folder of {path}, an input: write to another")));
        }
    }
    Ok(())
}

/// Bytes that are asked for.
fn wanted_size(arguments: &Arguments) -> Result<Option<u64>, Failure> {
    match (arguments.size, arguments.ratio) {
        (None, Some(ratio)) if ratio >= 1.0 => Ok(Some((file_bytes(&arguments.input)? as f64 / ratio) as u64)),
        (None, Some(ratio)) => Err(Failure::usage(format!("--ratio {ratio} would make it larger: give 1 or more"))),
        (size, _) => Ok(size),
    }
}

fn target(arguments: &Arguments) -> Target {
    match arguments.to {
        Format::CompressedTensors => Target::CompressedTensors,
        Format::Gptq => Target::Gptq(Version::V1),
        Format::GptqV2 => Target::Gptq(Version::V2),
        Format::Awq => Target::Awq,
        Format::Mlx => Target::Mlx,
        Format::Safetensors | Format::Gguf => Target::Safetensors(arguments.dtype.map(|dtype| match dtype {
            Float::F32 => DType::F32,
            Float::F16 => DType::F16,
            Float::Bf16 => DType::BF16,
        })),
    }
}

/// What quantises matrices that are not quantised yet.
fn codec(arguments: &Arguments, registry: &Registry) -> Result<Option<AnyCodec>, Failure> {
    if arguments.to == Format::Safetensors {
        return Ok(None);
    }
    let affine = matches!(arguments.to, Format::Awq | Format::Mlx);
    let (bits, symmetric) = (arguments.bits.unwrap_or(4), !(arguments.asymmetric || affine));
    let group = arguments.group.unwrap_or(if arguments.to == Format::Mlx { 64 } else { 128 });
    let name = format!("rtn:bits={bits},group={group},symmetric={symmetric}");
    registry.parse(&name).map(Some).map_err(Failure::usage)
}
