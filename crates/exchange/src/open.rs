//! Opens whatever holds weights.

use std::path::Path;

use crate::error::ExchangeError;
use crate::gguf::Gguf;
use crate::kind::{Kind, recognise};
use crate::mapped::Mapped;
use crate::numpy::{Npy, Npz};
use crate::packed::PackedCheckpoint;
use crate::pytorch::PyTorch;
use crate::source::TensorSource;

/// Opens a file of weights in any format that is read, or the folder of a checkpoint.
///
/// # Errors
/// A file that cannot be read, that is damaged, or of another kind, which is then named.
pub fn open(path: &Path) -> Result<Box<dyn TensorSource>, ExchangeError> {
    if path.is_dir() {
        return folder(path);
    }
    let map = Mapped::open(path)?;
    let kind = recognise(path, &map);
    drop(map);
    Ok(match kind {
        Kind::Npy => Box::new(Npy::open(path)?),
        Kind::Npz => Box::new(Npz::open(path)?),
        Kind::PytorchZip | Kind::Pickle => Box::new(PyTorch::open(path)?),
        Kind::Gguf => Box::new(Gguf::open(path)?),
        Kind::Safetensors | Kind::Index => Box::new(PackedCheckpoint::open(path)?),
        Kind::Other(what) => return Err(ExchangeError::OtherKind { path: path.to_owned(), what }),
    })
}

/// The weights of a folder: safetensors where there are any, or the one file of another format.
fn folder(path: &Path) -> Result<Box<dyn TensorSource>, ExchangeError> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .map_err(ExchangeError::io(path))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.is_file())
        .collect();
    names.sort();
    let with = |extensions: &[&str]| -> Vec<&std::path::PathBuf> {
        let has = |file: &&std::path::PathBuf| {
            file.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e))
        };
        names.iter().filter(has).collect()
    };
    if !with(&["safetensors"]).is_empty() {
        return Ok(Box::new(PackedCheckpoint::open(path)?));
    }
    match with(&["gguf", "pt", "pth", "bin", "npz"]).as_slice() {
        [file] => open(file),
        [] => Err(ExchangeError::OtherKind {
            path: path.to_owned(),
            what: "this folder holds no .safetensors, .gguf, .pt, .pth, .bin or .npz file".to_owned(),
        }),
        [first, ..] => Err(ExchangeError::OtherKind {
            path: path.to_owned(),
            what: format!("this folder holds several files of weights: name one, e.g. {}", first.display()),
        }),
    }
}
