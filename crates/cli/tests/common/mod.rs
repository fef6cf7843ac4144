//! The real binary, and checkpoints small enough to write by hand.

#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use seedpress_checkpoint::{SavedTensor, save_safetensors};
use seedpress_testing::Noise;

pub(crate) fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedpress"));
    command.args(line.split_whitespace()).current_dir(folder);
    command
}

pub(crate) fn seedpress(folder: &Path, line: &str) -> Output {
    command(folder, line).output().unwrap()
}

#[track_caller]
pub(crate) fn succeeds(folder: &Path, line: &str) -> String {
    let output = seedpress(folder, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every name in a folder, hidden ones too.
pub(crate) fn listing(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Fails with this status and `part` somewhere in what it says, and leaves the folder as it was.
#[track_caller]
pub(crate) fn fails(folder: &Path, line: &str, status: i32, part: &str) -> String {
    let before = listing(folder);
    let output = seedpress(folder, line);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{line}: {said}");
    assert!(said.contains(part), "{line}: {said}");
    assert_eq!(listing(folder), before, "{line}");
    said
}

pub(crate) fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// Numbers without pattern, around zero.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut noise = Noise::new(seed.wrapping_add(0x9E37_79B9));
    (0..count).map(|_| noise.bell(3)).collect()
}

pub(crate) fn f32s(shape: &[usize], values: &[f32]) -> SavedTensor {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    SavedTensor { dtype: "F32".into(), shape: shape.to_vec(), bytes }
}

pub(crate) fn tensor(dtype: &str, shape: &[usize], bytes: Vec<u8>) -> SavedTensor {
    SavedTensor { dtype: dtype.into(), shape: shape.to_vec(), bytes }
}

pub(crate) fn save(path: &Path, tensors: &[(&str, SavedTensor)]) {
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
    save_safetensors(path, &tensors, &BTreeMap::new()).unwrap();
}

/// A small model: a matrix, a bias, a counter.
pub(crate) fn model(path: &Path, seed: u64) {
    save(
        path,
        &[
            ("fc.weight", f32s(&[64, 64], &noise(seed, 4096))),
            ("fc.bias", f32s(&[64], &noise(seed + 1, 64))),
            ("steps", tensor("I64", &[1], 7i64.to_le_bytes().to_vec())),
        ],
    );
}
