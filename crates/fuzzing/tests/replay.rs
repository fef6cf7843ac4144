//! The committed corpora and some thousand changes of them: no panic, and a short input takes little memory.

#![allow(clippy::unwrap_used)]

#[path = "common/mutations.rs"]
mod mutations;

use std::path::{Path, PathBuf};

use mutations::mutated;
use seedpress_fuzzing::{TARGETS, seeds};
use seedpress_testing::Noise;
use seedpress_testing::allocator::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that an input of up to [`SHORT`] may take.
const MEMORY: usize = 64 << 20;
const SHORT: usize = 1024;
/// Changed inputs for each target.
const CHANGED: usize = 1500;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// One test alone: the allocator watches the whole process.
#[test]
fn hostile_bytes_cost_little() {
    for target in TARGETS {
        let files = corpus(target.name);
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        // Tables that are built once a process are nobody's input's.
        files.iter().for_each(|(_, bytes)| (target.run)(bytes));
        let watched = |what: &str, bytes: &[u8]| {
            allocator::reset();
            (target.run)(bytes);
            let peak = allocator::most();
            assert!(bytes.len() > SHORT || peak <= MEMORY, "{}: {what}: {peak} bytes", target.name);
        };
        for (path, bytes) in &files {
            watched(&path.display().to_string(), bytes);
            for len in 0..bytes.len().min(400) {
                watched(&format!("{} cut to {len}", path.display()), &bytes[..len]);
            }
        }
        let seeds: Vec<Vec<u8>> = files.into_iter().map(|(_, bytes)| bytes).collect();
        let mut random = Noise::new(7);
        for round in 0..CHANGED {
            watched(&format!("change {round}"), &mutated(&seeds, &mut random));
        }
    }
}

/// A codec or stage that is new gets its seed: `SEEDPRESS_UPDATE_CORPORA=1 cargo test --test replay`.
#[test]
fn every_codec_and_stage_has_a_seed() {
    for (target, seeds) in [("decoder", seeds::decoder()), ("stage", seeds::stage()), ("record", seeds::record())] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        for (name, bytes) in seeds {
            let path = folder.join(&name);
            if std::env::var_os("SEEDPRESS_UPDATE_CORPORA").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &bytes).unwrap();
            }
            // Encoders may have changed since: an old stream is as good a seed.
            assert!(path.is_file(), "{target} has no seed {name}: SEEDPRESS_UPDATE_CORPORA=1 writes it");
        }
    }
}
