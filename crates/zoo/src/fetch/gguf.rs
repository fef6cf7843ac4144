//! A folder as `transformers` reads it, out of a GGUF file of a Llama: configuration, tokenizer, and weights dequantised.
//!
//! llama.cpp stores the rows of queries and keys so that the pairs of a rotary position are neighbours; `transformers` has them half a
//! head apart. Values come back as the file's blocks mean them, in f32: nothing is rounded a second time.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use serde_json::{Map, json};

use super::tensors::Tensors;
use crate::error::ZooError;

/// Which file of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `model.safetensors`.
    Weights,
    /// `config.json`.
    Config,
    /// `generation_config.json`.
    Generation,
    /// `tokenizer.json`.
    Tokenizer,
    /// `tokenizer_config.json`.
    TokenizerConfig,
}

/// An open file.
pub(super) struct Gguf {
    file: BufReader<File>,
    content: Content,
}

/// What is wrong with the file; the caller knows its name.
type Fault = String;

/// Special tokens, in llama.cpp's numbering of kinds.
const CONTROL: u32 = 3;

/// The file `part`, except the weights.
pub(super) fn text(part: Part, source: &Path) -> Result<Vec<u8>, ZooError> {
    let bad = |fault: Fault| ZooError::bad_file(source, fault);
    let gguf = Gguf::open(source).map_err(bad)?;
    let value = match part {
        Part::Config => gguf.config(),
        Part::Generation => gguf.generation(),
        Part::Tokenizer => gguf.tokenizer(),
        Part::TokenizerConfig => gguf.tokenizer_config(),
        Part::Weights => Err("weights are no text".to_owned()),
    };
    let mut bytes = serde_json::to_vec_pretty(&value.map_err(bad)?).map_err(|error| bad(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The weights under the names that `transformers` gives them.
pub(super) fn weights(source: &Path) -> Result<Tensors, ZooError> {
    let bad = |fault: Fault| ZooError::bad_file(source, fault);
    Gguf::open(source).and_then(|mut gguf| gguf.weights()).map_err(bad)
}

impl Gguf {
    fn open(path: &Path) -> Result<Self, Fault> {
        let mut file = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
        let content = Content::read(&mut file).map_err(|error| error.to_string())?;
        let gguf = Self { file, content };
        match gguf.text("general.architecture")? {
            "llama" => Ok(gguf),
            other => Err(format!("architecture `{other}` is not converted, only `llama`")),
        }
    }

    fn value(&self, key: &str) -> Result<&Value, Fault> {
        self.content.metadata.get(key).ok_or_else(|| format!("no `{key}`"))
    }

    fn number(&self, key: &str) -> Result<u32, Fault> {
        self.value(key)?.to_u32().map_err(|error| format!("`{key}`: {error}"))
    }

    fn float(&self, key: &str) -> Result<f32, Fault> {
        self.value(key)?.to_f32().map_err(|error| format!("`{key}`: {error}"))
    }

    fn text(&self, key: &str) -> Result<&str, Fault> {
        self.value(key)?.to_string().map(String::as_str).map_err(|error| format!("`{key}`: {error}"))
    }

    fn texts(&self, key: &str) -> Result<Vec<&str>, Fault> {
        let list = self.value(key)?.to_vec().map_err(|error| format!("`{key}`: {error}"))?;
        let texts: Vec<&str> = list.iter().filter_map(|value| value.to_string().ok().map(String::as_str)).collect();
        if texts.len() == list.len() { Ok(texts) } else { Err(format!("`{key}` holds other things than texts")) }
    }

    fn config(&self) -> Result<serde_json::Value, Fault> {
        let number = |key: &str| self.number(&format!("llama.{key}"));
        let float = |key: &str| self.float(&format!("llama.{key}")).map(shortest);
        let (width, heads) = (number("embedding_length")?, number("attention.head_count")?);
        Ok(json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "bos_token_id": self.number("tokenizer.ggml.bos_token_id")?,
            "dtype": "float32",
            "eos_token_id": self.number("tokenizer.ggml.eos_token_id")?,
            "head_dim": width.checked_div(heads),
            "hidden_act": "silu",
            "hidden_size": width,
            "intermediate_size": number("feed_forward_length")?,
            "max_position_embeddings": number("context_length")?,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": heads,
            "num_hidden_layers": number("block_count")?,
            "num_key_value_heads": number("attention.head_count_kv")?,
            "pad_token_id": self.number("tokenizer.ggml.padding_token_id")?,
            "rms_norm_eps": float("attention.layer_norm_rms_epsilon")?,
            "rope_scaling": null,
            "rope_theta": float("rope.freq_base")?,
            "tie_word_embeddings": !self.content.tensor_infos.contains_key("output.weight"),
            "use_cache": true,
            "vocab_size": number("vocab_size")?,
        }))
    }

    fn generation(&self) -> Result<serde_json::Value, Fault> {
        let number = |key: &str| self.number(&format!("tokenizer.ggml.{key}_token_id"));
        Ok(json!({
            "bos_token_id": number("bos")?,
            "eos_token_id": number("eos")?,
            "pad_token_id": number("padding")?,
        }))
    }

    /// Byte pairs as GPT-2 has them, digits one by one: what llama.cpp calls `smollm`.
    fn tokenizer(&self) -> Result<serde_json::Value, Fault> {
        match (self.text("tokenizer.ggml.model")?, self.text("tokenizer.ggml.pre")?) {
            ("gpt2", "smollm") => {}
            (model, pre) => return Err(format!("tokenizer `{model}` of kind `{pre}` is not converted")),
        }
        let tokens = self.texts("tokenizer.ggml.tokens")?;
        let kinds = self.value("tokenizer.ggml.token_type")?.to_vec().map_err(|error| error.to_string())?;
        let control = |at: usize| match kinds.get(at) {
            Some(Value::I32(kind)) => *kind == CONTROL as i32,
            Some(Value::U32(kind)) => *kind == CONTROL,
            _ => false,
        };
        let special = |(at, token): (usize, &&str)| {
            json!({"id": at, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let added: Vec<_> = tokens.iter().enumerate().filter(|(at, _)| control(*at)).map(special).collect();
        let vocabulary: Map<String, serde_json::Value> =
            tokens.iter().enumerate().map(|(at, &token)| (token.to_owned(), at.into())).collect();
        let bytes = |prefix: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true});
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Digits", "individual_digits": true},
                bytes(false),
            ]},
            "post_processor": null,
            "decoder": bytes(true),
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocabulary, "merges": self.texts("tokenizer.ggml.merges")?,
            },
        }))
    }

    fn tokenizer_config(&self) -> Result<serde_json::Value, Fault> {
        let tokens = self.texts("tokenizer.ggml.tokens")?;
        let token = |key: &str| -> Result<&str, Fault> {
            let at = self.number(&format!("tokenizer.ggml.{key}_token_id"))? as usize;
            tokens.get(at).copied().ok_or_else(|| format!("no token {at}"))
        };
        Ok(json!({
            "add_prefix_space": false,
            "bos_token": token("bos")?,
            "chat_template": self.text("tokenizer.chat_template")?,
            "clean_up_tokenization_spaces": false,
            "eos_token": token("eos")?,
            "model_max_length": self.number("llama.context_length")?,
            "pad_token": token("padding")?,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": token("unknown")?,
        }))
    }

    fn weights(&mut self) -> Result<Tensors, Fault> {
        let heads = self.number("llama.attention.head_count")? as usize;
        let key_heads = self.number("llama.attention.head_count_kv")? as usize;
        let mut names: Vec<String> = self.content.tensor_infos.keys().cloned().collect();
        names.sort_unstable();
        let mut tensors = Tensors::new();
        for name in names {
            let bad = |error: candle_core::Error| format!("`{name}`: {error}");
            let quantised = self.content.tensor(&mut self.file, &name, &Device::Cpu).map_err(bad)?;
            let tensor = quantised.dequantize(&Device::Cpu).map_err(bad)?;
            let shape = tensor.dims().to_vec();
            let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(bad)?;
            let values = match name.split_once(".attn_") {
                Some((_, "q.weight")) => apart(values, &shape, heads),
                Some((_, "k.weight")) => apart(values, &shape, key_heads),
                _ => Some(values),
            };
            let values = values.ok_or_else(|| format!("`{name}` is no matrix of whole heads"))?;
            let theirs = renamed(&name).ok_or_else(|| format!("`{name}`: what is it for?"))?;
            tensors.insert(theirs, (shape, values));
        }
        Ok(tensors)
    }
}

