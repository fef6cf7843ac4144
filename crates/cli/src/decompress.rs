//! `seedpress decompress`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use seedpress::Registry;
use seedpress::codec::DType;
use seedpress::codec::text::printable;
use seedpress_checkpoint::container::Growing;
use seedpress_checkpoint::{ContainerFile, Output, companions};
use seedpress_press::inspect::Cost;
use seedpress_press::{Memory, Patterns, Restore, Step, decompress, follow};
use serde_json::json;

use crate::common::{Common, MemoryLimit, container, named_for, output};
use crate::failure::{Failure, Outcome};
use crate::print::{err, line, note, parse_bytes};

/// What to restore, and from how much of the file.
#[derive(Args)]
#[command(after_help = "A file that was cut short decodes from what is there, as long as every base layer is.
  seedpress decompress model.sdp -o back.safetensors
  seedpress decompress model.sdp -o folder/
  seedpress decompress model.sdp -o draft.safetensors --layers 1
  seedpress decompress model.sdp -o part.safetensors --include 'model.layers.0.*' --dtype bf16
  curl https://example.org/model.sdp | seedpress decompress - -o back.safetensors
  curl https://example.org/model.sdp | seedpress decompress - --follow -o model.safetensors
With --follow each output replaces the one before as a whole, so that whoever opens it sees one or the other, and a line says how many bytes it
stands for; every checksum of what it was decoded from fits. It ends when the file is whole, with status 1 where a pipe ends or a checksum
fails before (the last output stays), or with Ctrl-C. Bytes must come in order: not from a download that reserves the whole file first.")]
pub(crate) struct Arguments {
    /// The .sdp file, or - for standard input
    input: PathBuf,
    /// The .safetensors file to write, or - for standard output. A folder (`out/`) gets model.safetensors and what the file carries
    /// beside weights: configuration and tokenizer
    #[arg(short, long)]
    output: PathBuf,
    /// Decode from the first N layers of each tensor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    layers: Option<u64>,
    /// Decode from the first bytes of the file
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_bytes: Option<u64>,
    /// Follow a file that grows, or a pipe: write the output as soon as the first layer of every tensor is there, and again with every
    /// further layer of all tensors, until the file is whole
    #[arg(long, conflicts_with_all = ["layers", "max_bytes"])]
    follow: bool,
    /// Write weights in this data type instead of the source's
    #[arg(long, value_name = "TYPE", value_parser = ["f32", "f16", "bf16"])]
    dtype: Option<String>,
    /// Restore only tensors whose name matches (* and ? are patterns); repeatable
    #[arg(long, visible_alias = "tensor", value_name = "PATTERN")]
    include: Vec<String>,
    /// Leave out tensors whose name matches; repeatable
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Replace the output if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    work: MemoryLimit,
    #[command(flatten)]
    common: Common,
}

/// How far a file is trusted.
#[derive(Args)]
pub(crate) struct Trust {
    /// Memory that decoding a tensor may take, for a file that is trusted with it [default: what its length justifies, 3 KiB a byte and
    /// at least 48 MiB, of which a third may be values]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    limit: Option<u64>,
}

impl Trust {
    /// What decoding may take.
    pub(crate) fn memory(&self) -> Memory {
        self.limit.map_or(Memory::Justified, Memory::Bytes)
    }
}

/// Endings of files that are no safetensors.
const OTHERS: [&str; 7] = ["sdp", "gguf", "pt", "pth", "bin", "npz", "npy"];

/// Restores a checkpoint.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.common.reporting.begin();
    crate::buffers::keep();
    let registry = seedpress::registry();
    let restore = Restore {
        layers: arguments.layers.and_then(|count| usize::try_from(count).ok()),
        dtype: arguments.dtype.as_deref().map(dtype),
        patterns: Patterns::new(&arguments.include, &arguments.exclude),
        memory: arguments.trust.memory(),
    };
    let target = Target::of(arguments);
    if arguments.follow {
        return follow_file(arguments, &target, &registry, &restore);
    }
    let file = container(&arguments.input, arguments.max_bytes)?;
    let metadata = &file.index().metadata;
    target.check(metadata, arguments.force)?;
    let output = target.open(arguments.force)?;
    let total = file.index().source_bytes();
    let restored = arguments.common.run(total, arguments.work.max_memory, "cleaning up", |control| {
        decompress(&file, &registry, &restore, &control, output)
    })?;
    let files = target.write_files(metadata)?;
    if arguments.common.verbose && !arguments.common.reporting.json {
        tell_of_tensors(arguments, &file, &restore);
    }
    if !arguments.common.reporting.quiet {
        target.tell_of_files(metadata);
    }
    let path = arguments.output.display();
    let text = match arguments.common.reporting.json {
        true => json!({
            "output": path.to_string(), "tensors": restored.tensors, "layers": restored.layers,
            "layers_total": restored.layers_total, "file_bytes": restored.file_bytes, "files": files,
        })
        .to_string(),
        false => {
            let (count, used, all) = (restored.tensors, restored.layers, restored.layers_total);
            format!("{path}: {count} tensors from {used} of {all} layers")
        }
    };
    show(arguments, &text);
    Ok(())
}

