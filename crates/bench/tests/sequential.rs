//! Sequential rows: each layer behind those before it.

#![allow(clippy::unwrap_used)]

use std::path::Path;
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
use seedpress_results::{ModelRow, Row, TensorRow, read_rows};

#[derive(Default, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoOptions {}

/// Whole multiples of one step a tensor; with `FINE`, values as they are.
struct Steps<const FINE: bool>;

impl<const FINE: bool> Codec for Steps<FINE> {
    const ID: &'static str = ["steps", "raw"][FINE as usize];
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "multiples of a step";
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
        let mean = tensor.values().iter().map(|value| value.abs()).sum::<f32>() / tensor.len() as f32;
        let rounded = |&value: &f32| if FINE { value } else { (value / mean / 1.5).round() * mean * 1.5 };
        let bytes = tensor.values().iter().flat_map(|value| rounded(value).to_le_bytes()).collect();
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

/// Rows of a run over the MLP, of the part a filter admits.
fn measured(only: &[&str]) -> (Vec<TensorRow>, Vec<ModelRow>) {
    let registry = Registry::default().with::<Steps<false>>().with::<Steps<true>>();
    let text = "[run]\nname = \"t\"\nencode_runs = 1\ndecode_runs = 1\n[[codec]]\ncodec = \"steps\"\n\
                sequential = [false, true]\n[[model]]\nmodel = \"fashion-mlp\"\n\
                [[model]]\nsynthetic = \"gaussian\"\nshape = [40, 30]\n";
    let config = Config::parse(Path::new("t.toml"), text, &registry, &["fashion-mlp"]).unwrap();
    let matrix = Matrix::new(config, &registry).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        out: folder.path().join("out"),
        cache: Cache::new(folder.path().join("cache")),
        filter: Filter(only.iter().map(|text| text.parse().unwrap()).collect()),
        fresh: false,
        reevaluate: false,
    };
    let outcome = run(&matrix, &registry, &options, &Silent, &AtomicBool::new(false)).unwrap();
    assert_eq!(outcome.failed, 0);
    assert!(outcome.complete || !only.is_empty());
    let (mut tensors, mut models) = (Vec::new(), Vec::new());
    for row in read_rows(&options.out).unwrap() {
        match row {
            Row::Tensor(row) => tensors.push(row),
            Row::Model(row) => models.push(row),
        }
    }
    (tensors, models)
}

#[test]
fn a_layer_repairs_what_those_before_it_did() {
    let (tensors, models) = measured(&[]);
    let error = |codec: &str, tensor: &str| {
        tensors.iter().find(|row| row.codec == codec && row.tensor == tensor).unwrap().squared_error
    };
    // Nothing is before the first layer, and the errors of later ones count against the layers as they are.
    let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-3;
    assert!(close(error("steps", "fc1.weight"), error("steps sequential", "fc1.weight")));
    assert!(!close(error("steps", "fc3.weight"), error("steps sequential", "fc3.weight")));
    let divergence = |codec: &str| {
        let row = models.iter().find(|row| row.codec == codec && row.metric == "KL divergence");
        row.unwrap().compressed.unwrap()
    };
    assert!(divergence("steps sequential") < 0.8 * divergence("steps"), "{models:?}");
}

#[test]
fn a_model_without_data_has_no_sequential_rows() {
    let (tensors, models) = measured(&["model=synthetic-*"]);
    let rows: Vec<&str> = tensors.iter().map(|row| row.codec.as_str()).collect();
    assert_eq!(rows, ["steps"]);
    assert!(!models.is_empty() && models.iter().all(|row| row.codec == "steps"));
}

#[test]
fn a_layer_by_itself_is_the_same_as_in_the_whole_run() {
    let find = |tensors: Vec<TensorRow>| {
        tensors.into_iter().find(|row| row.codec == "steps sequential" && row.tensor == "fc3.weight").unwrap()
    };
    let (whole, alone) = (find(measured(&[]).0), find(measured(&["tensor=fc3.weight"]).0));
    assert_eq!((whole.key, whole.bytes, whole.squared_error), (alone.key, alone.bytes, alone.squared_error));
}
