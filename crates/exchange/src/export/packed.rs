//! A folder of safetensors as transformers, vLLM, GPTQModel or mlx-lm load it.

use std::collections::BTreeMap;
use std::path::Path;

use seedpress_checkpoint::SavedTensor;
use seedpress_codec::{AnyCodec, DType, EncodeContext, Tensor};
use serde_json::{Value, json};

use super::shards::{Shards, put_json};
use super::{Exported, Form, ModelFiles, Supply, Weights};
use crate::error::ExchangeError;
use crate::packed::experts::{Stacks, stack_of};
use crate::packed::gptq::Version;
use crate::packed::parts::{Written, float_tensor};
use crate::packed::streams::{CODECS, Held, held};
use crate::packed::{Grid, Zeros, awq, compressed_tensors, gptq, mlx};

/// The layout to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Plain floats of a type, or of the type they have.
    Safetensors(Option<DType>),
    /// compressed-tensors, pack-quantized.
    CompressedTensors,
    /// GPTQ.
    Gptq(Version),
    /// AWQ, gemm.
    Awq,
    /// MLX, affine.
    Mlx,
}

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

/// What the parts of matrices have in common, for `config.json`.
#[derive(Debug, Default)]
struct Common {
    bits: Vec<u8>,
    groups: Vec<usize>,
    symmetric: Vec<bool>,
    /// Whether any matrix has its inputs in groups that are not neighbours.
    ordered: bool,
    kept: Vec<String>,
    /// Bits and group of each matrix.
    layers: Vec<(String, u8, usize)>,
}

/// Whether a tensor is the matrix of a linear layer that engines expect quantised: not an embedding, a head, a norm or a router.
pub fn is_linear(name: &str, shape: &[usize]) -> bool {
    let Some(stem) = name.strip_suffix(".weight") else { return false };
    let last = stem.rsplit('.').next().unwrap_or(stem);
    let other = ["embed", "lm_head", "norm", "wte", "wpe", "embd", "router", "shared_expert_gate"];
    shape.len() == 2 && last != "gate" && !other.iter().any(|part| last.contains(part))
}

