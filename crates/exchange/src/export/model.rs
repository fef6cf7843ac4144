//! The files of a Hugging Face model beside its weights.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::shards::put;
use crate::error::ExchangeError;
use seedpress_checkpoint::companions;

use crate::packed::config::{folder_of, json};

/// A model's configuration and vocabulary.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    folder: PathBuf,
    config: Value,
}

impl ModelFiles {
    /// Reads the `config.json` of a folder, or of the folder a file is in.
    ///
    /// # Errors
    /// There is none, or it is no JSON.
    pub fn beside(path: &Path) -> Result<Self, ExchangeError> {
        let folder = folder_of(path);
        let config = json(&folder.join("config.json"))?.ok_or_else(|| {
            let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            ExchangeError::Model(format!(
                "{}: there is no config.json, which describes the model: name its folder with --config",
                place.display()
            ))
        })?;
        Ok(Self { folder: folder.to_owned(), config })
    }

    /// The same of the folder `config` where one is given, and else of the one with the weights.
    ///
    /// # Errors
    /// [`ExchangeError::Model`] where neither says what model it is, and as [`beside`](Self::beside).
    pub fn of(weights: &Path, config: Option<&Path>) -> Result<Self, ExchangeError> {
        let own = Some(folder_of(weights)).filter(|folder| folder.join("config.json").is_file());
        let folder = config.or(own).ok_or_else(|| {
            ExchangeError::Model(format!(
                "{}: there is no config.json beside it, which says what model it is: name a folder that holds config.json, \
                 tokenizer.json and the weights, or with evaluate, audit and export the folder of the former by --config (in an \
                 experiment by `config`)",
                weights.display()
            ))
        })?;
        Self::beside(folder)
    }

    /// `config.json`.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// A number of the configuration under the first of some names.
    pub fn number(&self, names: &[&str]) -> Option<f64> {
        names.iter().find_map(|name| self.config.get(name)?.as_f64())
    }

    /// A whole number of the configuration under the first of some names.
    pub fn count(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.config.get(name)?.as_u64())
    }

    /// The model's kind, e.g. `llama`.
    pub fn kind(&self) -> &str {
        self.config.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// A JSON file of the folder, `None` where there is none.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn json(&self, name: &str) -> Result<Option<Value>, ExchangeError> {
        json(&self.folder.join(name))
    }

    /// Copies tokenizer and generation files to another folder.
    ///
    /// # Errors
    /// The operating system's.
    pub fn copy_companions(&self, to: &Path) -> Result<(), ExchangeError> {
        for name in companions::NAMES.iter().filter(|&&name| name != companions::CONFIG) {
            let from = self.folder.join(name);
            if !from.is_file() {
                continue;
            }
            // Read before it is written: the two may be one file under two names.
            let bytes = std::fs::read(&from).map_err(ExchangeError::io(&from))?;
            put(&to.join(name), &bytes)?;
        }
        Ok(())
    }
}
