//! Which files make a checkpoint: one file, the shards of an index, or a folder as the Hugging Face hub lays it out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::container::shards::FORMAT;
use crate::error::CheckpointError;

/// The files of a checkpoint, and for each tensor of an index the file that must hold it.
#[derive(Debug)]
pub(super) struct Files {
    /// What was asked for, or what was found in a folder.
    pub(super) path: PathBuf,
    pub(super) shards: Vec<PathBuf>,
    /// Tensor to place in `shards`; `None` without an index.
    pub(super) promised: Option<BTreeMap<String, usize>>,
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Finds the files of a path.
pub(super) fn find(path: &Path) -> Result<Files, CheckpointError> {
    if path.is_dir() {
        return in_folder(path);
    }
    if path.extension().is_some_and(|extension| extension == "json") {
        return of_index(path);
    }
    Ok(Files { path: path.to_owned(), shards: vec![path.to_owned()], promised: None })
}

/// An index says what belongs together; without one a single file must be the only one.
fn in_folder(folder: &Path) -> Result<Files, CheckpointError> {
    let index = folder.join(INDEX);
    if index.is_file() {
        return of_index(&index);
    }
    let single = folder.join(SINGLE);
    if single.is_file() {
        return find(&single);
    }
    let fault = |why: String| CheckpointError::Index { path: folder.to_owned(), why };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(CheckpointError::io(folder))? {
        let path = entry.map_err(CheckpointError::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') && (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")) {
            found.push(path);
        }
    }
    found.sort();
    let indices: Vec<&PathBuf> =
        found.iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    match (indices.as_slice(), found.as_slice()) {
        ([index], _) => of_index(index),
        ([], [file]) => find(file),
        ([], []) => Err(fault(format!("the folder holds no {SINGLE}, no {INDEX} and no other .safetensors file"))),
        _ => Err(fault(format!("the folder holds several checkpoints and no {INDEX}: name a file"))),
    }
}

fn of_index(path: &Path) -> Result<Files, CheckpointError> {
    let fault = |why: String| CheckpointError::Index { path: path.to_owned(), why };
    let text = std::fs::read(path).map_err(CheckpointError::io(path))?;
    let index: serde_json::Value = serde_json::from_slice(&text).map_err(|error| fault(error.to_string()))?;
    if index["format"] == FORMAT {
        let why = "it names .sdp shards, compressed already: `seedpress decompress` turns them back into a checkpoint";
        return Err(fault(why.to_owned()));
    }
    let weights =
        index.get("weight_map").and_then(|map| map.as_object()).ok_or_else(|| fault("no `weight_map`".into()))?;
    if weights.is_empty() {
        return Err(fault("its `weight_map` names no tensor".to_owned()));
    }
    let mut names = Vec::new();
    for value in weights.values() {
        let name = value.as_str().ok_or_else(|| fault("a `weight_map` value is no file name".into()))?;
        // A shard lies beside its index: a path that leads elsewhere is an attack or a mistake.
        if Path::new(name).file_name().is_none_or(|file| file != name) {
            return Err(fault(format!("shard `{name}` is not a plain file name")));
        }
        names.push(name);
    }
    names.sort_unstable();
    names.dedup();
    let place = |name: &str| names.binary_search(&name).unwrap_or(0);
    let promised = weights.iter().map(|(tensor, file)| (tensor.clone(), place(file.as_str().unwrap_or_default())));
    let promised = Some(promised.collect());
    let shards = names.iter().map(|name| path.with_file_name(name)).collect();
    Ok(Files { path: path.to_owned(), shards, promised })
}