/// Whether a tensor chooses experts or weighs a shared one. To engines it is a linear layer as the others are: they have to be told that it
/// is not quantised.
fn is_router(name: &str, shape: &[usize]) -> bool {
    let last = name.strip_suffix(".weight").and_then(|stem| stem.rsplit('.').next());
    shape.len() == 2
        && last.is_some_and(|last| last == "gate" || last.contains("router") || last == "shared_expert_gate")
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
    if packs && files.is_some_and(|files| files.kind() == "gpt2") {
        return Err(ExchangeError::Model(
            "GPT-2's layers are Conv1D, with inputs as rows, which these layouts have no place for: use --to gguf"
                .to_owned(),
        ));
    }
    std::fs::create_dir_all(folder).map_err(ExchangeError::io(folder))?;
    let mut exported = Exported::default();
    let mut shards = Shards::new(folder, options.shard);
    let mut common = Common::default();
    let mut rounded = (0, 0);
    // mlx-lm reads the experts of a layer in one tensor.
    let experts = files.filter(|_| matches!(options.target, Target::Mlx)).and_then(|files| files.count(EXPERTS));
    let mut stacks = experts.and_then(|experts| usize::try_from(experts).ok()).map(Stacks::new);
    for (index, (name, shape)) in supply.list().into_iter().enumerate() {
        progress(&name);
        let quantise = packs && is_linear(&name, &shape) && !(options.keep)(&name);
        let weights = supply.load(index, if quantise && !options.requantise { Form::Grid } else { Form::Float })?;
        exported.weights += shape.iter().product::<usize>() as u64;
        let grid = match weights {
            Weights::Grid(grid) => grid,
            Weights::Float(tensor) if quantise => grid_of(&name, &tensor, (options.codec)(&name))?,
            other => {
                if packs && (is_linear(&name, &shape) || is_router(&name, &shape)) {
                    common.kept.push(name.trim_end_matches(".weight").to_owned());
                }
                let tensor = plain(other, options.target, &mut exported.notes, &name);
                exported.tensors.push((name.clone(), tensor.dtype.clone()));
                shards.push(name, tensor)?;
                continue;
            }
        };
        let (stem, written) = (name.trim_end_matches(".weight"), pack(&name, &grid, options.target)?);
        rounded = (rounded.0 + written.rounded.0, rounded.1 + written.rounded.1);
        exported.tensors.push((name.clone(), format!("{} bits in groups of {}", grid.bits, grid.group)));
        let (stem, parts) = match (&mut stacks, stack_of(stem)) {
            (Some(stacks), Some((stack, expert))) => {
                let parts = stacks.add(&stack, expert, written.parts)?;
                (stack, parts)
            }
            _ => (stem.to_owned(), Some(written.parts)),
        };
        common.add(&stem, &grid);
        for (part, tensor) in parts.into_iter().flatten() {
            shards.push(format!("{stem}.{part}"), tensor)?;
        }
    }
    stacks.map_or(Ok(()), Stacks::finish)?;
    exported.notes.extend(notes(rounded, options.target, &common));
    exported.bytes = shards.finish()?;
    if let Some(files) = files {
        files.copy_companions(folder)?;
        let config = config(files.config(), options.target, &common)?;
        put_json(&folder.join("config.json"), &config)?;
    } else if packs {
        exported
            .notes
            .push("there was no config.json to say in it how weights are packed: write it yourself".to_owned());
    }
    Ok(exported)
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

impl Common {
    fn add(&mut self, stem: &str, grid: &Grid) {
        self.bits.push(grid.bits);
        self.groups.push(grid.group);
        self.symmetric.push(grid.zeros == Zeros::Symmetric);
        self.ordered |= grid.order.is_some();
        self.layers.push((stem.to_owned(), grid.bits, grid.group));
    }

    fn one<T: PartialEq + Copy>(values: &[T]) -> Option<T> {
        let first = *values.first()?;
        values.iter().all(|value| *value == first).then_some(first)
    }
}

/// `config.json` with what says how weights are packed.
fn config(source: &Value, target: Target, common: &Common) -> Result<Value, ExchangeError> {
    let mut config = source.clone();
    let Some(object) = config.as_object_mut() else {
        return Err(ExchangeError::Model("config.json holds no object".to_owned()));
    };
    for key in ["quantization_config", "quantization", "compression_config"] {
        object.remove(key);
    }
    let several = |what: &str| {
        ExchangeError::Model(format!(
            "matrices differ in {what}, which the layout's config.json cannot say: give all the same"
        ))
    };
    let section = match target {
        Target::Safetensors(dtype) => {
            if let Some(dtype) = dtype {
                let name = match dtype {
                    DType::F32 => "float32",
                    DType::F16 => "float16",
                    DType::BF16 => "bfloat16",
                };
                object.remove("torch_dtype");
                object.insert("dtype".to_owned(), json!(name));
            }
            None
        }
        Target::CompressedTensors => Some(("quantization_config", compressed_config(common))),
        Target::Gptq(version) => {
            let bits = Common::one(&common.bits).ok_or_else(|| several("bits"))?;
            let group = Common::one(&common.groups).ok_or_else(|| several("groups"))?;
            let format = if version == Version::V1 { "gptq" } else { "gptq_v2" };
            let symmetric = common.symmetric.iter().all(|symmetric| *symmetric);
            let section = json!({
                "quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": common.ordered, "sym": symmetric,
                "lm_head": false, "checkpoint_format": format, "pack_dtype": "int32",
            });
            Some(("quantization_config", section))
        }
        Target::Awq => {
            let group = Common::one(&common.groups).ok_or_else(|| several("groups"))?;
            let section = json!({
                "quant_method": "awq", "bits": 4, "group_size": group, "zero_point": true, "version": "gemm",
                "modules_to_not_convert": if common.kept.is_empty() { Value::Null } else { json!(common.kept) },
            });
            Some(("quantization_config", section))
        }
        Target::Mlx => {
            older_keys(object);
            Some(("quantization", mlx_config(common)))
        }
    };
    if let Some((key, section)) = section {
        object.insert(key.to_owned(), section);
    }
    Ok(config)
}

/// mlx-lm asks for keys that transformers 5 has renamed: both are written.
fn older_keys(config: &mut serde_json::Map<String, Value>) {
    let of_rope = |key: &str| config.get("rope_parameters").and_then(|rope| rope.get(key)).cloned();
    let (theta, share) = (of_rope("rope_theta"), of_rope("partial_rotary_factor"));
    let experts = config.get("num_local_experts").cloned();
    let renamed = match config.get("model_type").and_then(Value::as_str) {
        Some("gpt_neox") => [("rotary_emb_base", theta), ("rotary_pct", share)],
        _ => [("rope_theta", theta), ("num_experts", experts)],
    };
    for (key, value) in renamed {
        if let Some(value) = value {
            config.entry(key).or_insert(value);
        }
    }
}

/// A group for every pair of bits and group size; with several, each names its matrices.
fn compressed_config(common: &Common) -> Value {
    let mut kinds: BTreeMap<(u8, usize, bool), Vec<&str>> = BTreeMap::new();
    for ((name, bits, group), symmetric) in common.layers.iter().zip(&common.symmetric) {
        kinds.entry((*bits, *group, *symmetric)).or_default().push(name);
    }
    let single = kinds.len() == 1;
    let groups = kinds.iter().enumerate().map(|(index, ((bits, group, symmetric), names))| {
        let targets = match single {
            true => vec!["Linear".to_owned()],
            false => names.iter().map(|name| format!("re:^{}$", name.replace('.', "\\."))).collect(),
        };
        let value = json!({
            "targets": targets, "input_activations": null, "output_activations": null,
            "weights": {
                "num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group", "group_size": group,
                "dynamic": false, "actorder": if common.ordered { json!("group") } else { Value::Null }, "observer": "minmax", "block_structure": null,
            },
        });
        (format!("group_{index}"), value)
    });
    let groups: serde_json::Map<String, Value> = groups.collect();
    let ignore: Vec<String> = std::iter::once("lm_head".to_owned()).chain(common.kept.iter().cloned()).collect();
    json!({
        "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
        "ignore": ignore, "kv_cache_scheme": null, "global_compression_ratio": null, "config_groups": groups,
    })
}

/// The commonest bits and group, and layers that differ.
fn mlx_config(common: &Common) -> Value {
    let mut counts: BTreeMap<(u8, usize), usize> = BTreeMap::new();
    for (_, bits, group) in &common.layers {
        *counts.entry((*bits, *group)).or_default() += 1;
    }
    let (bits, group) = counts.iter().max_by_key(|(_, count)| **count).map_or((4, 64), |(kind, _)| *kind);
    let mut section = serde_json::Map::new();
    section.insert("group_size".to_owned(), json!(group));
    section.insert("bits".to_owned(), json!(bits));
    section.insert("mode".to_owned(), json!("affine"));
    for (name, own_bits, own_group) in &common.layers {
        if (*own_bits, *own_group) != (bits, group) {
            section.insert(name.clone(), json!({"bits": own_bits, "group_size": own_group}));
        }
    }
    Value::Object(section)
}