/// Rows whose pairs are neighbours, put half a head apart.
fn apart(values: Vec<f32>, shape: &[usize], heads: usize) -> Option<Vec<f32>> {
    let &[rows, columns] = shape else { return None };
    let size = rows.checked_div(heads).filter(|size| size * heads == rows && size.is_multiple_of(2))?;
    let source = |row: usize| {
        let (head, at) = (row / size, row % size);
        head * size + at % (size / 2) * 2 + at / (size / 2)
    };
    Some((0..rows).flat_map(|row| &values[source(row) * columns..][..columns]).copied().collect())
}

/// The name that `transformers` gives a tensor.
fn renamed(name: &str) -> Option<String> {
    let outer = [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
    ];
    if let Some((_, theirs)) = outer.iter().find(|(ours, _)| *ours == name) {
        return Some((*theirs).to_owned());
    }
    let (block, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let parts = [
        ("attn_norm.weight", "input_layernorm"),
        ("attn_q.weight", "self_attn.q_proj"),
        ("attn_k.weight", "self_attn.k_proj"),
        ("attn_v.weight", "self_attn.v_proj"),
        ("attn_output.weight", "self_attn.o_proj"),
        ("ffn_norm.weight", "post_attention_layernorm"),
        ("ffn_gate.weight", "mlp.gate_proj"),
        ("ffn_up.weight", "mlp.up_proj"),
        ("ffn_down.weight", "mlp.down_proj"),
    ];
    let (_, theirs) = parts.iter().find(|(ours, _)| *ours == part)?;
    Some(format!("model.layers.{block}.{theirs}.weight"))
}

/// The number people wrote: of all that round to this f32 the one with the fewest digits.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// llama.cpp's own permutation: `reshape(heads, 2, size / 2, columns)`, axes 1 and 2 swapped.
    #[test]
    fn rows_come_back_from_where_they_were_put() {
        let (heads, size, columns) = (3, 8, 2);
        let original: Vec<f32> = (0..heads * size * columns).map(|at| at as f32).collect();
        let mut stored = Vec::new();
        for head in 0..heads {
            for pair in 0..size / 2 {
                for half in 0..2 {
                    let row = head * size + half * size / 2 + pair;
                    stored.extend_from_slice(&original[row * columns..][..columns]);
                }
            }
        }
        assert_eq!(apart(stored, &[heads * size, columns], heads), Some(original));
        assert_eq!(apart(vec![0.0; 6], &[6, 1], 4), None);
    }

    #[test]
    fn names_are_those_of_transformers() {
        assert_eq!(renamed("blk.12.ffn_down.weight").unwrap(), "model.layers.12.mlp.down_proj.weight");
        assert_eq!(renamed("token_embd.weight").unwrap(), "model.embed_tokens.weight");
        assert_eq!(renamed("blk.0.ffn_gate_exps.weight"), None);
        assert_eq!([shortest(1e-5), shortest(1e5)], [1e-5, 1e5]);
    }
}
