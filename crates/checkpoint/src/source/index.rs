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
    /// Files of weights beside those of a folder or an index, which are not read.
    pub(super) left_out: Vec<PathBuf>,
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Finds the files of a path.
pub(super) fn find(path: &Path) -> Result<Files, CheckpointError> {
    let mut files = if path.is_dir() {
        in_folder(path)?
    } else if path.extension().is_some_and(|extension| extension == "json") {
        of_index(path)?
    } else {
        return Ok(alone(path));
    };
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = weights_in(folder)?;
    let read: Vec<_> = files.shards.iter().map(|shard| shard.file_name()).collect();
    files.left_out = beside.into_iter().filter(|file| !is_index(file) && !read.contains(&file.file_name())).collect();
    Ok(files)
}

fn alone(path: &Path) -> Files {
    Files { path: path.to_owned(), shards: vec![path.to_owned()], promised: None, left_out: Vec::new() }
}

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "json")
}

/// Safetensors files and indices of a folder, sorted.
fn weights_in(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(CheckpointError::io(folder))? {
        let path = entry.map_err(CheckpointError::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') && (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// An index says what belongs together; without one a single file must be the only one, and whole.
fn in_folder(folder: &Path) -> Result<Files, CheckpointError> {
    let index = folder.join(INDEX);
    if index.is_file() {
        return of_index(&index);
    }
    let single = folder.join(SINGLE);
    if single.is_file() {
        return Ok(alone(&single));
    }
    let fault = |why: String| CheckpointError::Unusable { path: folder.to_owned(), why };
    let found = weights_in(folder)?;
    let indices: Vec<&PathBuf> = found.iter().filter(|path| is_index(path)).collect();
    let shard = found.iter().find_map(|path| Some((path, shard_number(path)?)));
    match (indices.as_slice(), found.as_slice(), shard) {
        ([index], ..) => of_index(index),
        ([], [], _) => Err(fault(format!("the folder holds no {SINGLE}, no {INDEX} and no other .safetensors file"))),
        ([], _, Some((path, (number, count)))) => Err(fault(format!(
            "{} is shard {number} of {count}, and the index that names them all is not here: {INDEX}",
            path.file_name().unwrap_or_default().to_string_lossy(),
        ))),
        ([], [file], None) => Ok(alone(file)),
        _ => Err(fault(format!("the folder holds several checkpoints and no {INDEX}: name a file"))),
    }
}

/// Which of how many shards, at least two, a file is by its name: `..-00001-of-00002.safetensors`.
pub(super) fn shard_number(path: &Path) -> Option<(u32, u32)> {
    let (name, count) = path.file_stem()?.to_str()?.rsplit_once("-of-")?;
    let (_, number) = name.rsplit_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parse = |text: &str| text.parse().ok().filter(|_| digits(text));
    Some((parse(number)?, parse(count)?)).filter(|&(_, count)| count > 1)
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
    Ok(Files { path: path.to_owned(), shards, promised, left_out: Vec::new() })
}
