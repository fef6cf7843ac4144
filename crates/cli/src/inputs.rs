//! Files behind the paths that a command reads: none of them may become its output.

use std::path::{Path, PathBuf};

/// Endings of what is read of a folder: weights, descriptions, tokenizers, text.
const READ: [&str; 11] = ["safetensors", "gguf", "pt", "pth", "bin", "npz", "npy", "json", "jsonl", "model", "txt"];

/// The files of a folder, the shards that an index names, the weights of a model of the zoo; a file is itself.
pub(crate) fn files(paths: &[&Path]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| is_read(path)).for_each(|path| file(path, &mut files));
        } else {
            file((*path).to_owned(), &mut files);
        }
    }
    files
}

fn is_read(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    READ.iter().any(|read| extension.eq_ignore_ascii_case(read))
}

fn file(path: PathBuf, files: &mut Vec<PathBuf>) {
    if !path.exists()
        && let Some(weights) = path.to_str().and_then(|name| seedpress_zoo::info(name)?.file())
    {
        files.push(weights);
    }
    if path.to_string_lossy().ends_with(".index.json") {
        files.extend(shards(&path));
    }
    files.push(path);
}

/// What an index names; nothing where it is none: opening it says so.
fn shards(index: &Path) -> Vec<PathBuf> {
    let read = || -> Option<Vec<PathBuf>> {
        let index_json: serde_json::Value = serde_json::from_slice(&std::fs::read(index).ok()?).ok()?;
        let mut names: Vec<&str> =
            index_json["weight_map"].as_object()?.values().filter_map(serde_json::Value::as_str).collect();
        names.sort_unstable();
        names.dedup();
        Some(names.into_iter().map(|name| index.with_file_name(name)).collect())
    };
    read().unwrap_or_default()
}