/// Restores a file while it arrives.
fn follow_file(arguments: &Arguments, target: &Target<'_>, registry: &Registry, restore: &Restore) -> Outcome {
    if arguments.output == Path::new("-") {
        return Err(Failure::usage("--follow writes its output again and again: name a file or a folder"));
    }
    let growing = Growing::open(&arguments.input).map_err(Failure::data)?;
    let mut last: Option<Step> = None;
    // What is in the way is known before anything arrives.
    let mut ready = match target.folder {
        None => Some(target.open(arguments.force)?),
        Some(_) => None,
    };
    if ready.as_ref().is_some_and(|output| !output.is_file()) {
        return Err(Failure::usage("--follow writes its output again and again, which only a file allows"));
    }
    let mut begun = false;
    let mut output = |file: &ContainerFile| {
        let metadata = &file.index().metadata;
        let again = std::mem::replace(&mut begun, true);
        if !again {
            target.check(metadata, arguments.force)?;
            target.write_files(metadata)?;
        }
        match ready.take() {
            Some(output) => Ok(output),
            None => target.open(arguments.force || again),
        }
    };
    let outcome = arguments.common.run_without_meter(arguments.work.max_memory, "cleaning up", |control| {
        follow(&growing, registry, restore, &control, &mut output, &mut |step| {
            last = Some(step);
            show(arguments, &step_text(arguments, &step));
        })
    })?;
    outcome.map_err(|failure: Failure| match last {
        Some(Step { bytes, whole, .. }) if failure.status == Failure::INTERRUPTED => {
            let path = arguments.output.display();
            Failure::interrupted(format!("stopped: {path} holds what {bytes} of {whole} bytes decode to"))
        }
        _ => failure,
    })
}

/// Where the weights go, and what goes beside them.
struct Target<'a> {
    arguments: &'a Arguments,
    /// The folder that was named, for weights and files.
    folder: Option<&'a Path>,
}

impl<'a> Target<'a> {
    fn of(arguments: &'a Arguments) -> Self {
        let path = arguments.output.as_path();
        // One that is there, or that is written like one.
        let is_folder = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
        Self { arguments, folder: is_folder.then_some(path) }
    }

    /// Files that the container carries and that are there already may not be replaced unasked; makes the folder.
    fn check(&self, metadata: &BTreeMap<String, String>, force: bool) -> Outcome {
        let Some(folder) = self.folder else { return Ok(()) };
        let there = companions::names(metadata).into_iter().map(|name| folder.join(name)).find(|path| path.exists());
        if let Some(path) = there.filter(|_| !force) {
            return Err(Failure::usage(format!("{}: it is there already: --force replaces it", path.display())));
        }
        std::fs::create_dir_all(folder).map_err(|error| Failure::data(format!("{}: {error}", folder.display())))
    }

    /// Opens the file of weights.
    fn open(&self, force: bool) -> Result<Output, Failure> {
        let path = self.folder.map_or_else(|| self.arguments.output.clone(), |folder| folder.join("model.safetensors"));
        let output = output(&path, force, &[&self.arguments.input])?;
        named_for(&path, &OTHERS, "decompress writes safetensors: `seedpress export` writes other formats")?;
        Ok(output)
    }

    /// Writes what the container carries beside weights; returns the names.
    fn write_files(&self, metadata: &BTreeMap<String, String>) -> Result<Vec<&'static str>, Failure> {
        self.folder.map_or(Ok(Vec::new()), |folder| companions::write(metadata, folder).map_err(Failure::data))
    }

    /// Says what there would be for a folder.
    fn tell_of_files(&self, metadata: &BTreeMap<String, String>) {
        let names = companions::names(metadata);
        if self.folder.is_none() && !names.is_empty() && self.arguments.output != Path::new("-") {
            note!("note: the file also carries {}: name a folder (-o out/) to have them", names.join(", "));
        }
    }
}

/// A line for every tensor that was restored.
fn tell_of_tensors(arguments: &Arguments, file: &ContainerFile, restore: &Restore) {
    for (entry, listed) in file.index().entries.iter().enumerate() {
        if !restore.patterns.admit(&listed.name) {
            continue;
        }
        let (present, all) = file.layers(entry);
        let used = present.min(restore.layers.unwrap_or(usize::MAX));
        let from = match file.stored(entry).record() {
            Some(header) => format!("{}, {used} of {all} layers", Cost::of(header).codec),
            None => "kept as it is".to_owned(),
        };
        show(arguments, &format!("{}: {from}", printable(&listed.name)));
    }
}

/// One line, to standard error where the checkpoint itself goes to standard output.
fn show(arguments: &Arguments, text: &str) {
    match arguments.output == Path::new("-") {
        _ if arguments.common.reporting.quiet && !arguments.common.reporting.json => {}
        true => err(format_args!("{text}")),
        false => line!("{text}"),
    }
}

fn step_text(arguments: &Arguments, step: &Step) -> String {
    let Step { restored, bytes, whole } = step;
    let path = arguments.output.display();
    let (tensors, used, all) = (restored.tensors, restored.layers, restored.layers_total);
    match arguments.common.reporting.json {
        true => json!({
            "output": path.to_string(), "bytes": bytes, "whole_bytes": whole, "complete": bytes == whole, "tensors": tensors,
            "layers": used, "layers_total": all, "file_bytes": restored.file_bytes,
        })
        .to_string(),
        false => {
            let percent = 100.0 * *bytes as f64 / (*whole).max(1) as f64;
            format!("{path}: {tensors} tensors from {used} of {all} layers; {bytes} of {whole} bytes ({percent:.0} %), no error in what is there")
        }
    }
}

fn dtype(name: &str) -> DType {
    match name {
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        _ => DType::F32,
    }
}
