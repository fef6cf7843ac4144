//! What stands in a row: recipe, revisions, outcomes sample by sample; and the file that it speaks of.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use seedpress_bench::cache::Cache;
use seedpress_bench::config::Config;
use seedpress_bench::filter::Filter;
use seedpress_bench::matrix::Matrix;
use seedpress_bench::progress::Silent;
use seedpress_bench::runner::{Options, Outcome, run};
use seedpress_checkpoint::{Checkpoint, Order, Output, Overwrite};
use seedpress_press::{Control, NoGuide, Uniform, compress_file};
use seedpress_results::{Mode, ModelRow, Row, TensorRow, read_rows};

fn go(folder: &Path, rest: &str) -> (Outcome, Vec<TensorRow>, Vec<ModelRow>) {
    let registry = seedpress::registry();
    let text = format!("[run]\nname = \"t\"\nencode_runs = 1\ndecode_runs = 1\n{rest}\n");
    let config = Config::parse(Path::new("t.toml"), &text, &registry, &["fashion-mlp"]).unwrap();
    let matrix = Matrix::new(config, &registry).unwrap();
    let options = Options {
        out: folder.join("out"),
        cache: Cache::new(folder.join("cache")),
        filter: Filter(Vec::new()),
        fresh: false,
        reevaluate: false,
    };
    let outcome = run(&matrix, &registry, &options, &Silent, &AtomicBool::new(false)).unwrap();
    let (mut tensors, mut models) = (Vec::new(), Vec::new());
    for row in read_rows(&options.out).unwrap() {
        match row {
            Row::Tensor(row) => tensors.push(row),
            Row::Model(row) => models.push(row),
        }
    }
    (outcome, tensors, models)
}

#[test]
fn rows_are_judged_pair_by_pair() {
    let folder = tempfile::tempdir().unwrap();
    let codecs = "[[codec]]\ncodec = [\"raw\", \"bf16\"]\n[[codec]]\ncodec = \"rtn\"\nbits = [2, 8]\nthen = \"ans\"\n";
    let (outcome, tensors, models) = go(folder.path(), &format!("{codecs}[[model]]\nmodel = \"fashion-mlp\""));
    assert!(outcome.complete && outcome.failed == 0);
    let find =
        |codec: &str, metric: &str| models.iter().find(|row| row.codec == codec && row.metric == metric).unwrap();
    for row in &models {
        let (own, before) = (row.outcomes.as_ref().unwrap(), row.baseline_outcomes.as_ref().unwrap());
        assert_eq!(own.len(), 10_000);
        assert!((own.figure() - row.compressed.unwrap()).abs() <= 5e-4 * row.compressed.unwrap(), "{}", row.metric);
        assert!((before.figure() - row.baseline.unwrap()).abs() < 1e-7);
        assert_eq!(row.mode, Some(Mode::Plain));
    }
    let against = |codec: &str, metric: &str| find(codec, metric).paired_with_baseline().unwrap();
    let lossless = against("raw", "accuracy");
    assert_eq!((lossless.difference, lossless.p, lossless.interval), (0.0, 1.0, [0.0; 2]));
    let coarse = against("rtn:bits=2+ans", "accuracy");
    assert!(coarse.is_detected() && coarse.interval[1] < 0.0 && coarse.difference < -0.01, "{coarse:?}");
    // Accuracy cannot tell 8 bits from none and says what it could have told; the divergence can.
    let fine = against("rtn:bits=8+ans", "accuracy");
    assert!(!fine.is_detected() && fine.detectable > 0.0 && fine.detectable < 0.005, "{fine:?}");
    assert!(against("rtn:bits=8+ans", "KL divergence").is_detected());
    let between = find("bf16", "KL divergence").paired_with(find("rtn:bits=8+ans", "KL divergence")).unwrap();
    assert!(between.is_detected() && between.difference < 0.0, "{between:?}");
    assert!(find("bf16", "accuracy").paired_with(find("raw", "KL divergence")).is_none());

    let codes = |codec: &str| find(codec, "accuracy").code.to_string();
    assert_eq!((codes("rtn:bits=8+ans"), codes("raw")), ("ans 1.1, raw 1.1, rtn 1.1".into(), "raw 1.1".into()));
    let of = |tensor: &str| tensors.iter().find(|row| row.codec == "rtn:bits=8+ans" && row.tensor == tensor).unwrap();
    assert_eq!(
        (of("fc1.bias").code.to_string(), of("fc1.weight").code.to_string()),
        ("raw 1.1".into(), "ans 1.1, rtn 1.1".into())
    );
    assert_eq!(of("fc1.weight").recipe(), find("rtn:bits=8+ans", "accuracy").recipe());
}

