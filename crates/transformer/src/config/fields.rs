//! The keys of a `config.json`, each read with its type, and none passed over unseen.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::error::TransformerError;

/// Keys that change nothing of what a model answers: names, training, token numbers of special tokens, defaults of text generation.
const WITHOUT_EFFECT: &[&str] = &[
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "begin_suppress_tokens",
    "boi_token_index",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "decoder_start_token_id",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "embedding_dropout",
    "eoi_token_index",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "image_token_index",
    "initializer_range",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "max_length",
    "mm_tokens_per_image",
    "n_ctx",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "pad_token_id",
    "pretraining_tp",
    "problem_type",
    "reorder_and_upcast_attn",
    "resid_pdrop",
    "residual_dropout",
    "return_dict",
    "rope_interleaved",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "use_cache",
    "use_return_dict",
    "vision_config",
];

/// The object of a configuration.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// What the family takes where a key is absent.
    defaults: &'static [(&'static str, usize)],
    seen: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, defaults: &'static [(&'static str, usize)]) -> Self {
        Self { map, defaults, seen: RefCell::default() }
    }

    /// The value of a key; absent and null are one.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.seen.borrow_mut().insert(key.to_owned());
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Marks a key as looked at: it says what the family does anyway.
    pub(super) fn pass_over(&self, keys: &[&str]) {
        self.seen.borrow_mut().extend(keys.iter().map(|&key| key.to_owned()));
    }

    /// Whether a key stands there, be it with null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// A count above zero, where there is one.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>, TransformerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        let sound = count.filter(|count| (1..=MOST).contains(count));
        sound.map(Some).ok_or_else(|| TransformerError::config(key, format!("{value} is no count")))
    }

    /// A count, or the family's default.
    pub(super) fn size(&self, key: &str) -> Result<usize, TransformerError> {
        let default = || self.defaults.iter().find(|(name, _)| *name == key).map(|&(_, default)| default);
        self.count(key)?.or_else(default).ok_or_else(|| TransformerError::config(key, "is missing"))
    }

    /// A finite number, where there is one.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, TransformerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| TransformerError::config(key, format!("{value} is no number")))
    }

    /// A number above zero, where there is one.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f64>, TransformerError> {
        match self.number(key)? {
            Some(number) if number <= 0.0 => Err(TransformerError::config(key, format!("{number} is not above zero"))),
            number => Ok(number),
        }
    }

    /// A truth value, where there is one.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, TransformerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| TransformerError::config(key, format!("{value} is no truth value")))
    }

    /// A text, where there is one.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, TransformerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| TransformerError::config(key, format!("{value} is no text")))
    }

    /// A list, where there is one.
    pub(super) fn list(&self, key: &str) -> Result<Option<&'a Vec<Value>>, TransformerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_array().map(Some).ok_or_else(|| TransformerError::config(key, format!("{value} is no list")))
    }

    /// An object, where there is one.
    pub(super) fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, TransformerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_object().map(Some).ok_or_else(|| TransformerError::config(key, format!("{value} is no object")))
    }

    /// Refuses a value other than the one that is implemented.
    pub(super) fn only(&self, key: &str, legal: bool) -> Result<(), TransformerError> {
        match self.flag(key)? {
            Some(value) if value != legal => {
                Err(TransformerError::config(key, format!("{value} is not implemented, only {legal}")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses keys that nobody read. Those that are null, false, or empty ask for nothing.
    pub(super) fn finish(&self) -> Result<(), TransformerError> {
        let seen = self.seen.borrow();
        for (key, value) in self.map {
            let nothing = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if nothing || key.starts_with('_') || seen.contains(key) || WITHOUT_EFFECT.contains(&key.as_str()) {
                continue;
            }
            let mut shown = value.to_string();
            shown.truncate(shown.char_indices().nth(60).map_or(shown.len(), |(at, _)| at));
            let why = format!("{shown}: this key is not known for the architecture, so results could be wrong");
            return Err(TransformerError::config(key, why));
        }
        Ok(())
    }
}

/// Above every honest count in a configuration; products of two fit 64 bits.
const MOST: usize = 1 << 31;
