//! A folder of safetensors as transformers, vLLM, GPTQModel or mlx-lm load it.

use std::path::Path;

use seedpress_checkpoint::SavedTensor;
use seedpress_codec::{AnyCodec, DType, EncodeContext, Tensor};

pub use super::packed_config::Target;
use super::packed_config::{Common, config};
use super::shards::{Shards, put_json};
use super::{Exported, Form, ModelFiles, Supply, Weights};
use crate::error::ExchangeError;
use crate::packed::experts::{Stacks, stack_of};
use crate::packed::parts::{Written, float_tensor};
use crate::packed::streams::{CODECS, Held, held};
use crate::packed::{Grid, awq, compressed_tensors, gptq, mlx};

/// How a folder is written.
pub struct PackedOptions<'a> {
    /// The layout.
    pub target: Target,
    /// What quantises a matrix that is not quantised yet, by its name: a codec of [`CODECS`].
    pub codec: &'a dyn Fn(&str) -> Option<AnyCodec>,
    /// Whether matrices that have codes are quantised anew.
    pub requantise: bool,
    /// Whether a matrix stays as it is, by name.
    pub keep: &'a dyn Fn(&str) -> bool,
    /// Bytes of a file of weights, about; what is written is held in memory until a file is full.
    pub shard: u64,
}

/// Keys of the number of experts in a layer.
const EXPERTS: &[&str] = &["num_experts", "num_local_experts"];

/// Whether a tensor is the matrix of a linear layer that engines expect quantised: not an embedding, a head, a norm or a router.
pub fn is_linear(name: &str, shape: &[usize]) -> bool {
    let other = ["embed", "lm_head", "norm", "wte", "wpe", "embd"];
    matrix(name, shape).is_some_and(|last| !routes(last) && !other.iter().any(|part| last.contains(part)))
}

/// Whether a tensor chooses experts or weighs a shared one. To engines it is a linear layer as the others are: they have to be told that it
/// is not quantised.
fn is_router(name: &str, shape: &[usize]) -> bool {
    matrix(name, shape).is_some_and(routes)
}

/// The last part of a matrix's name, without `.weight`; `None` for what is no weight or no matrix.
fn matrix<'a>(name: &'a str, shape: &[usize]) -> Option<&'a str> {
    name.strip_suffix(".weight").filter(|_| shape.len() == 2).and_then(|stem| stem.rsplit('.').next())
}

fn routes(last: &str) -> bool {
    last == "gate" || last.contains("router") || last.contains("shared_expert_gate")
}

/// Writes a folder.
///
/// # Errors
/// Tensors that cannot be read, what the layout cannot hold, the operating system's.
pub fn write_packed(
    supply: &dyn Supply,
    files: Option<&ModelFiles>,
    options: &PackedOptions<'_>,
    folder: &Path,
    progress: &dyn Fn(&str),
) -> Result<Exported, ExchangeError> {
    let packs = !matches!(options.target, Target::Safetensors(_));
    if packs {
        refuse_transposed(files)?;
    }
    std::fs::create_dir_all(folder).map_err(ExchangeError::io(folder))?;
    let mut packer = Packer::new(files, options, folder);
    for (index, (name, shape)) in supply.list().into_iter().enumerate() {
        progress(&name);
        let quantise = packs && is_linear(&name, &shape) && !(options.keep)(&name);
        let weights = supply.load(index, if quantise && !options.requantise { Form::Grid } else { Form::Float })?;
        packer.exported.weights += shape.iter().product::<usize>() as u64;
        match weights {
            Weights::Grid(grid) => packer.add(&name, &grid)?,
            Weights::Float(tensor) if quantise => {
                packer.add(&name, &grid_of(&name, &tensor, (options.codec)(&name))?)?;
            }
            other => {
                if packs && (is_linear(&name, &shape) || is_router(&name, &shape)) {
                    packer.common.kept.push(name.trim_end_matches(".weight").to_owned());
                }
                packer.add_plain(name, other)?;
            }
        }
    }
    let (mut exported, common) = packer.finish()?;
    match files {
        Some(files) => {
            files.copy_companions(folder)?;
            let config = config(files.config(), options.target, &common)?;
            put_json(&folder.join("config.json"), &config)?;
            if files.kind() == "mixtral" && matches!(options.target, Target::Gptq(_)) {
                exported.notes.push(NO_MIXTRAL.to_owned());
            }
        }
        None if packs => exported
            .notes
            .push("there was no config.json to say in it how weights are packed: write it yourself".to_owned()),
        None => {}
    }
    Ok(exported)
}

/// Found by running exports in these engines: docs/interop.md.
const NO_MIXTRAL: &str = "transformers 5.24 and GPTQModel 7.7 do not find the experts of Mixtral in this layout: compressed-tensors is \
                          loaded by the former, gguf by llama.cpp";

/// A folder in the making.
struct Packer<'a> {
    target: Target,
    shards: Shards<'a>,
    common: Common,
    /// The experts of a layer in one tensor, as mlx-lm reads them.
    stacks: Option<Stacks>,
    /// Scales that were rounded, and of how many.
    rounded: (usize, usize),
    exported: Exported,
}

impl<'a> Packer<'a> {
    fn new(files: Option<&ModelFiles>, options: &PackedOptions<'_>, folder: &'a Path) -> Self {
        let experts = files.filter(|_| matches!(options.target, Target::Mlx)).and_then(|files| files.count(EXPERTS));
        Self {
            target: options.target,
            shards: Shards::new(folder, options.shard),
            common: Common::default(),
            stacks: experts.and_then(|experts| usize::try_from(experts).ok()).map(Stacks::new),
            rounded: (0, 0),
            exported: Exported::default(),
        }
    }