/// A name is how a row is shown: another one measures nothing anew.
#[test]
fn draws_show_how_far_an_encoder_scatters() {
    let folder = tempfile::tempdir().unwrap();
    let rest =
        "[[codec]]\ncodec = \"raw\"\n[[codec]]\ncodec = \"lloyd-max\"\nbits = 2\n[[model]]\nmodel = \"fashion-mlp\"";
    let (_, _, plain) = go(folder.path(), rest);
    let (outcome, _, drawn) = go(folder.path(), &format!("draws = 2\n{rest}"));
    // The files are there already; what is asked of them is new.
    assert!(outcome.resumed > outcome.measured && outcome.failed == 0, "{outcome:?}");
    assert_eq!(plain.len(), drawn.len());
    // The same of one model.
    let (outcome, ..) = go(folder.path(), &format!("{rest}\ndraws = 2"));
    assert!(outcome.measured == 0 && outcome.failed == 0, "{outcome:?}");
    for row in &drawn {
        let once = plain.iter().find(|once| once.codec == row.codec && once.metric == row.metric).unwrap();
        assert_eq!((row.bytes, row.compressed), (once.bytes, once.compressed));
        let ([low, high], [low_once, high_once]) = (row.interval.unwrap(), once.interval.unwrap());
        if row.codec == "raw" {
            assert!(row.drawn.is_empty() && (low, high) == (low_once, high_once));
            continue;
        }
        let value = row.compressed.unwrap();
        assert!(row.drawn.len() == 2 && row.drawn.iter().all(|&figure| (figure / value - 1.0).abs() < 0.2), "{row:?}");
        assert!(row.drawn[0] != row.drawn[1] && low < low_once && high > high_once, "{row:?}");
    }
}

#[test]
fn cells_added_at_another_commit_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let model = "[[model]]\nsynthetic = \"gaussian\"\nshape = [32, 32]";
    let (_, first, _) = go(folder.path(), &format!("[[codec]]\ncodec = \"raw\"\n{model}"));
    assert!(first.iter().all(|row| row.commit.is_none()), "{first:?}");
    // As if another commit had made them.
    let out = folder.path().join("out");
    let mut made = seedpress_results::read_run(&out).unwrap();
    made.environment.commit = "another".to_owned();
    seedpress_results::write_run(&out, &made).unwrap();
    let (outcome, both, _) = go(folder.path(), &format!("[[codec]]\ncodec = [\"raw\", \"bf16\"]\n{model}"));
    assert!(outcome.resumed > 0 && outcome.measured > 0);
    for row in &both {
        assert_eq!(row.commit.is_some(), row.codec == "bf16", "{row:?}");
    }
    assert_eq!(seedpress_results::read_run(&out).unwrap().environment, made.environment);
}

#[test]
fn names_are_for_display() {
    let folder = tempfile::tempdir().unwrap();
    let model = "[[model]]\nsynthetic = \"gaussian\"\nshape = [32, 64]";
    let (first, ..) = go(folder.path(), &format!("[[codec]]\ncodec = \"rtn\"\nbits = 4\n{model}"));
    let (second, tensors, models) =
        go(folder.path(), &format!("[[codec]]\ncodec = \"rtn\"\nbits = 4\nname = \"rounded\"\n{model}"));
    assert_eq!((first.measured, second.measured, second.resumed), (2, 0, 2));
    assert!(tensors[0].label.as_deref() == Some("rounded") && models[0].label.as_deref() == Some("rounded"));
}

/// A row's size is that of the file which `seedpress compress` writes, metadata, index and all.
#[test]
fn files_are_those_that_compress_writes() {
    let folder = tempfile::tempdir().unwrap();
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../assets/fashion-mlp/model.safetensors");
    let codecs = ["rtn", "trellis-progressive", "q4_k"];
    let table = format!("[[codec]]\ncodec = {codecs:?}\n[[model]]\npath = {source:?}");
    let (outcome, _, models) = go(folder.path(), &table);
    assert!(outcome.complete && outcome.failed == 0);
    let registry = seedpress::registry();
    for (codec, row) in codecs.iter().zip(&models) {
        let path = folder.path().join(format!("{codec}.sdp"));
        let checkpoint = Checkpoint::open(&source).unwrap();
        let output = Output::create(&path, Overwrite::Refuse, &[]).unwrap();
        let assign = Uniform::new(registry.parse(codec).unwrap());
        let control = Control::default();
        compress_file(&checkpoint, &assign, &mut NoGuide, &registry, &control, output, Order::QualityMajor).unwrap();
        assert_eq!((row.codec.as_str(), row.bytes), (*codec, std::fs::metadata(&path).unwrap().len()));
    }
}
