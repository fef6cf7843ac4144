//! Language models in any format that is read, ready to be run.

use std::path::{Path, PathBuf};

use seedpress_checkpoint::container::is_container;
use seedpress_checkpoint::{ContainerFile, Output, Overwrite, companions};
use seedpress_exchange::{ExchangeError, ModelFiles, Plain};
use seedpress_press::{Control, Restore, decompress};
use seedpress_transformer::Transformer;
use seedpress_transformer::text::{Tokens, read_documents, tokenise, tokenizer};
use seedpress_zoo::fetch;

use crate::common::container;
use crate::failure::{Failure, Outcome};

/// A model, and the folder that it was decoded to where its file is not run as it is.
pub(crate) struct Language {
    pub model: Transformer,
    _decoded: Decoded,
}

/// What has to stay for as long as the model runs.
#[allow(dead_code)] // Held for what goes when it is dropped.
enum Decoded {
    Weights(Plain),
    Container(tempfile::TempDir),
}

impl Language {
    /// Opens the folder of a checkpoint, a language model that was fetched, or any file of weights. Where the file has no configuration
    /// and tokenizer beside it, those of the folder `config` are taken.
    pub(crate) fn open(path: &Path, config: Option<&Path>) -> Result<Self, Failure> {
        let path = folder(path)?;
        if !is_container(&path) {
            let plain = Plain::model(&path, config).map_err(|error| match error {
                ExchangeError::Model(_) => Failure::usage(error),
                error => Failure::data(error),
            })?;
            let model = Transformer::open(plain.path()).map_err(Failure::data)?;
            return Ok(Self { model, _decoded: Decoded::Weights(plain) });
        }
        let (file, decoded) = (container(&path, None)?, tempfile::tempdir().map_err(Failure::data)?);
        let carries = companions::names(&file.index().metadata).contains(&companions::CONFIG);
        if carries && config.is_none() {
            companions::write(&file.index().metadata, decoded.path()).map_err(Failure::data)?;
        } else {
            let files = ModelFiles::of(&path, config).map_err(Failure::usage)?;
            files.copy_companions(decoded.path()).map_err(Failure::data)?;
            std::fs::write(decoded.path().join(companions::CONFIG), files.config().to_string())
                .map_err(Failure::data)?;
        }
        restore(&file, decoded.path())?;
        let model = Transformer::open(decoded.path()).map_err(Failure::data)?;
        Ok(Self { model, _decoded: Decoded::Container(decoded) })
    }
}

/// The documents of some files as the tokens of the tokenizer in `folder`.
pub(crate) fn tokens(folder: &Path, paths: &[PathBuf]) -> Result<Vec<Tokens>, Failure> {
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
pub(crate) fn context(asked: u32, most: usize) -> Result<usize, Failure> {
    match asked as usize {
        context if context > most => {
            Err(Failure::usage(format!("--context {context}: the model was made for {most} tokens")))
        }
        context => Ok(context),
    }
}

/// The folder of a language model: the path itself, or where a fetched one lies.
pub(crate) fn folder(path: &Path) -> Result<PathBuf, Failure> {
    let package = path.to_str().filter(|_| !path.exists()).and_then(fetch::package);
    match package {
        None => Ok(path.to_owned()),
        Some(package) if fetch::is_here(package) => Ok(fetch::folder(package.model)),
        Some(package) => Err(Failure::data(format!("{0} is not here: seedpress models fetch {0}", package.model))),
    }
}

/// The weights of a container.
fn restore(file: &ContainerFile, to: &Path) -> Outcome {
    let output = Output::create(&to.join("model.safetensors"), Overwrite::Refuse, &[file.path()]);
    let output = output.map_err(Failure::data)?;
    decompress(file, &seedpress::registry(), &Restore::default(), &Control::default(), output)?;
    Ok(())
}
