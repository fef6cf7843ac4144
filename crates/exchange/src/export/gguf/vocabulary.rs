//! Tokens, from `tokenizer.json` and `tokenizer_config.json`.

use serde_json::Value as Json;

use crate::error::ExchangeError;
use crate::export::ModelFiles;
use crate::gguf::{Array, Value};

/// Kinds of tokens.
mod kind {
    pub(super) const NORMAL: i64 = 1;
    pub(super) const CONTROL: i64 = 3;
    pub(super) const USER: i64 = 4;
    pub(super) const UNUSED: i64 = 5;
    pub(super) const BYTE: i64 = 6;
}

/// Pieces of pre-tokenizers' patterns, and llama.cpp's names of them. The first that is found counts.
const PRETOKENIZERS: &[(&str, &str)] = &[
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|", "llama-bpe"),
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|", "qwen2"),
];

/// The vocabulary's metadata; a model without `tokenizer.json` gets none, and a note.
///
/// # Errors
/// A tokenizer of a kind that is not written.
pub fn vocabulary(
    files: &ModelFiles,
    size: usize,
    notes: &mut Vec<String>,
) -> Result<Vec<(String, Value)>, ExchangeError> {
    let Some(tokenizer) = files.json("tokenizer.json")? else {
        notes.push(
            "there is no tokenizer.json: the file has no vocabulary, and its engine takes token numbers only"
                .to_owned(),
        );
        return Ok(vec![("tokenizer.ggml.model".to_owned(), Value::Text("no_vocab".to_owned()))]);
    };
    let model = &tokenizer["model"];
    let kind = model["type"].as_str().unwrap_or("BPE");
    if kind != "BPE" {
        return Err(ExchangeError::Model(format!(
            "tokenizer.json holds a `{kind}` model, which is not written as GGUF; BPE is"
        )));
    }
    let bytes = model["byte_fallback"].as_bool().unwrap_or(false);
    let (tokens, kinds) = tokens(&tokenizer, size, bytes)?;
    let mut values = Vec::new();
    let mut put = |key: &str, value: Value| values.push((format!("tokenizer.ggml.{key}"), value));
    if bytes {
        // Merges of a SentencePiece model are in the order of its tokens: their numbers stand for scores.
        let scores = (0..tokens.len()).map(|id| -(id as f32)).collect();
        put("model", Value::Text("llama".to_owned()));
        put("pre", Value::Text("default".to_owned()));
        put("tokens", Value::Array(Array::Text(tokens)));
        put("scores", Value::Array(Array::F32(scores)));
        notes.push("the vocabulary is SentencePiece's; scores are the order of its tokens".to_owned());
    } else {
        let pattern = tokenizer["pre_tokenizer"].to_string().replace("\\\\", "\\");
        let found = PRETOKENIZERS.iter().find(|(piece, _)| pattern.contains(piece)).map(|(_, name)| *name);
        let digits = pattern.contains("\"Digits\"");
        let name = found.unwrap_or(if digits { "smollm" } else { "gpt-2" });
        put("model", Value::Text("gpt2".to_owned()));
        put("pre", Value::Text(name.to_owned()));
        put("tokens", Value::Array(Array::Text(tokens)));
    }
    put("token_type", Value::Array(Array::i32(kinds)));
    if !bytes {
        put("merges", Value::Array(Array::Text(merges(model))));
    }
    special_tokens(files, &mut values)?;
    Ok(values)
}

/// Which tokens begin, end and fill texts, whether engines add them, and the template of chats.
fn special_tokens(files: &ModelFiles, values: &mut Vec<(String, Value)>) -> Result<(), ExchangeError> {
    let mut put = |key: &str, value: Value| values.push((format!("tokenizer.ggml.{key}"), value));
    let config = files.config();
    for (key, name) in
        [("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id"), ("padding_token_id", "pad_token_id")]
    {
        let id = config.get(name).and_then(|id| id.as_u64().or_else(|| id.as_array()?.first()?.as_u64()));
        if let Some(id) = id.and_then(|id| u32::try_from(id).ok()) {
            put(key, Value::U32(id));
        }
    }
    let settings = files.json("tokenizer_config.json")?.unwrap_or(Json::Null);
    for (key, name) in [("add_bos_token", "add_bos_token"), ("add_eos_token", "add_eos_token")] {
        if let Some(add) = settings.get(name).and_then(Json::as_bool) {
            put(key, Value::Bool(add));
        }
    }
    if let Some(template) = settings.get("chat_template").and_then(Json::as_str) {
        values.push(("tokenizer.chat_template".to_owned(), Value::Text(template.to_owned())));
    }
    Ok(())
}

/// Tokens by number and their kinds; numbers without a token get a placeholder.
fn tokens(tokenizer: &Json, size: usize, bytes: bool) -> Result<(Vec<String>, Vec<i64>), ExchangeError> {
    let mut tokens: Vec<String> = (0..size).map(|id| format!("[PAD{id}]")).collect();
    let mut kinds = vec![kind::UNUSED; size];
    let mut set = |id: Option<u64>, text: &str, kind: i64| -> Result<(), ExchangeError> {
        let id = id.and_then(|id| usize::try_from(id).ok()).filter(|id| *id < size);
        let id = id.ok_or_else(|| {
            ExchangeError::Model(format!("token `{text}` has a number beyond the {size} of the embedding"))
        })?;
        text.clone_into(&mut tokens[id]);
        kinds[id] = kind;
        Ok(())
    };
    for (text, id) in tokenizer["model"]["vocab"].as_object().into_iter().flatten() {
        let byte = bytes && text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
        set(id.as_u64(), text, if byte { kind::BYTE } else { kind::NORMAL })?;
    }
    for token in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        let special = token["special"].as_bool().unwrap_or(false);
        set(
            token["id"].as_u64(),
            token["content"].as_str().unwrap_or_default(),
            if special { kind::CONTROL } else { kind::USER },
        )?;
    }
    Ok((tokens, kinds))
}

/// `"a b"`, or since 2024 `["a", "b"]`.
fn merges(model: &Json) -> Vec<String> {
    let merges = model["merges"].as_array().into_iter().flatten();
    merges
        .filter_map(|merge| match merge {
            Json::String(text) => Some(text.clone()),
            Json::Array(pair) => {
                // A space within a token is written as its stand-in.
                let part = |at: usize| Some(pair.get(at)?.as_str()?.replace(' ', "\u{120}"));
                Some(format!("{} {}", part(0)?, part(1)?))
            }
            _ => None,
        })
        .collect()
}
