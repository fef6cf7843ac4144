//! What llama.cpp must know of a model, from `config.json`. Keys and values are those of `convert_hf_to_gguf.py`.

use serde_json::Value as Json;

use super::different::{GEMMA3_PERIOD, check, ignored_window, window_period};
use crate::error::ExchangeError;
use crate::export::ModelFiles;
use crate::gguf::Value;

/// A model as GGUF describes it.
#[derive(Debug)]
pub struct Description {
    /// GGUF's name of the architecture.
    pub architecture: &'static str,
    /// Heads, and heads of keys.
    pub heads: (usize, usize),
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Metadata, in order.
    pub values: Vec<(String, Value)>,
    /// Tensors that follow from the configuration: name and values.
    pub tensors: Vec<(String, Vec<f32>)>,
    /// What of the configuration has no place in GGUF.
    pub notes: Vec<String>,
}

/// `model_type` and the architecture it is in GGUF.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("llama", "llama"),
    ("mistral", "llama"),
    ("mixtral", "llama"),
    ("qwen2", "qwen2"),
    ("qwen2_moe", "qwen2moe"),
    ("qwen3", "qwen3"),
    ("qwen3_moe", "qwen3moe"),
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3_text", "gemma3"),
    ("phi3", "phi3"),
    ("olmo2", "olmo2"),
    ("starcoder2", "starcoder2"),
    ("gpt2", "gpt2"),
];

/// Describes a model.
///
/// # Errors
/// An architecture GGUF or this crate has no names for; a configuration that lacks a number.
pub fn describe(files: &ModelFiles, name: &str) -> Result<Description, ExchangeError> {
    let kind = files.kind();
    let architecture = ARCHITECTURES.iter().find(|(own, _)| *own == kind).map(|(_, name)| *name).ok_or_else(|| {
        let known: Vec<&str> = ARCHITECTURES.iter().map(|(own, _)| *own).collect();
        ExchangeError::Model(format!(
            "config.json says model_type `{kind}`, which is not written as GGUF; {} are",
            known.join(", ")
        ))
    })?;
    let need = |names: &[&str]| {
        files.count(names).ok_or_else(|| ExchangeError::Model(format!("config.json has no `{}`", names[0])))
    };
    let heads = need(&["num_attention_heads", "n_head"])?;
    let key_heads = files.count(&["num_key_value_heads"]).unwrap_or(heads);
    let hidden = need(&["hidden_size", "n_embd"])?;
    if heads == 0 {
        return Err(ExchangeError::Model("config.json says no heads".to_owned()));
    }
    let head = files.count(&["head_dim"]).unwrap_or(hidden / heads);
    check(files, architecture, head)?;
    let mut made = Maker { architecture, values: Vec::new(), files };
    made.text("general.architecture", architecture);
    made.text("general.type", "model");
    made.text("general.name", name);
    made.put("general.quantization_version", Value::U32(2));
    made.own("block_count", need(&["num_hidden_layers", "n_layer"])?);
    made.own("context_length", need(&["max_position_embeddings", "n_positions", "n_ctx"])?);
    made.own("embedding_length", hidden);
    made.own("feed_forward_length", files.count(&["intermediate_size", "n_inner"]).unwrap_or(4 * hidden));
    made.own("attention.head_count", heads);
    match architecture {
        "gpt2" | "starcoder2" => {
            let epsilon = files.number(&["layer_norm_epsilon", "norm_epsilon"]).unwrap_or(1e-5);
            made.own_float("attention.layer_norm_epsilon", epsilon);
        }
        _ => made.own_float("attention.layer_norm_rms_epsilon", files.number(&["rms_norm_eps"]).unwrap_or(1e-6)),
    }
    if architecture != "gpt2" {
        made.own("attention.head_count_kv", key_heads);
        made.own("attention.key_length", head);
        made.own("attention.value_length", head);
    }
    let vocabulary = need(&["vocab_size"])?;
    made.own("vocab_size", vocabulary);
    made.family();
    if let Some(period) = window_period(files, architecture)?.filter(|period| *period != GEMMA3_PERIOD) {
        made.own("attention.sliding_window_pattern", period);
    }
    let mut notes: Vec<String> = ignored_window(files, architecture).into_iter().collect();
    let tensors = if architecture == "gpt2" { Vec::new() } else { rotation(&mut made, head, &mut notes)? };
    let values = made.values;
    Ok(Description {
        architecture,
        heads: (heads as usize, key_heads as usize),
        vocabulary: vocabulary as usize,
        values,
        tensors,
        notes,
    })
}

struct Maker<'a> {
    architecture: &'static str,
    values: Vec<(String, Value)>,
    files: &'a ModelFiles,
}

impl Maker<'_> {
    fn put(&mut self, key: &str, value: Value) {
        self.values.push((key.to_owned(), value));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.put(key, Value::Text(text.to_owned()));
    }

    fn own(&mut self, key: &str, value: u64) {
        self.values
            .push((format!("{}.{key}", self.architecture), Value::U32(u32::try_from(value).unwrap_or(u32::MAX))));
    }

    fn own_float(&mut self, key: &str, value: f64) {
        self.values.push((format!("{}.{key}", self.architecture), Value::F32(value as f32)));
    }

    /// What only some architectures have.
    fn family(&mut self) {
        let counts: &[(&str, &[&str])] = &[
            ("expert_count", &["num_local_experts", "num_experts"]),
            ("expert_used_count", &["num_experts_per_tok"]),
            ("expert_feed_forward_length", &["moe_intermediate_size"]),
            ("expert_shared_feed_forward_length", &["shared_expert_intermediate_size"]),
        ];
        if matches!(self.architecture, "llama" | "qwen2moe" | "qwen3moe") {
            for (key, names) in counts {
                if let Some(count) = self.files.count(names) {
                    self.own(key, count);
                }
            }
        }
        if matches!(self.architecture, "gemma2" | "gemma3" | "phi3")
            && let Some(window) = self.files.count(&["sliding_window"])
        {
            self.own("attention.sliding_window", window);
        }
        if self.architecture == "gemma2" {
            for (key, name) in [
                ("attn_logit_softcapping", "attn_logit_softcapping"),
                ("final_logit_softcapping", "final_logit_softcapping"),
            ] {
                if let Some(value) = self.files.number(&[name]) {
                    self.own_float(key, value);
                }
            }
        }
    }
}

