//! Entry points for hostile bytes.
//!
//! Each [`Target`] takes any bytes whatever and must come back: with values or with an error, never with a panic, and within the memory
//! and work that the bytes justify. `fuzz/` (cargo-fuzz, outside the workspace) calls them from libFuzzer, the example `mutate` from a
//! plain loop of mutations on stable Rust, and the test `replay` runs what is committed under `fuzz/corpus`.
//!
//! | target | the bytes are |
//! | --- | --- |
//! | `container` | an `.sdp` file, or the beginning of one |
//! | `decoder` | a codec's stream below its checksums: see `stream` |
//! | `stage` | a stage's layer below its checksums: see `stream` |
//! | `record` | a codec's stream with what is kept beside it, in a record whose checksums fit |
//! | `config` | the TOML of an experiment |
//! | `plan` | the TOML of a plan |
//! | `safetensors` | a `.safetensors` file |
//! | `gguf` | a `.gguf` file |
//! | `pickle` | a `.pt` file: a zip archive or a bare pickle |

mod files;
mod registry;
pub mod seeds;
mod stream;

use std::path::Path;

use seedpress_bench::config::Config;
use seedpress_checkpoint::{ContainerView, Index};
use seedpress_codec::Limits;
use seedpress_plan::PlanFile;

use crate::registry::REGISTRY;

/// What a fuzzer calls.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its corpus.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "container", run: container },
    Target { name: "decoder", run: stream::decoder },
    Target { name: "stage", run: stream::stage },
    Target { name: "record", run: stream::record },
    Target { name: "config", run: config },
    Target { name: "plan", run: plan },
    Target { name: "safetensors", run: files::safetensors },
    Target { name: "gguf", run: files::gguf },
    Target { name: "pickle", run: files::pickle },
];

/// The target of a name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// Parses a container and decodes every tensor of it that its length allows.
fn container(bytes: &[u8]) {
    let Ok(index) = Index::parse(bytes) else { return };
    for entry in 0..index.entries.len() {
        index.present(entry, bytes.len() as u64);
    }
    if index.check_declared(bytes.len() as u64).is_err() {
        return;
    }
    let Ok(view) = ContainerView::parse(bytes) else { return };
    for entry in &view.entries {
        let _ = entry.decode(&REGISTRY, None, &mut Limits::for_input(bytes.len()));
        let _ = entry.opaque_bytes();
    }
}

/// Reads an experiment.
fn config(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(problems) = Config::parse(Path::new("fuzzed.toml"), text, &REGISTRY, &["fashion-mlp"])
    {
        assert!(!problems.to_string().is_empty(), "an error that says nothing");
    }
}

/// Reads a plan and asks it for a few tensors.
fn plan(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match PlanFile::parse(Path::new("fuzzed.toml"), text, &REGISTRY) {
        Ok(plan) => {
            for tensor in ["", "fc.weight", "model.layers.0.mlp.up_proj.weight"] {
                plan.codec(tensor);
            }
            plan.unused(["fc.weight"].into_iter());
        }
        Err(error) => assert!(!error.to_string().is_empty(), "an error that says nothing"),
    }
}
