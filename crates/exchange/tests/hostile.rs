//! Damaged and malicious files: an error or values, never a panic, and never memory the file does not justify.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use seedpress_exchange::open;
use seedpress_testing::Noise;
use seedpress_testing::allocator::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a small file may ask for at once: that of `seedpress_codec::Limits`.
const ALLOWED: usize = 256 << 20;

/// Opens the bytes as a file and loads everything; says whether that worked.
fn digest(path: &Path, bytes: &[u8]) -> bool {
    std::fs::write(path, bytes).unwrap();
    allocator::reset();
    let fine = match open(path) {
        Ok(source) => (0..source.tensors().len()).all(|index| source.load(index).is_ok()),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    };
    let largest = allocator::largest();
    assert!(largest <= ALLOWED, "{}: {largest} bytes at once", path.display());
    fine
}

const FILES: &[&str] = &[
    "types.gguf",
    "llama.gguf",
    "plain-zip.pt",
    "plain-legacy.pt",
    "nested-zip.pt",
    "module.pt",
    "scripted.pt",
    "evil.pt",
    "stored.npz",
    "deflated.npz",
    "array.npy",
    "compressed-tensors/model.safetensors",
    "gptq/model.safetensors",
    "awq/model.safetensors",
    "mlx/model.safetensors",
];

/// One test alone: the allocator watches the whole process.
#[test]
fn mutated_files_are_errors_or_values() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    for name in FILES {
        let bytes = std::fs::read(vectors.join(name)).unwrap();
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let config = vectors.join(name).with_file_name("config.json");
        if config.exists() {
            std::fs::copy(config, path.with_file_name("config.json")).unwrap();
        }
        assert!(digest(&path, &bytes), "{name}");
        let mut random = Noise::new(0x9E37_79B9_7F4A_7C15);
        // Most that can go wrong lies in the first and the last bytes: headers and directories.
        let ends = 768.min(bytes.len());
        for round in 0..200 {
            let mut mutated = bytes.clone();
            for _ in 0..=random.index(3) {
                let at = match round % 3 {
                    0 => random.index(ends),
                    1 => bytes.len() - 1 - random.index(ends),
                    _ => random.index(bytes.len()),
                };
                mutated[at] = match random.index(4) {
                    0 => 0,
                    1 => 0xFF,
                    2 => mutated[at] ^ 1 << random.index(8),
                    _ => random.index(256) as u8,
                };
            }
            if round % 5 == 0 {
                // Eight bytes at once: lengths and counts.
                let at = random.index(bytes.len().saturating_sub(8).max(1));
                let value = [u64::MAX, 1 << 62, 1 << 32, 1 << 31][random.index(4)];
                mutated[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            digest(&path, &mutated);
        }
        for _ in 0..40 {
            let cut = random.index(bytes.len());
            digest(&path, &bytes[..cut]);
        }
    }
}