/// The rotary embedding: base, dimensions, and how it is stretched.
fn rotation(
    made: &mut Maker<'_>,
    head: u64,
    notes: &mut Vec<String>,
) -> Result<Vec<(String, Vec<f32>)>, ExchangeError> {
    let config = made.files.config();
    let parameters =
        config.get("rope_parameters").or_else(|| config.get("rope_scaling")).filter(|value| value.is_object());
    // Gemma 3 has two kinds of layers; llama.cpp knows the base of those with a window.
    let parameters = match parameters.and_then(|parameters| parameters.get("full_attention")) {
        Some(full) => {
            let local = parameters.and_then(|p| p.get("sliding_attention")?.get("rope_theta")?.as_f64()).unwrap_or(1e4);
            made.own_float("rope.freq_base_swa", local);
            Some(full)
        }
        None => parameters,
    };
    let number = |name: &str| parameters.and_then(|parameters| parameters.get(name)).and_then(Json::as_f64);
    let base = number("rope_theta").or_else(|| made.files.number(&["rope_theta"])).unwrap_or(10000.0);
    let partial =
        number("partial_rotary_factor").or_else(|| made.files.number(&["partial_rotary_factor"])).unwrap_or(1.0);
    let dimensions = (head as f64 * partial) as u64;
    made.own_float("rope.freq_base", base);
    made.own("rope.dimension_count", dimensions);
    let kind = parameters
        .and_then(|p| p.get("rope_type").or_else(|| p.get("type")))
        .and_then(Json::as_str)
        .unwrap_or("default");
    let original = number("original_max_position_embeddings")
        .or_else(|| made.files.number(&["original_max_position_embeddings"]))
        .map(|count| count as u64);
    match kind {
        "default" => Ok(Vec::new()),
        "linear" | "yarn" => {
            made.values.push((format!("{}.rope.scaling.type", made.architecture), Value::Text(kind.to_owned())));
            made.own_float("rope.scaling.factor", number("factor").unwrap_or(1.0));
            if let Some(original) = original.filter(|_| kind == "yarn") {
                made.own("rope.scaling.original_context_length", original);
            }
            Ok(Vec::new())
        }
        "llama3" => Ok(vec![("rope_freqs.weight".to_owned(), llama3(dimensions, base, &number))]),
        "longrope" => {
            let list = |name: &str| parameters.and_then(|parameters| parameters.get(name)).and_then(Json::as_array);
            long(made, original.unwrap_or(4096), &list)
        }
        other => {
            notes.push(format!(
                "the rotary embedding of the type `{other}` has no place in GGUF: llama.cpp is right up to the trained \
                 length of contexts, and does not stretch positions beyond"
            ));
            Ok(Vec::new())
        }
    }
}

/// Phi-3's rotation: other frequencies for contexts longer than the trained one of `original` tokens.
fn long<'a>(
    made: &mut Maker<'_>,
    original: u64,
    list: &dyn Fn(&str) -> Option<&'a Vec<Json>>,
) -> Result<Vec<(String, Vec<f32>)>, ExchangeError> {
    let factors = |name: &str| -> Result<Vec<f32>, ExchangeError> {
        let list = list(name).map(|list| list.iter().filter_map(|value| Some(value.as_f64()? as f32)).collect());
        list.ok_or_else(|| ExchangeError::Model(format!("config.json has no `{name}`")))
    };
    let context = made.files.count(&["max_position_embeddings"]).unwrap_or(original);
    let scale = context as f64 / original.max(1) as f64;
    let attention = if scale <= 1.0 { 1.0 } else { (1.0 + scale.ln() / (original as f64).ln()).sqrt() };
    made.own("rope.scaling.original_context_length", original);
    made.own_float("rope.scaling.attn_factor", attention);
    Ok(vec![
        ("rope_factors_long.weight".to_owned(), factors("long_factor")?),
        ("rope_factors_short.weight".to_owned(), factors("short_factor")?),
    ])
}

/// By what Llama 3.1 divides the frequencies.
fn llama3(dimensions: u64, base: f64, number: &dyn Fn(&str) -> Option<f64>) -> Vec<f32> {
    let factor = number("factor").unwrap_or(8.0);
    let (low, high) = (number("low_freq_factor").unwrap_or(1.0), number("high_freq_factor").unwrap_or(4.0));
    let context = number("original_max_position_embeddings").unwrap_or(8192.0);
    (0..dimensions / 2)
        .map(|pair| {
            let wavelength = 2.0 * std::f64::consts::PI * base.powf(2.0 * pair as f64 / dimensions as f64);
            let value = if wavelength < context / high {
                1.0
            } else if wavelength > context / low {
                factor
            } else {
                let smooth = (context / wavelength - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            };
            value as f32
        })
        .collect()
}
