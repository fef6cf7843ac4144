//! Language models in any format that is read, ready to be run.

use std::path::{Path, PathBuf};

use seedpress_checkpoint::container::is_container;
use seedpress_checkpoint::{ContainerFile, Output, Overwrite, companions};
use seedpress_exchange::export::{PackedOptions, Target, write_packed};
use seedpress_exchange::packed::Layout;
use seedpress_exchange::{FileSupply, ModelFiles};
use seedpress_press::{Control, Restore, decompress};
use seedpress_transformer::Transformer;
use seedpress_transformer::text::{Tokens, read_documents, tokenise, tokenizer};
use seedpress_zoo::fetch;

use crate::common::container;
use crate::failure::{Failure, Outcome};
use crate::foreign::Foreign;

/// Bytes of a file that weights are decoded into; as many are held in memory.
const SHARD: u64 = 256 << 20;

/// What a file of weights alone lacks.
const NO_MODEL: &str = "there is no config.json beside it, which says what model it is: name a folder that holds config.json, \
                        tokenizer.json and the weights, or with evaluate, audit and export the folder of the former by --config";

/// A model, and the folder that it was decoded to where its file is not run as it is.
pub struct Language {
    pub model: Transformer,
    _decoded: Option<tempfile::TempDir>,
}

impl Language {
    /// Opens the folder of a checkpoint, a language model that was fetched, or any file of weights. Where the file has no configuration
    /// and tokenizer beside it, those of the folder `config` are taken.
    pub fn open(path: &Path, config: Option<&Path>) -> Result<Self, Failure> {
        let path = folder(path)?;
        if path.is_dir() && is_plain(&path)? {
            let model = Transformer::open(&path).map_err(Failure::data)?;
            return Ok(Self { model, _decoded: None });
        }
        let decoded = tempfile::tempdir().map_err(Failure::data)?;
        let container = match is_container(&path) {
            true => Some(container(&path, None)?),
            false => None,
        };
        let carried = |file: &&ContainerFile| companions::names(&file.index().metadata).contains(&companions::CONFIG);
        if let Some(file) = container.as_ref().filter(carried).filter(|_| config.is_none()) {
            companions::write(&file.index().metadata, decoded.path()).map_err(Failure::data)?;
            restore(file, decoded.path())?;
        } else {
            let own = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
            let own = own.filter(|folder| folder.join("config.json").is_file());
            let config = config.or(own).ok_or_else(|| {
                let path = path.display();
                Failure::usage(format!("{path}: {NO_MODEL}"))
            })?;
            let files = ModelFiles::beside(config).map_err(Failure::data)?;
            match &container {
                Some(file) => {
                    files.copy_companions(decoded.path()).map_err(Failure::data)?;
                    std::fs::write(decoded.path().join("config.json"), files.config().to_string())
                        .map_err(Failure::data)?;
                    restore(file, decoded.path())?;
                }
                None => decode(&path, Some(&files), decoded.path())?,
            }
        }
        let model = Transformer::open(decoded.path()).map_err(Failure::data)?;
        Ok(Self { model, _decoded: Some(decoded) })
    }
}

/// The documents of some files as the tokens of the tokenizer in `folder`.
pub fn tokens(folder: &Path, paths: &[PathBuf]) -> Result<Vec<Tokens>, Failure> {
    let tokenizer = tokenizer(folder)?;
    let mut tokens = Vec::new();
    for path in paths {
        for document in read_documents(path)? {
            tokens.push(tokenise(&tokenizer, &document.text)?);
        }
    }
    Ok(tokens)
}

/// The context that was asked for with `--context`, of at most `most` tokens.
pub fn context(asked: u32, most: usize) -> Result<usize, Failure> {
    match asked as usize {
        context if context > most => {
            Err(Failure::usage(format!("--context {context}: the model was made for {most} tokens")))
        }
        context => Ok(context),
    }
}

/// The folder of a language model: the path itself, or where a fetched one lies.
pub fn folder(path: &Path) -> Result<PathBuf, Failure> {
    let package = path.to_str().filter(|_| !path.exists()).and_then(fetch::package);
    match package {
        None => Ok(path.to_owned()),
        Some(package) if fetch::is_here(package) => Ok(fetch::folder(package.model)),
        Some(package) => Err(Failure::data(format!("{0} is not here: seedpress models fetch {0}", package.model))),
    }
}

/// A path whose weights are plain safetensors: the one given, or a folder that a file of another format was decoded into.
pub fn plain(path: &Path) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
    if Foreign::open(path)?.is_none() {
        return Ok((path.to_owned(), None));
    }
    let decoded = tempfile::tempdir().map_err(Failure::data)?;
    decode(path, None, decoded.path())?;
    Ok((decoded.path().to_owned(), Some(decoded)))
}

/// Whether a folder's weights are safetensors that are not packed.
fn is_plain(folder: &Path) -> Result<bool, Failure> {
    let plain = ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| folder.join(name).is_file());
    Ok(plain && Layout::of_folder(folder).map_err(Failure::data)?.is_none())
}

/// The weights of a container.
fn restore(file: &ContainerFile, to: &Path) -> Outcome {
    let output = Output::create(&to.join("model.safetensors"), Overwrite::Refuse, &[file.path()]);
    let output = output.map_err(Failure::data)?;
    decompress(file, &seedpress::registry(), &Restore::default(), &Control::default(), output)?;
    Ok(())
}

/// Decodes a file into plain weights: the operating system maps what is read of them.
fn decode(path: &Path, files: Option<&ModelFiles>, to: &Path) -> Outcome {
    let supply = FileSupply::open(path).map_err(Failure::data)?;
    let (codec, keep) = (|_: &str| None, |_: &str| false);
    let target = Target::Safetensors(None);
    let options = PackedOptions { target, codec: &codec, requantise: false, keep: &keep, shard: SHARD };
    write_packed(&supply, files, &options, to, &|_| {}).map_err(Failure::data)?;
    Ok(())
}
