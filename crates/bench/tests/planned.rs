//! What the search for a plan may use is what the run says.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use seedpress_bench::cache::Cache;
use seedpress_bench::config::Config;
use seedpress_bench::filter::Filter;
use seedpress_bench::matrix::Matrix;
use seedpress_bench::progress::Silent;
use seedpress_bench::runner::{Options, run};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Registry, Role,
    Segment, Symbols, TensorView,
};

#[derive(Default, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoOptions {}

/// Stores values as they are and notes how many threads it may use.
struct Watching;

static THREADS: Mutex<Vec<usize>> = Mutex::new(Vec::new());

impl Codec for Watching {
    const ID: &'static str = "raw";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "values as they are";
    type Config = NoOptions;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn config(&self) -> &NoOptions {
        &NoOptions {}
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, tensor: &TensorView<'_>, _: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        THREADS.lock().unwrap().push(rayon::current_num_threads());
        let bytes = tensor.values().iter().flat_map(|v| v.to_le_bytes()).collect();
        Ok(Encoded::single(Vec::new(), vec![Segment::new(Role::Raw, Symbols::OPAQUE, bytes)]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let bytes = encoded.layers[0].segments[0].bytes;
        for (value, word) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        }
        Ok(())
    }
}

#[test]
fn a_search_uses_the_threads_of_its_run() {
    let registry = Registry::default().with::<Watching>();
    // No machine's number of cores.
    let text = "[run]\nname = \"t\"\nthreads = 37\nencode_runs = 1\ndecode_runs = 1\n[[codec]]\ncodec = \"plan\"\n\
                like = \"raw\"\nladder = \"raw\"\n[[model]]\nsynthetic = \"gaussian\"\nshape = [32, 64]\n";
    let config = Config::parse(Path::new("t.toml"), text, &registry, &[]).unwrap();
    let matrix = Matrix::new(config, &registry).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        out: folder.path().join("out"),
        cache: Cache::new(folder.path().join("cache")),
        filter: Filter(Vec::new()),
        fresh: false,
        reevaluate: false,
    };
    let outcome = run(&matrix, &registry, &options, &Silent, &AtomicBool::new(false)).unwrap();
    assert!(outcome.complete && outcome.failed == 0);
    let threads = THREADS.lock().unwrap();
    // The search encodes at least once, the measured cell again.
    assert!(threads.len() >= 2 && threads.iter().all(|&threads| threads == 37), "{threads:?}");
}
