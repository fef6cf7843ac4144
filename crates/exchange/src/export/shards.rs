//! Files of weights in a folder, one after the other, and the index that names them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use seedpress_checkpoint::{SavedTensor, Unnamed, save_unnamed, write_atomic};
use serde_json::{Value, json};

use crate::error::ExchangeError;

/// What a folder of one file calls it.
const SINGLE: &str = "model.safetensors";
/// What names the tensors of several.
const INDEX: &str = "model.safetensors.index.json";

/// A file that is written and has no name yet.
struct Part {
    tensors: Vec<String>,
    /// Bytes of values.
    size: u64,
    file: Unnamed,
}

/// Files of weights. How many there will be is not known before the last: they get their names then.
pub(super) struct Shards<'a> {
    folder: &'a Path,
    limit: u64,
    held: Vec<(String, SavedTensor)>,
    size: u64,
    parts: Vec<Part>,
}

impl<'a> Shards<'a> {
    /// Files of about `limit` bytes, which are held in memory until a file is full.
    pub(super) fn new(folder: &'a Path, limit: u64) -> Self {
        Self { folder, limit, held: Vec::new(), size: 0, parts: Vec::new() }
    }

    /// Takes the next tensor.
    pub(super) fn push(&mut self, name: String, tensor: SavedTensor) -> Result<(), ExchangeError> {
        let bytes = tensor.bytes.len() as u64;
        if self.size > 0 && self.size + bytes > self.limit {
            self.flush()?;
        }
        self.size += bytes;
        self.held.push((name, tensor));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ExchangeError> {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let path = self.folder.join(format!("model-{:05}.safetensors", self.parts.len() + 1));
        let file = save_unnamed(&path, &self.held, &metadata)?;
        let tensors = self.held.drain(..).map(|(name, _)| name).collect();
        self.parts.push(Part { tensors, size: std::mem::take(&mut self.size), file });
        Ok(())
    }

    /// Names the files, writes the index, and removes what an earlier export left under such names, which loaders would take for
    /// parts of this one; returns the bytes of all.
    pub(super) fn finish(mut self) -> Result<u64, ExchangeError> {
        if !self.held.is_empty() || self.parts.is_empty() {
            self.flush()?;
        }
        let count = self.parts.len();
        let name = |number: usize| match count {
            1 => SINGLE.to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        let names: Vec<String> = (0..count).map(name).collect();
        let size: u64 = self.parts.iter().map(|part| part.size).sum();
        let (mut total, mut map) = (0, serde_json::Map::new());
        for (part, name) in self.parts.into_iter().zip(&names) {
            total += part.file.name(&self.folder.join(name))?;
            part.tensors.into_iter().for_each(|tensor| drop(map.insert(tensor, json!(name))));
        }
        if count > 1 {
            let index = json!({"metadata": {"total_size": size}, "weight_map": map});
            put_json(&self.folder.join(INDEX), &index)?;
        }
        remove_stale(self.folder, &names)?;
        Ok(total)
    }
}

/// Removes files of weights under this module's names that are none of `written`.
fn remove_stale(folder: &Path, written: &[String]) -> Result<(), ExchangeError> {
    for entry in std::fs::read_dir(folder).map_err(ExchangeError::io(folder))? {
        let entry = entry.map_err(ExchangeError::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let stale = if name == INDEX { written.len() == 1 } else { is_ours(&name) && !written.contains(&name) };
        if stale {
            std::fs::remove_file(entry.path()).map_err(ExchangeError::io(&entry.path()))?;
        }
    }
    Ok(())
}

/// Whether a file of weights has a name that [`Shards`] gives.
fn is_ours(name: &str) -> bool {
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = name.strip_prefix("model-").and_then(|name| name.strip_suffix(".safetensors"));
    name == SINGLE || numbers.and_then(|text| text.split_once("-of-")).is_some_and(|(a, b)| digits(a) && digits(b))
}

/// Writes a JSON file, whole or not at all.
pub(super) fn put_json(path: &Path, value: &Value) -> Result<(), ExchangeError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| ExchangeError::Model(error.to_string()))?;
    text.push('\n');
    put(path, text.as_bytes())
}

/// Writes a file of a folder, whole or not at all. A link that has its name is replaced, not followed: it may lead to an input.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), ExchangeError> {
    if path.is_symlink() {
        std::fs::remove_file(path).map_err(ExchangeError::io(path))?;
    }
    Ok(write_atomic(path, |file| file.write_all(bytes))?)
}
