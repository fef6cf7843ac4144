//! Configurations: both spellings of rotary positions, defaults, and clear errors for what nobody described.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use seedpress_transformer::description::{Rotary, Scaling};
use seedpress_transformer::{Description, Transformer, TransformerError, config};
use serde_json::{Value, json};

/// A family's configuration with changes; null removes a key.
fn changed(family: &str, changes: Value) -> Result<Description, TransformerError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(family);
    let model = Transformer::open(&folder).unwrap();
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(config.as_object_mut().unwrap().remove(key)),
            value => config[key] = value.clone(),
        }
    }
    config::describe(&config, model.shapes())
}

fn fault(family: &str, changes: Value) -> String {
    changed(family, changes).unwrap_err().to_string()
}

fn rotary(description: &Description, block: usize) -> Rotary {
    description.blocks[block].attention.rotary.clone().unwrap()
}

#[test]
fn older_configurations_say_the_same() {
    for (family, older) in [
        ("llama", json!({"rope_theta": 10000.0, "rope_scaling": null})),
        ("llama-linear", json!({"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 3.0}})),
        ("llama-dynamic", json!({"rope_theta": 500.0, "rope_scaling": {"type": "dynamic", "factor": 3.0}})),
        (
            "llama-llama3",
            json!({"rope_theta": 500.0, "rope_scaling": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 24}}),
        ),
        (
            "phi3-long",
            json!({"partial_rotary_factor": 0.4, "rope_theta": 500.0, "rope_scaling": {"type": "longrope",
                "short_factor": [1.0, 1.1, 1.3], "long_factor": [1.2, 2.0, 3.5]}}),
        ),
        ("gpt-neox", json!({"rotary_pct": 0.5, "rotary_emb_base": 1000})),
        (
            "gemma3",
            json!({"rope_theta": 2000.0, "rope_local_base_freq": 50.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
        ),
    ] {
        let mut changes = older;
        changes["rope_parameters"] = Value::Null;
        let (new, old) = (changed(family, json!({})).unwrap(), changed(family, changes).unwrap());
        assert_eq!(new, old, "{family}");
    }
}

#[test]
fn a_missing_key_means_what_the_family_takes() {
    let absent = changed("mistral", json!({"sliding_window": null, "rms_norm_eps": null})).unwrap();
    assert_eq!(absent.blocks[0].attention.window, Some(4096));
    let llama = changed("llama", json!({"rope_parameters": null})).unwrap();
    assert_eq!(rotary(&llama, 0), Rotary { size: 8, base: 10_000.0, scaling: Scaling::None });
    let gemma = changed("gemma2", json!({"layer_types": null, "attn_logit_softcapping": null})).unwrap();
    assert_eq!(gemma.blocks.iter().map(|block| block.attention.window).collect::<Vec<_>>(), [Some(6), None]);
    assert_eq!(gemma.blocks[0].attention.soft_cap, Some(50.0));
    let gemma = changed("gemma3", json!({"layer_types": null, "sliding_window_pattern": 3})).unwrap();
    let windows: Vec<_> = gemma.blocks.iter().map(|block| block.attention.window).collect();
    assert_eq!(windows, [Some(6), Some(6), None]);
    assert_eq!([rotary(&gemma, 0).base, rotary(&gemma, 2).base], [50.0, 2000.0]);
}

#[test]
fn what_nobody_described_is_named() {
    let unknown = fault("llama", json!({"model_type": "mamba"}));
    assert!(
        unknown.contains("`mamba` is not known: known are bert, gemma") && unknown.contains("without data"),
        "{unknown}"
    );
    for (family, changes, said) in [
        ("llama", json!({"model_type": null}), "`model_type`: is missing"),
        ("llama", json!({"residual_multiplier": 0.22}), "`residual_multiplier`: 0.22: this key is not known"),
        ("llama", json!({"hidden_act": "mish"}), "`hidden_act`: activation `mish` is not implemented"),
        ("llama", json!({"hidden_size": "32"}), "`hidden_size`: \"32\" is no count"),
        ("llama", json!({"hidden_size": null}), "`hidden_size`: is missing"),
        ("llama", json!({"num_key_value_heads": 3}), "`num_key_value_heads`: 3 does not divide 4"),
        ("llama", json!({"num_hidden_layers": 1_000_000_000}), "`num_hidden_layers`: 1000000000, but the checkpoint"),
        ("llama", json!({"num_hidden_layers": 3}), "tensor `model.layers.2.input_layernorm.weight`: is missing"),
        ("llama", json!({"num_hidden_layers": 1}), "`llama` has no use for it"),
        ("llama", json!({"attention_bias": true}), "tensor `model.layers.0.self_attn.q_proj.bias`: is missing"),
        ("llama-biases", json!({"attention_bias": false}), "`llama` has no use for it"),
        ("llama", json!({"intermediate_size": 41}), "has shape [40, 32], not [41, 32]"),
        ("llama", json!({"tie_word_embeddings": false, "vocab_size": 65}), "has shape [64, 32], not [65, 32]"),
        ("llama", json!({"sliding_window": 7}), "`sliding_window`: is not known for this architecture"),
        ("llama", json!({"rope_parameters": {"rope_type": "spiral"}}), "`rope_type`: `spiral` is not implemented"),
        ("llama", json!({"rope_parameters": {"rope_type": "linear"}}), "`factor`: is missing"),
        ("llama", json!({"rope_parameters": {"rope_theta": 1e4, "mrope_section": [2, 2]}}), "`mrope_section`"),
        ("llama", json!({"quantization_config": {"quant_method": "gptq"}}), "quantised already"),
        ("gemma3", json!({"use_bidirectional_attention": true}), "true is not implemented, only false"),
        ("gemma2", json!({"layer_types": ["full_attention", "chunked_attention"]}), "\"chunked_attention\" is not"),
        ("qwen3-moe", json!({"num_experts_per_tok": 7}), "7 of 6 experts"),
        ("phi3-long", json!({"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0]}}), "wants 8 numbers"),
        ("bert", json!({"position_embedding_type": "relative_key"}), "`relative_key` is not implemented"),
    ] {
        let message = fault(family, changes);
        assert!(message.contains(said), "{family}: `{message}` does not say `{said}`");
    }
}

/// Any value in place of any other is an answer or an error, never a panic.
#[test]
fn no_value_makes_it_panic() {
    let values = [json!(null), json!(true), json!(-1), json!(0), json!(1), json!(7.5), json!(u64::MAX), json!("x")];
    let values = values.into_iter().chain([json!([]), json!([1, "a", null]), json!({"a": 1})]).collect::<Vec<_>>();
    for family in ["llama-yarn", "llama-llama3", "qwen3-moe", "gemma3", "phi3-long", "gpt2", "gpt-neox", "bert"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(family);
        let model = Transformer::open(&folder).unwrap();
        let config: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        for key in config.as_object().unwrap().keys() {
            for value in &values {
                let mut config = config.clone();
                config[key] = value.clone();
                let _ = config::describe(&config, model.shapes());
            }
        }
    }
}
