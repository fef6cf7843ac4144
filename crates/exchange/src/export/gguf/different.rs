//! What of a configuration llama.cpp computes otherwise than transformers. Where every answer would differ the export is refused;
//! where only long contexts do, a note says so. Source: the graphs of llama.cpp's `src/models`, and logits compared
//! (`docs/interop.md`).

use serde_json::Value as Json;

use crate::error::ExchangeError;
use crate::export::ModelFiles;

/// Every so many layers one of Gemma 3 sees the whole context; llama.cpp assumes it where nothing is said.
pub const GEMMA3_PERIOD: u64 = 6;
/// Layers of the one Gemma 2 whose queries llama.cpp scales by hidden size over heads instead of by head size, and of the one Gemma 3.
const GEMMA2_27B_LAYERS: u64 = 46;
const GEMMA3_27B_LAYERS: u64 = 62;

fn refuse(what: &str, instead: &str) -> ExchangeError {
    ExchangeError::Model(format!("config.json says {what}, but llama.cpp {instead}: its answers would be wrong"))
}

/// Refuses a model that llama.cpp would load and compute wrongly.
///
/// # Errors
/// An activation, a scale of queries or a kind of experts that the architecture does not have there.
pub fn check(files: &ModelFiles, architecture: &str, head: u64) -> Result<(), ExchangeError> {
    let text = |name: &str| files.config().get(name).and_then(Json::as_str);
    let activation = text("hidden_act").or_else(|| text("activation_function"));
    let right: &[&str] = match architecture {
        // Gemma's files say `gelu` and mean its approximation.
        "gemma" | "gemma2" | "gemma3" => &["gelu_pytorch_tanh", "gelu_new", "gelu", "gelu_fast"],
        "gpt2" | "starcoder2" => &["gelu_pytorch_tanh", "gelu_new", "gelu_fast"],
        _ => &["silu", "swish"],
    };
    if let Some(activation) = activation.filter(|name| !right.contains(name)) {
        return Err(refuse(
            &format!("hidden_act `{activation}`"),
            &format!("computes {architecture} with `{}`", right[0]),
        ));
    }
    experts(files, architecture)?;
    queries(files, architecture, head)
}

fn experts(files: &ModelFiles, architecture: &str) -> Result<(), ExchangeError> {
    let normed = match architecture {
        "qwen2moe" => false,
        "qwen3moe" => true,
        _ => return Ok(()),
    };
    let dense = files.config().get("mlp_only_layers").and_then(Json::as_array).is_some_and(|layers| !layers.is_empty());
    if dense || files.count(&["decoder_sparse_step"]).is_some_and(|step| step != 1) {
        return Err(refuse("that some layers have no experts", "expects them in every layer"));
    }
    let says = files.config().get("norm_topk_prob").and_then(Json::as_bool).unwrap_or(false);
    if says != normed {
        let always = if normed { "always makes the weights of chosen experts sum to one" } else { "never does" };
        return Err(refuse(&format!("norm_topk_prob {says}"), always));
    }
    Ok(())
}

fn queries(files: &ModelFiles, architecture: &str, head: u64) -> Result<(), ExchangeError> {
    let large = match architecture {
        "gemma2" => GEMMA2_27B_LAYERS,
        "gemma3" => GEMMA3_27B_LAYERS,
        _ => return Ok(()),
    };
    let (hidden, heads) =
        (files.count(&["hidden_size"]).unwrap_or(0), files.count(&["num_attention_heads"]).unwrap_or(1));
    let there = if files.count(&["num_hidden_layers"]) == Some(large) { hidden / heads.max(1) } else { head };
    match files.number(&["query_pre_attn_scalar"]) {
        Some(scalar) if scalar != there as f64 => {
            Err(refuse(&format!("query_pre_attn_scalar {scalar}"), &format!("takes {there} for it")))
        }
        _ => Ok(()),
    }
}

/// Every so many layers of a Gemma 3 one sees the whole context.
///
/// # Errors
/// Layers in an order without a period, which GGUF has no key for.
pub fn window_period(files: &ModelFiles, architecture: &str) -> Result<Option<u64>, ExchangeError> {
    if architecture != "gemma3" {
        return Ok(None);
    }
    let Some(layers) = files.config().get("layer_types").and_then(Json::as_array) else {
        return Ok(files.count(&["sliding_window_pattern"]));
    };
    let full: Vec<bool> = layers.iter().map(|layer| layer.as_str() == Some("full_attention")).collect();
    let period = full.iter().position(|full| *full).map_or(full.len() + 1, |first| first + 1);
    if full.iter().enumerate().any(|(layer, full)| *full != ((layer + 1) % period == 0)) {
        return Err(refuse("layer_types in an order without a period", "knows one layer in so many"));
    }
    Ok(Some(period as u64))
}

/// A window of attention that llama.cpp does not apply to the architecture.
pub fn ignored_window(files: &ModelFiles, architecture: &str) -> Option<String> {
    let window = files.count(&["sliding_window"])?;
    let used = match architecture {
        "gemma2" | "gemma3" => false,
        "qwen2" | "qwen3" | "qwen2moe" | "qwen3moe" => {
            files.config().get("use_sliding_window").and_then(Json::as_bool).unwrap_or(false)
        }
        _ => true,
    };
    let longer = files.count(&["max_position_embeddings"]).is_none_or(|context| context > window);
    (used && longer).then(|| {
        format!("llama.cpp does not apply the window of {window} tokens to `{architecture}`: longer contexts give other answers")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(config: &str) -> (tempfile::TempDir, ModelFiles) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let files = ModelFiles::beside(folder.path()).unwrap();
        (folder, files)
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused() {
        for (architecture, config, part) in [
            ("llama", r#"{"hidden_act": "gelu"}"#, "`silu`"),
            ("gpt2", r#"{"activation_function": "relu"}"#, "relu"),
            ("qwen3moe", r#"{"norm_topk_prob": false}"#, "sum to one"),
            ("qwen3moe", r#"{"norm_topk_prob": true, "mlp_only_layers": [1]}"#, "every layer"),
            ("gemma2", r#"{"query_pre_attn_scalar": 20}"#, "takes 12"),
        ] {
            let (_folder, files) = files(config);
            let error = check(&files, architecture, 12).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let (_folder, files) = files(r#"{"hidden_act": "silu", "norm_topk_prob": true}"#);
        check(&files, "qwen3moe", 12).unwrap();
    }

    #[test]
    fn windows_are_told() {
        let (_folder, gemma) =
            files(r#"{"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}"#);
        assert_eq!(window_period(&gemma, "gemma3").unwrap(), Some(2));
        let (_folder, odd) = files(r#"{"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}"#);
        assert!(window_period(&odd, "gemma3").is_err());
        let (_folder, mistral) = files(r#"{"sliding_window": 4096, "max_position_embeddings": 32768}"#);
        assert!(ignored_window(&mistral, "llama").unwrap().contains("4096"));
        assert!(ignored_window(&mistral, "gemma2").is_none() && ignored_window(&mistral, "qwen2").is_none());
    }
}
