//! `config.json` of a folder of packed weights: how engines are told what is packed, and how.

use std::collections::BTreeMap;

use seedpress_codec::DType;
use serde_json::{Value, json};

use crate::error::ExchangeError;
use crate::packed::gptq::Version;
use crate::packed::{Grid, Zeros};

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

/// What the parts of matrices have in common, for `config.json`.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) bits: Vec<u8>,
    pub(super) groups: Vec<usize>,
    pub(super) symmetric: Vec<bool>,
    /// Whether any matrix has its inputs in groups that are not neighbours.
    pub(super) ordered: bool,
    pub(super) kept: Vec<String>,
    /// Bits and group of each matrix.
    pub(super) layers: Vec<(String, u8, usize)>,
}

impl Common {
    /// Adds a matrix of this name without `.weight`.
    pub(super) fn add(&mut self, stem: &str, grid: &Grid) {
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
pub(super) fn config(source: &Value, target: Target, common: &Common) -> Result<Value, ExchangeError> {
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
