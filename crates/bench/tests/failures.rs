//! One cell's failure is a row, and every other cell is measured as if nothing had happened.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use seedpress_bench::cache::Cache;
use seedpress_bench::config::Config;
use seedpress_bench::filter::Filter;
use seedpress_bench::matrix::Matrix;
use seedpress_bench::progress::Silent;
use seedpress_bench::runner::{Options, Outcome, run};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Registry, Role,
    Segment, Symbols, TensorView,
};
use seedpress_results::{ModelRow, Row, Status, TensorRow, read_rows};

#[derive(Default, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoOptions {}

/// Stores values as they are, except for what its flaw makes of them.
struct Plain<const FLAW: u8>;

const SOUND: u8 = 0;
const REFUSES: u8 = 1;
const PANICS: u8 = 2;
const UNREADABLE: u8 = 3;
const CHANGES: u8 = 4;

static ENCODES: AtomicU64 = AtomicU64::new(0);

impl<const FLAW: u8> Codec for Plain<FLAW> {
    const ID: &'static str = ["raw", "refuses", "panics", "unreadable", "changes"][FLAW as usize];
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
        match FLAW {
            REFUSES => {
                let why = "only even\nnumbers".to_owned();
                return Err(EncodeError::UnsupportedInput { tensor: tensor.name().to_owned(), why });
            }
            PANICS => panic!("a bug"),
            _ => {}
        }
        let mut bytes: Vec<u8> = tensor.values().iter().flat_map(|v| v.to_le_bytes()).collect();
        if FLAW == CHANGES {
            bytes.push(ENCODES.fetch_add(1, Ordering::Relaxed) as u8);
        }
        Ok(Encoded::single(Vec::new(), vec![Segment::new(Role::Raw, Symbols::OPAQUE, bytes)]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        if FLAW == UNREADABLE {
            return Err(DecodeError::corrupt("never readable"));
        }
        let bytes = encoded.layers[0].segments[0].bytes;
        for (value, word) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        }
        Ok(())
    }
}

fn registry() -> Registry {
    Registry::default()
        .with::<Plain<SOUND>>()
        .with::<Plain<REFUSES>>()
        .with::<Plain<PANICS>>()
        .with::<Plain<UNREADABLE>>()
        .with::<Plain<CHANGES>>()
}

const CODECS: &str = r#"["refuses", "panics", "unreadable", "changes", "raw"]"#;

fn matrix(codecs: &str, rows: usize) -> Matrix {
    let text = format!(
        "[run]\nname = \"t\"\nencode_runs = 2\n[[codec]]\ncodec = {codecs}\n\
         [[model]]\nsynthetic = \"gaussian\"\nshape = [{rows}, 64]\n"
    );
    let config = Config::parse(Path::new("t.toml"), &text, &registry(), &[]).unwrap();
    Matrix::new(config, &registry()).unwrap()
}

fn options(folder: &Path) -> Options {
    Options {
        out: folder.join("out"),
        cache: Cache::new(folder.join("cache")),
        filter: Filter(Vec::new()),
        fresh: false,
        reevaluate: false,
    }
}

fn go(matrix: &Matrix, options: &Options) -> Outcome {
    run(matrix, &registry(), options, &Silent, &AtomicBool::new(false)).unwrap()
}

fn rows(options: &Options) -> (Vec<TensorRow>, Vec<ModelRow>) {
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
fn every_kind_of_failure_is_a_row_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (matrix, options) = (matrix(CODECS, 32), options(folder.path()));
    let outcome = go(&matrix, &options);
    assert!(outcome.complete && !outcome.interrupted);
    // Four codecs fail, each on its tensor and so on its model.
    assert_eq!((outcome.measured, outcome.failed), (10, 8));
    let (tensors, models) = rows(&options);
    let error = |codec: &str| {
        let row = tensors.iter().find(|row| row.codec == codec).unwrap();
        assert_eq!(row.status, Status::Failed, "{codec}");
        row.error.clone().unwrap()
    };
    assert_eq!(error("refuses"), "encoding: tensor `weight`: only even numbers", "one line, whatever the message");
    assert_eq!(error("panics"), "panic: a bug");
    assert!(error("unreadable").contains("never readable"));
    assert_eq!(error("changes"), "verification: two encodes wrote different bytes");
    let sound = tensors.iter().find(|row| row.codec == "raw").unwrap();
    assert_eq!((sound.status, sound.squared_error, sound.encode_seconds.len()), (Status::Ok, 0.0, 2));
    for row in &models {
        assert_eq!(row.status == Status::Ok, row.codec == "raw", "{}", row.codec);
        assert_eq!(row.tensors_ok, u64::from(row.codec == "raw"));
    }
    let record = seedpress_results::read_run(&options.out).unwrap();
    assert!(record.complete);
    assert_eq!((record.cells, record.failed), (10, 8));
}

#[test]
fn failed_cells_are_tried_again_and_finished_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (matrix, mut options) = (matrix(CODECS, 32), options(folder.path()));
    go(&matrix, &options);
    let again = go(&matrix, &options);
    assert_eq!((again.measured, again.resumed, again.failed), (8, 2, 8));
    options.fresh = true;
    let fresh = go(&matrix, &options);
    assert_eq!((fresh.measured, fresh.resumed), (10, 0));
    let (tensors, models) = rows(&options);
    assert_eq!((tensors.len(), models.len()), (5, 5), "a row a cell, however often it was tried");
}

#[test]
fn a_stopped_run_keeps_what_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (matrix, options) = (matrix(r#""raw""#, 32), options(folder.path()));
    let stopped = run(&matrix, &registry(), &options, &Silent, &AtomicBool::new(true)).unwrap();
    assert!(stopped.interrupted && !stopped.complete);
    assert!(!seedpress_results::read_run(&options.out).unwrap().complete);
    let resumed = go(&matrix, &options);
    assert!(resumed.complete && resumed.measured == 2);
}

#[test]
fn other_weights_are_another_cell() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    go(&matrix(r#""raw""#, 32), &options);
    let changed = go(&matrix(r#""raw""#, 33), &options);
    assert_eq!((changed.measured, changed.resumed), (2, 0));
    assert_eq!(rows(&options).0[0].shape, [33, 64]);
}
