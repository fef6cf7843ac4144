//! Every frozen file reads as the tool that wrote it reads it.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use seedpress_checkpoint::{Checkpoint, Content};
use seedpress_exchange::{Loaded, TensorSource, open};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Name, type, shape and little-endian bytes.
type Plain = (String, String, Vec<usize>, Vec<u8>);

fn expected(name: &str) -> Vec<Plain> {
    let checkpoint = Checkpoint::open(&vectors().join(format!("{name}.expected.safetensors"))).unwrap();
    let plain = |index: usize| {
        let info = &checkpoint.tensors()[index];
        let bytes = match checkpoint.load(index).unwrap() {
            Content::Float(tensor) => tensor.to_le_bytes(),
            Content::Opaque(bytes) => bytes,
        };
        (info.name.clone(), info.dtype.clone(), info.shape.clone(), bytes)
    };
    let mut all: Vec<Plain> = (0..checkpoint.tensors().len()).map(plain).collect();
    all.sort();
    all
}

fn found(source: &dyn TensorSource) -> Vec<Plain> {
    let plain = |index: usize| {
        let entry = &source.tensors()[index];
        match source.load(index).unwrap() {
            Loaded::Float(tensor) => {
                assert_eq!(Some(tensor.dtype()), entry.float);
                assert_eq!(tensor.shape(), entry.shape);
                (entry.name.clone(), tensor.dtype().name().to_uppercase(), entry.shape.clone(), tensor.to_le_bytes())
            }
            Loaded::Opaque { dtype, bytes } => (entry.name.clone(), dtype, entry.shape.clone(), bytes),
        }
    };
    let mut all: Vec<Plain> = (0..source.tensors().len()).map(plain).collect();
    all.sort();
    all
}

fn same(name: &str) -> Box<dyn TensorSource> {
    let source = open(&vectors().join(name)).unwrap();
    let (expected, found) = (expected(name), found(source.as_ref()));
    let names = |all: &[Plain]| all.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{name}");
    }
    source
}

#[test]
fn every_gguf_type_equals_the_gguf_package_bit_for_bit() {
    let source = same("types.gguf");
    assert_eq!(source.format(), "GGUF v3");
    assert!(source.tensors().len() >= 25);
    assert_eq!(source.metadata()["vectors.number"], "7");
    assert!(source.notes().iter().any(|note| note.contains("vectors.many")), "{:?}", source.notes());
}

#[test]
fn gguf_names_and_rows_are_hugging_faces() {
    assert!(same("llama.gguf").notes().is_empty());
    same("gemma.gguf");
}

#[test]
fn pytorch_of_either_layout() {
    for name in ["plain-zip.pt", "plain-legacy.pt", "exotic.pt", "module.pt", "scripted.pt"] {
        same(name);
    }
    for name in ["nested-zip.pt", "nested-legacy.pt"] {
        let source = same(name);
        assert!(source.notes().iter().any(|note| note.contains("`optimizer`")), "{:?}", source.notes());
    }
}

#[test]
fn packed_checkpoints_become_weights() {
    for (name, layout) in [
        ("compressed-tensors", "compressed-tensors"),
        ("gptq", "GPTQ"),
        ("gptq_v2", "GPTQ v2"),
        ("awq", "AWQ"),
        ("mlx", "MLX"),
    ] {
        assert_eq!(same(name).format(), format!("safetensors, {layout}"));
    }
}

#[test]
fn numpy_of_either_kind() {
    same("array.npy");
    same("stored.npz");
    let notes = same("deflated.npz").notes().join("\n");
    assert!(notes.contains("pickled") && notes.contains("text"), "{notes}");
}

#[test]
fn a_pickle_that_would_run_a_command_runs_none() {
    let source = same("evil.pt");
    let notes = source.notes().join("\n");
    assert!(notes.contains("system"), "{notes}");
    let error = open(&vectors().join("evil.pkl")).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("Python pickle"), "{error}");
    assert!(!Path::new("executed").exists());
}
