//! Where the weights of a model lie.

use std::path::PathBuf;

use crate::catalogue::ModelInfo;
use crate::{assets, fetch};

impl ModelInfo {
    /// The file that holds the weights, whether it is there or not; `None` where they are generated.
    pub fn file(&self) -> Option<PathBuf> {
        (!self.synthetic).then(|| weight_file(self.name))
    }
}

/// The file that holds a model's weights.
pub(crate) fn weight_file(name: &str) -> PathBuf {
    match fetch::package(name) {
        Some(_) => fetch::folder(name).join("model.safetensors"),
        None => assets::asset(&format!("{name}/model.safetensors")),
    }
}