    /// Adds a matrix in the target's layout.
    fn add(&mut self, name: &str, grid: &Grid) -> Result<(), ExchangeError> {
        let (stem, written) = (name.trim_end_matches(".weight"), pack(name, grid, self.target)?);
        self.rounded = (self.rounded.0 + written.rounded.0, self.rounded.1 + written.rounded.1);
        self.exported.tensors.push((name.to_owned(), format!("{} bits in groups of {}", grid.bits, grid.group)));
        let (stem, parts) = match (&mut self.stacks, stack_of(stem)) {
            (Some(stacks), Some((stack, expert))) => {
                let parts = stacks.add(&stack, expert, written.parts)?;
                (stack, parts)
            }
            _ => (stem.to_owned(), Some(written.parts)),
        };
        self.common.add(&stem, grid);
        for (part, tensor) in parts.into_iter().flatten() {
            self.shards.push(format!("{stem}.{part}"), tensor)?;
        }
        Ok(())
    }

    /// Adds a tensor as it is.
    fn add_plain(&mut self, name: String, weights: Weights) -> Result<(), ExchangeError> {
        let tensor = plain(weights, self.target, &mut self.exported.notes, &name);
        self.exported.tensors.push((name.clone(), tensor.dtype.clone()));
        self.shards.push(name, tensor)
    }

    /// Ends all files of weights.
    fn finish(self) -> Result<(Exported, Common), ExchangeError> {
        let Self { target, shards, common, stacks, rounded, mut exported } = self;
        stacks.map_or(Ok(()), Stacks::finish)?;
        exported.notes.extend(notes(rounded, target, &common));
        exported.bytes = shards.finish()?;
        Ok((exported, common))
    }
}

/// Refuses models whose weights have their inputs as rows, which no layout but plain safetensors has a place for.
fn refuse_transposed(files: Option<&ModelFiles>) -> Result<(), ExchangeError> {
    if files.is_some_and(|files| files.kind() == "gpt2") {
        return Err(ExchangeError::Model(
            "GPT-2's layers are Conv1D, with inputs as rows, which these layouts have no place for: use --to gguf"
                .to_owned(),
        ));
    }
    Ok(())
}

/// What should be known of the packed matrices: `rounded` scales of how many.
fn notes(rounded: (usize, usize), target: Target, common: &Common) -> Vec<String> {
    let mut notes = Vec::new();
    if rounded.0 > 0 {
        notes.push(format!(
            "{} of {} scales had no exact value in the layout's type and were rounded to its nearest",
            rounded.0, rounded.1
        ));
    }
    if target == Target::CompressedTensors && common.symmetric.contains(&false) {
        notes.push(
            "transformers 5.24 with compressed-tensors 0.20 loads zero points with CompressedTensorsConfig(dequantize=True) only"
                .to_owned(),
        );
    }
    notes
}

/// A tensor that is not packed.
fn plain(weights: Weights, target: Target, notes: &mut Vec<String>, name: &str) -> SavedTensor {
    match weights {
        Weights::Float(tensor) => {
            let dtype = match target {
                Target::Safetensors(Some(dtype)) => dtype,
                _ => tensor.dtype(),
            };
            let (shape, finite) = (tensor.shape().to_vec(), tensor.values().iter().all(|value| value.is_finite()));
            let (saved, _) = float_tensor(dtype, shape, tensor.values());
            let overflows = dtype == DType::F16 && tensor.values().iter().any(|value| value.abs() > 65504.0);
            if finite && overflows {
                notes.push(format!("`{name}` has values beyond 65504, which are infinite in f16"));
            }
            saved
        }
        Weights::Grid(grid) => {
            let (rows, columns) = (grid.rows, grid.columns);
            let dtype = if let Target::Safetensors(Some(dtype)) = target { dtype } else { DType::F32 };
            float_tensor(dtype, vec![rows, columns], &grid.dequantise()).0
        }
        // Nobody asks for blocks here.
        Weights::Blocks { shape, bytes, .. } => SavedTensor { dtype: "U8".to_owned(), shape, bytes },
        Weights::Opaque { dtype, shape, bytes } => SavedTensor { dtype, shape, bytes },
    }
}

fn grid_of(name: &str, tensor: &Tensor, codec: Option<AnyCodec>) -> Result<Grid, ExchangeError> {
    let wrong = |why: String| ExchangeError::Model(format!("tensor `{name}`: {why}"));
    let codec = codec.ok_or_else(|| wrong("nothing says how to quantise it".to_owned()))?;
    let encoded =
        codec.encode_raw(&tensor.view(name), &EncodeContext::default()).map_err(|error| wrong(error.to_string()))?;
    let view = encoded.view(codec.formats().0, tensor.shape());
    match held(codec.id(), &view).map_err(|error| wrong(error.to_string()))? {
        Some(Held::Grid(grid)) => Ok(grid),
        Some(Held::Other(why, instead)) => Err(wrong(format!("{why}; {instead}"))),
        None => {
            Err(wrong(format!("codec `{}` has no codes on a uniform grid: {} have", codec.id(), CODECS.join(", "))))
        }
    }
}

fn pack(name: &str, grid: &Grid, target: Target) -> Result<Written, ExchangeError> {
    match target {
        Target::CompressedTensors => compressed_tensors::write(name, grid, DType::F32),
        Target::Gptq(version) => gptq::write(name, grid, version),
        Target::Awq => awq::write(name, grid),
        Target::Mlx => mlx::write(name, grid, DType::F32),
        Target::Safetensors(_) => Err(ExchangeError::Model(format!("`{name}` is not to be packed"))),
    }
}
