//! Files beside a model's weights, which say what the weights are: configuration, vocabulary, generation.
//!
//! A container carries them in its metadata, whose keys are `file:` and the file's name; what is no text is in base64 behind
//! `file;base64:`. Only files of the names below are carried and written, whatever a container says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::CheckpointError;
use crate::output::write_atomic;

/// The file that describes a model.
pub const CONFIG: &str = "config.json";
/// Files that go with a model, where they are there.
pub const NAMES: &[&str] = &[
    CONFIG,
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "generation_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
];
const TEXT: &str = "file:";
const BINARY: &str = "file;base64:";

/// The files of a folder as metadata; none where there is no `config.json`.
///
/// # Errors
/// A file that cannot be read.
pub fn read(folder: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let mut found = BTreeMap::new();
    if !folder.join(CONFIG).is_file() {
        return Ok(found);
    }
    for name in NAMES {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(CheckpointError::io(&path))?;
        let (key, value) = match String::from_utf8(bytes) {
            Ok(text) => (TEXT, text),
            Err(error) => (BINARY, STANDARD.encode(error.as_bytes())),
        };
        found.insert(format!("{key}{name}"), value);
    }
    Ok(found)
}

/// The names of the files in some metadata.
pub fn names(metadata: &BTreeMap<String, String>) -> Vec<&'static str> {
    files(metadata).map(|(name, _)| name).collect()
}

/// The files in some metadata.
fn files(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = (&'static str, Cow<'_, [u8]>)> {
    let content = |name: &str| match metadata.get(&format!("{TEXT}{name}")) {
        Some(text) => Some(Cow::Borrowed(text.as_bytes())),
        None => STANDARD.decode(metadata.get(&format!("{BINARY}{name}"))?).ok().map(Cow::Owned),
    };
    NAMES.iter().filter_map(move |&name| Some((name, content(name)?)))
}

/// Writes the files in some metadata into a folder, and returns their names.
///
/// # Errors
/// The operating system's.
pub fn write(metadata: &BTreeMap<String, String>, folder: &Path) -> Result<Vec<&'static str>, CheckpointError> {
    let one = |(name, bytes): (&'static str, Cow<'_, [u8]>)| {
        write_atomic(&folder.join(name), |output| output.write_all(&bytes)).map(|()| name)
    };
    files(metadata).map(one).collect()
}

/// About the bytes that files take in a container: those of one zstd frame.
pub fn packed_len(metadata: &BTreeMap<String, String>) -> u64 {
    let all: String = metadata.values().map(String::as_str).collect();
    zstd::bulk::compress(all.as_bytes(), 19).map_or(all.len(), |packed| packed.len()) as u64
}

/// Metadata without files: what a checkpoint has of its own.
pub fn without(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_file = |key: &str| [TEXT, BINARY].iter().any(|start| key.starts_with(start));
    metadata.iter().filter(|(key, _)| !is_file(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_and_no_others() {
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("tokenizer.model"), [0xff, 0, 1]).unwrap();
        assert!(read(from.path()).unwrap().is_empty());
        std::fs::write(from.path().join("config.json"), "{\"ö\": 1}").unwrap();
        std::fs::write(from.path().join("notes.txt"), "mine").unwrap();
        let mut metadata = read(from.path()).unwrap();
        assert_eq!(metadata.keys().collect::<Vec<_>>(), ["file:config.json", "file;base64:tokenizer.model"]);
        metadata.insert("format".to_owned(), "pt".to_owned());
        metadata.insert("file:../config.json".to_owned(), "evil".to_owned());
        metadata.insert("file;base64:vocab.json".to_owned(), "no base64".to_owned());
        assert_eq!(write(&metadata, to.path()).unwrap(), ["config.json", "tokenizer.model"]);
        assert_eq!(std::fs::read(to.path().join("tokenizer.model")).unwrap(), [0xff, 0, 1]);
        assert_eq!(std::fs::read(to.path().join("config.json")).unwrap(), "{\"ö\": 1}".as_bytes());
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 2);
        assert_eq!(without(&metadata).into_iter().collect::<Vec<_>>(), [("format".to_owned(), "pt".to_owned())]);
    }
}
