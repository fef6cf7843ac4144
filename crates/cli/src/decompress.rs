//! `seedpress decompress`.

use std::path::{Path, PathBuf};

use clap::Args;
use seedpress::codec::DType;
use seedpress_checkpoint::companions;
use seedpress_press::{Memory, Patterns, Restore, decompress};
use serde_json::json;

use crate::common::{Common, InWork, container, output};
use crate::failure::{Failure, Outcome};
use crate::print::{line, note, parse_bytes};

/// What to restore, and from how much of the file.
#[derive(Args)]
#[command(after_help = "A file that was cut short decodes from what is there, as long as every base layer is.
  seedpress decompress model.sdp -o back.safetensors
  seedpress decompress model.sdp -o folder/
  seedpress decompress model.sdp -o draft.safetensors --layers 1
  seedpress decompress model.sdp -o part.safetensors --include 'model.layers.0.*' --dtype bf16
  curl https://example.org/model.sdp | seedpress decompress - -o back.safetensors")]
pub struct Arguments {
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
    work: InWork,
    #[command(flatten)]
    common: Common,
}

/// How far a file is trusted.
#[derive(Args)]
pub struct Trust {
    /// Memory that decoding a tensor may take, for a file that is trusted with it [default: what its length justifies, 3 KiB a byte and
    /// at least 48 MiB, of which a third may be values]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    limit: Option<u64>,
}

impl Trust {
    /// What decoding may take.
    pub fn memory(&self) -> Memory {
        self.limit.map_or(Memory::Justified, Memory::Bytes)
    }
}

/// Restores a checkpoint.
pub fn run(arguments: &Arguments) -> Outcome {
    let file = container(&arguments.input, arguments.max_bytes)?;
    let restore = Restore {
        layers: arguments.layers.and_then(|count| usize::try_from(count).ok()),
        dtype: arguments.dtype.as_deref().map(dtype),
        patterns: Patterns::new(&arguments.include, &arguments.exclude),
        memory: arguments.trust.memory(),
    };
    let metadata = &file.index().metadata;
    let carried = companions::names(metadata);
    let folder = is_folder(&arguments.output).then_some(arguments.output.as_path());
    let target = match folder {
        Some(folder) => {
            let there = |name: &&&str| folder.join(name).exists();
            if let Some(name) = carried.iter().find(there).filter(|_| !arguments.force) {
                let path = folder.join(name);
                return Err(Failure::usage(format!("{}: it is there already: --force replaces it", path.display())));
            }
            std::fs::create_dir_all(folder).map_err(|error| Failure::data(format!("{}: {error}", folder.display())))?;
            folder.join("model.safetensors")
        }
        None => arguments.output.clone(),
    };
    let output = output(&target, arguments.force, &[&arguments.input])?;
    let total = file.index().source_bytes();
    let registry = seedpress::registry();
    let restored = arguments.common.run(total, arguments.work.max_memory, "cleaning up", |control| {
        decompress(&file, &registry, &restore, &control, output)
    })?;
    let files = match folder {
        Some(folder) => companions::write(metadata, folder).map_err(Failure::data)?,
        None => Vec::new(),
    };
    if arguments.common.quiet {
        return Ok(());
    }
    if folder.is_none() && !carried.is_empty() && arguments.output != Path::new("-") {
        let names = carried.join(", ");
        note!("note: the file also carries {names}: name a folder (-o out/) to have them");
    }
    let path = arguments.output.display();
    let text = match arguments.common.json {
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
    match arguments.output == Path::new("-") {
        true => note!("{text}"),
        false => line!("{text}"),
    }
    Ok(())
}

/// Whether a path names a folder: one that is there, or that ends like one.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn dtype(name: &str) -> DType {
    match name {
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        _ => DType::F32,
    }
}
