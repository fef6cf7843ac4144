//! Text files, tokenised once.

use std::path::{Path, PathBuf};

use tokenizers::Tokenizer;

use crate::error::TransformerError;

/// A text that stands by itself: a file, or a line of a `.jsonl` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// File, and line where a file holds several.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Reads documents: a plain file is one, every line `{"text": ".."}` of a `.jsonl` file is one, a folder is what its `.txt`, `.md` and
/// `.jsonl` files are, in the order of their names.
///
/// # Errors
/// Files that are missing, no UTF-8, or lines without a text; no document at all.
pub fn read_documents(path: &Path) -> Result<Vec<Document>, TransformerError> {
    let mut documents = Vec::new();
    if path.is_dir() {
        let listing = std::fs::read_dir(path).map_err(TransformerError::io(path))?;
        let mut files: Vec<PathBuf> = listing.filter_map(Result::ok).map(|entry| entry.path()).collect();
        files.retain(|file| {
            let known = |end: &std::ffi::OsStr| ["txt", "md", "jsonl"].iter().any(|known| end == *known);
            file.is_file() && file.extension().is_some_and(known)
        });
        files.sort();
        files.iter().try_for_each(|file| read_file(file, &mut documents))?;
    } else {
        read_file(path, &mut documents)?;
    }
    documents.retain(|document| !document.text.is_empty());
    match documents.is_empty() {
        true => Err(TransformerError::file(path, "holds no text")),
        false => Ok(documents),
    }
}

fn read_file(path: &Path, documents: &mut Vec<Document>) -> Result<(), TransformerError> {
    let bytes = std::fs::read(path).map_err(TransformerError::io(path))?;
    let text = String::from_utf8(bytes).map_err(|error| TransformerError::file(path, error))?;
    let name = path.display().to_string();
    if path.extension().is_none_or(|end| end != "jsonl") {
        documents.push(Document { name, text });
        return Ok(());
    }
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |why: &str| TransformerError::file(path, format!("line {}: {why}", at + 1));
        let parsed: serde_json::Value = serde_json::from_str(line).map_err(|error| bad(&error.to_string()))?;
        let text = parsed.get("text").and_then(serde_json::Value::as_str).ok_or_else(|| bad("no `text`"))?;
        documents.push(Document { name: format!("{name}:{}", at + 1), text: text.to_owned() });
    }
    Ok(())
}

/// The tokenizer of a model's folder.
///
/// # Errors
/// A `tokenizer.json` that is missing or damaged.
pub fn tokenizer(folder: &Path) -> Result<Tokenizer, TransformerError> {
    let path = folder.join("tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| TransformerError::file(&path, error))?;
    // Both cut or fill what they should leave alone.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| TransformerError::file(&path, error))?;
    Ok(tokenizer)
}

/// A document as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// With the special tokens that the tokenizer puts around a text.
    pub ids: Vec<u32>,
    /// Bytes of the text behind the first token: those that are predicted.
    pub predicted_bytes: usize,
}

/// Tokenises a text.
///
/// # Errors
/// What the tokenizer says.
pub fn tokenise(tokenizer: &Tokenizer, text: &str) -> Result<Tokens, TransformerError> {
    let encoding = tokenizer.encode(text, true).map_err(|error| TransformerError::Input(error.to_string()))?;
    let first = match (encoding.get_special_tokens_mask().first(), encoding.get_offsets().first()) {
        (Some(0), Some(&(_, end))) => end,
        _ => 0,
    };
    Ok(Tokens { ids: encoding.get_ids().to_vec(), predicted_bytes: text.len() - first.min(text.len()) })
}

/// A stretch of a document that goes through the model by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Which document.
    pub document: usize,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// The first of them whose prediction counts; those before are context, counted by an earlier window.
    pub first: usize,
}

/// Cuts documents into windows of at most `context` tokens that start `stride` tokens apart. Every token but a document's first is
/// predicted once.
pub fn windows(documents: &[Tokens], context: usize, stride: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    for (document, tokens) in documents.iter().enumerate() {
        let ids = &tokens.ids;
        let (mut start, mut counted) = (0, 1);
        while counted < ids.len() {
            let end = (start + context).min(ids.len());
            windows.push(Window { document, tokens: ids[start..end].to_vec(), first: counted - start });
            counted = end;
            // The first token that counts needs one before it.
            start = (start + stride).min(counted - 1);
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_predicted_once() {
        let documents: Vec<Tokens> =
            [1, 2, 10, 16, 17, 40].map(|count| Tokens { ids: (0..count).collect(), predicted_bytes: 0 }).into();
        for (context, stride) in [(16, 16), (16, 8), (10, 3), (2, 1)] {
            for (document, tokens) in documents.iter().enumerate() {
                let own = windows(&documents, context, stride).into_iter().filter(|window| window.document == document);
                let predicted: Vec<u32> = own
                    .flat_map(|window| {
                        assert!(window.tokens.len() <= context && window.first > 0);
                        window.tokens[window.first..].to_vec()
                    })
                    .collect();
                assert_eq!(predicted, tokens.ids[1..], "{context} {stride}");
            }
        }
    }

    #[test]
    fn documents_are_files_and_lines() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.txt"), "two\nlines").unwrap();
        std::fs::write(folder.path().join("a.jsonl"), "{\"text\": \"one\"}\n\n{\"text\": \"two\", \"id\": 7}\n")
            .unwrap();
        std::fs::write(folder.path().join("c.bin"), [255u8]).unwrap();
        let texts: Vec<String> =
            read_documents(folder.path()).unwrap().into_iter().map(|document| document.text).collect();
        assert_eq!(texts, ["one", "two", "two\nlines"]);
        std::fs::write(folder.path().join("a.jsonl"), "{\"texts\": 1}").unwrap();
        assert!(read_documents(folder.path()).unwrap_err().to_string().contains("line 1: no `text`"));
        assert!(read_documents(&folder.path().join("c.bin")).is_err());
    }
}
