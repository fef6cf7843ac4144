//! Reading and writing safetensors files, whole, sharded and damaged.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use seedpress_checkpoint::{Checkpoint, CheckpointError, Content, SavedTensor, save_safetensors};

fn f32s(values: &[f32], shape: &[usize]) -> SavedTensor {
    SavedTensor {
        dtype: "F32".into(),
        shape: shape.to_vec(),
        bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn write(path: &Path, name: &str) {
    let integers = SavedTensor { dtype: "I64".into(), shape: vec![], bytes: 3i64.to_le_bytes().to_vec() };
    let tensors = vec![(name.to_owned(), f32s(&[1.0, -2.0, 0.5, 4.0], &[2, 2])), (format!("{name}.steps"), integers)];
    save_safetensors(path, &tensors, &BTreeMap::from([("format".to_owned(), "pt".to_owned())])).unwrap();
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write(&path, "w");
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.metadata()["format"], "pt");
    assert_eq!(checkpoint.load_float("w").unwrap().values(), [1.0, -2.0, 0.5, 4.0]);
    let steps = checkpoint.tensors().iter().position(|info| info.name == "w.steps").unwrap();
    assert_eq!(checkpoint.load(steps).unwrap(), Content::Opaque(3i64.to_le_bytes().to_vec()));
    assert!(matches!(checkpoint.load_float("x"), Err(CheckpointError::MissingTensor { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
}

#[test]
fn shards_are_found_through_their_index() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.safetensors"), "a");
    write(&folder.path().join("b.safetensors"), "b");
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(&index, r#"{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}"#).unwrap();
    assert_eq!(Checkpoint::open(&index).unwrap().tensors().len(), 4);
    std::fs::write(&index, r#"{"weight_map": {"a": "../a.safetensors"}}"#).unwrap();
    assert!(matches!(Checkpoint::open(&index), Err(CheckpointError::Index { .. })));
    std::fs::write(&index, r#"{"weight_map": {"a": "missing.safetensors"}}"#).unwrap();
    assert!(matches!(Checkpoint::open(&index), Err(CheckpointError::Io { .. })));
}

#[test]
fn damaged_files_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write(&path, "w");
    let bytes = std::fs::read(&path).unwrap();
    let cut = folder.path().join("cut.safetensors");
    for len in 0..bytes.len() {
        std::fs::write(&cut, &bytes[..len]).unwrap();
        let message = Checkpoint::open(&cut).unwrap_err().to_string();
        assert!(message.contains("cut.safetensors") && !message.contains('\n'), "{message}");
    }
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(matches!(Checkpoint::open(&empty), Err(CheckpointError::Unusable { .. })));
    assert!(Checkpoint::open(folder.path()).is_ok(), "model.safetensors in a folder");
    assert!(matches!(Checkpoint::open(Path::new("nowhere.safetensors")), Err(CheckpointError::Io { .. })));
}

#[test]
fn writing_where_there_is_no_right_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("model.safetensors");
    let error = save_safetensors(&path, &[("w".into(), f32s(&[1.0], &[1]))], &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"));
    assert!(!path.exists());
}
