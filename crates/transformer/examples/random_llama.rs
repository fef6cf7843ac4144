//! A Llama of random weights in bfloat16, for measurements of memory: `random_llama FOLDER TOKENIZER BLOCKS HIDDEN INNER HEADS`.
//!
//! `random_llama llama-3b smollm2/tokenizer.json 26 3200 8640 32` has the blocks of OpenLLaMA 3B and the vocabulary of the tokenizer: 3.1 B weights,
//! 6.2 GB. Every block is a file of its own, and one is held in memory at a time. The same arguments make the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use seedpress_model::random::SplitMix;
use tokenizers::Tokenizer;

/// Weights that share a generator: what a thread draws at a time.
const STRETCH: usize = 1 << 16;
/// Standard deviation of the weights, as models are initialised.
const SPREAD: f32 = 0.02;

type Shapes = Vec<(String, Vec<usize>)>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, tokenizer, numbers @ ..] = arguments.as_slice() else {
        return Err("random_llama FOLDER TOKENIZER BLOCKS HIDDEN INNER HEADS".into());
    };
    let numbers: Vec<usize> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
    let [blocks, hidden, inner, heads] = numbers[..] else {
        return Err("BLOCKS HIDDEN INNER HEADS are numbers".into());
    };
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    std::fs::copy(tokenizer, folder.join("tokenizer.json"))?;
    let words = Tokenizer::from_file(tokenizer).map_err(|error| error.to_string())?.get_vocab_size(true);
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": blocks, "num_attention_heads": heads, "num_key_value_heads": heads,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": false,
        "vocab_size": words, "torch_dtype": "bfloat16",
    });
    std::fs::write(folder.join("config.json"), serde_json::to_vec_pretty(&config)?)?;
    let mut files: Vec<Shapes> = (0..blocks).map(|block| block_shapes(block, hidden, inner)).collect();
    files.push(vec![("model.embed_tokens.weight".to_owned(), vec![words, hidden])]);
    files
        .push(vec![("lm_head.weight".to_owned(), vec![words, hidden]), ("model.norm.weight".to_owned(), vec![hidden])]);
    let (mut map, mut total) = (BTreeMap::new(), 0);
    let count = files.len();
    for (number, shapes) in files.into_iter().enumerate() {
        let file = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
        total += write(&folder.join(&file), &shapes, number as u64)?;
        map.extend(shapes.into_iter().map(|(name, _)| (name, file.clone())));
        eprintln!("{file}: {:.2} GB so far", total as f64 / 1e9);
    }
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    std::fs::write(folder.join("model.safetensors.index.json"), serde_json::to_vec_pretty(&index)?)?;
    Ok(())
}

fn block_shapes(block: usize, hidden: usize, inner: usize) -> Shapes {
    let of = |name: &str, shape: &[usize]| (format!("model.layers.{block}.{name}.weight"), shape.to_vec());
    vec![
        of("self_attn.q_proj", &[hidden, hidden]),
        of("self_attn.k_proj", &[hidden, hidden]),
        of("self_attn.v_proj", &[hidden, hidden]),
        of("self_attn.o_proj", &[hidden, hidden]),
        of("mlp.gate_proj", &[inner, hidden]),
        of("mlp.up_proj", &[inner, hidden]),
        of("mlp.down_proj", &[hidden, inner]),
        of("input_layernorm", &[hidden]),
        of("post_attention_layernorm", &[hidden]),
    ]
}

/// Writes a file of random tensors; the bytes of their values.
fn write(path: &Path, shapes: &Shapes, file: u64) -> Result<usize, Box<dyn std::error::Error>> {
    let values: Vec<Vec<u8>> =
        shapes.iter().enumerate().map(|(at, (_, shape))| draw(shape, (file << 8) + at as u64)).collect();
    let views: Vec<(&str, TensorView<'_>)> = shapes
        .iter()
        .zip(&values)
        .map(|((name, shape), bytes)| Ok((name.as_str(), TensorView::new(Dtype::BF16, shape.clone(), bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>()?;
    safetensors::serialize_to_file(views, None, path)?;
    Ok(values.iter().map(Vec::len).sum())
}

/// Ones for norms, normal numbers for matrices.
fn draw(shape: &[usize], seed: u64) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut bytes = vec![0; 2 * count];
    bytes.par_chunks_mut(2 * STRETCH).enumerate().for_each(|(stretch, bytes)| {
        let mut random = SplitMix::new((seed << 32) + stretch as u64);
        for pair in bytes.as_chunks_mut::<2>().0 {
            let value = if shape.len() == 1 { 1.0 } else { SPREAD * bell(random.bits()) };
            *pair = half::bf16::from_f32(value).to_le_bytes();
        }
    });
    bytes
}

/// Of random bits, nearly normal of variance 1: the sum of eight 8-bit numbers.
fn bell(bits: u64) -> f32 {
    let sum: f32 = bits.to_le_bytes().iter().map(|&byte| f32::from(byte) - 127.5).sum();
    // Eight uniform numbers of 256 steps have this standard deviation together.
    sum / 209.02
}
