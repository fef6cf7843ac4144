//! Which files of a folder are its weights.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use seedpress_checkpoint::{Checkpoint, Content, SavedTensor, save_safetensors};
use seedpress_transformer::{MappedWeights, Weights};

fn save(path: &Path, value: f32) {
    let bytes = [value; 6].iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = SavedTensor { dtype: "F32".to_owned(), shape: vec![2, 3], bytes };
    save_safetensors(path, &[("w".to_owned(), tensor)], &Default::default()).unwrap();
}

/// The value that runs, and the value that is compressed.
fn values(folder: &Path) -> [f32; 2] {
    let runs = MappedWeights::open(folder).unwrap().values("w", 0..6).unwrap()[0];
    let Content::Float(compressed) = Checkpoint::open(folder).unwrap().load(0).unwrap() else { panic!("no floats") };
    [runs, compressed.values()[0]]
}

#[test]
fn what_runs_is_what_is_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    save(&file("model-00001-of-00001.safetensors"), 2.0);
    std::fs::write(
        file("model.safetensors.index.json"),
        r#"{"weight_map": {"w": "model-00001-of-00001.safetensors"}}"#,
    )
    .unwrap();
    assert_eq!(values(folder.path()), [2.0, 2.0]);
    // A file beside the shards of an index: of the two, both read the same.
    save(&file("model.safetensors"), 1.0);
    let [runs, compressed] = values(folder.path());
    assert_eq!(runs, compressed);
    std::fs::remove_file(file("model.safetensors.index.json")).unwrap();
    assert_eq!(values(folder.path()), [1.0, 1.0]);
    std::fs::remove_file(file("model.safetensors")).unwrap();
    std::fs::remove_file(file("model-00001-of-00001.safetensors")).unwrap();
    let error = MappedWeights::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds no model.safetensors"), "{error}");
}
