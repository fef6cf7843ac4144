//! A folder of a language model with text of one's own is a model as those of the zoo are.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use seedpress_bench::cache::Cache;
use seedpress_bench::config::{Config, Problems};
use seedpress_bench::filter::Filter;
use seedpress_bench::matrix::Matrix;
use seedpress_bench::progress::Silent;
use seedpress_bench::runner::{Options, Outcome, run};
use seedpress_checkpoint::{Checkpoint, Content, SavedTensor, save_safetensors};
use seedpress_results::{ModelRow, PlanRow, Row, TensorRow, read_rows};
use seedpress_testing::Noise;

/// A letter a token: the tiny checkpoint knows 64.
fn tokenizer() -> String {
    let letters = (0u8..60).map(|at| char::from(b'@' + at));
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        std::iter::once("?".to_owned()).chain(letters.map(String::from)).zip(0..).map(|(k, v)| (k, v.into())).collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "?"}
    })
    .to_string()
}

/// Documents of letters, a line each.
fn text(seed: u64, documents: usize) -> String {
    let mut noise = Noise::new(seed);
    let mut letter = || char::from(b'a' + (noise.bits() >> 33) as u8 % 26);
    let mut line = |_| format!("{{\"text\": \"{}\"}}\n", (0..200).map(|_| letter()).collect::<String>());
    (0..documents).map(&mut line).collect()
}

fn folder(root: &Path) -> PathBuf {
    let family = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transformer/tests/families/smollm2");
    let folder = root.join("model");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(family.join(name), folder.join(name)).unwrap();
    }
    std::fs::write(folder.join("tokenizer.json"), tokenizer()).unwrap();
    std::fs::write(root.join("a.jsonl"), text(1, 20)).unwrap();
    std::fs::write(root.join("b.jsonl"), text(2, 8)).unwrap();
    folder
}

/// Rows of every kind.
const CODECS: &str = "[[codec]]\ncodec = \"raw\"\n[[codec]]\ncodec = \"rtn\"\nbits = 3\n\
     [[codec]]\ncodec = \"trellis\"\nbits = 2\nhessian = \"full\"\nsequential = [false, true]\n\
     [[codec]]\ncodec = \"plan\"\nbits = 2.2\nladder = \"trellis:hessian=full\"\nsequential = [false, true]\n";

fn matrix(root: &Path, model: &str) -> Result<Matrix, Problems> {
    matrix_of(root, CODECS, model)
}

fn matrix_of(root: &Path, codecs: &str, model: &str) -> Result<Matrix, Problems> {
    let registry = seedpress::registry();
    let run = "[run]\nname = \"t\"\nencode_runs = 1\ndecode_runs = 1\nkeep_below = 512\n";
    let text = format!("{run}{codecs}[[model]]\n{model}\n");
    Matrix::new(Config::parse(&root.join("t.toml"), &text, &registry, &[])?, &registry)
}

fn go(root: &Path, matrix: &Matrix) -> (Outcome, Vec<TensorRow>, Vec<ModelRow>) {
    let options = Options {
        out: root.join("out"),
        cache: Cache::new(root.join("cache")),
        filter: Filter(Vec::new()),
        fresh: false,
        reevaluate: false,
    };
    let outcome = run(matrix, &seedpress::registry(), &options, &Silent, &AtomicBool::new(false)).unwrap();
    let (mut tensors, mut models) = (Vec::new(), Vec::new());
    for row in read_rows(&options.out).unwrap() {
        match row {
            Row::Tensor(row) => tensors.push(row),
            Row::Model(row) => models.push(row),
        }
    }
    (outcome, tensors, models)
}

const MODEL: &str = "path = \"model\"\ncalibration = \"a.jsonl\"\nevaluation = \"b.jsonl\"\ncontext = 64";

#[test]
fn a_folder_has_every_kind_of_row() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let (first, tensors, models) = go(root.path(), &matrix(root.path(), MODEL).unwrap());
    assert!(first.complete && first.failed == 0, "{models:?}");
    let find =
        |codec: &str, metric: &str| models.iter().find(|row| row.codec == codec && row.metric == metric).unwrap();
    let (plain, sequential) = ("trellis:bits=2.0,hessian=full", "trellis:bits=2.0,hessian=full sequential");
    assert!(tensors.iter().any(|row| row.codec == plain && row.calibrated));
    assert!(tensors.iter().any(|row| row.codec == sequential && row.sequential == Some(true)));
    // 199 letters of each document are predicted, a byte each.
    let bits = find("raw", "bits per byte");
    assert_eq!((bits.samples, bits.outcomes.as_ref().unwrap().len()), (8 * 199, 8));
    assert!(bits.compressed == bits.baseline && bits.compressed.unwrap() > 1.0);
    let divergence = |codec: &str| find(codec, "KL divergence").compressed.unwrap();
    assert!(divergence("raw") == 0.0 && divergence("rtn:bits=3") > 0.0);
    assert!(divergence(sequential) > 0.0 && divergence(plain) > 0.0);
    assert_eq!(find("raw", "top-1 agreement").compressed, Some(1.0));

    // Planned by gradients: no tensor was encoded to find the plan, and its size is as asked for.
    let plans = seedpress_results::read_plans(&root.path().join("out")).unwrap();
    assert!(plans.iter().all(|row| matches!(row, PlanRow::Assignment(_))) && !plans.is_empty());
    let planned = find("plan:bits=2.2,ladder=trellis:hessian=full", "KL divergence");
    let file = (2.2 * planned.weights as f64 / 8.0) as u64;
    // Sizes are expected ones: tensors of a thousand weights have headers and tables of their own to add.
    assert!(planned.bytes.abs_diff(file) < file / 20, "{} {file}", planned.bytes);
    assert!(planned.compressed.unwrap() > 0.0);

    // Tokens that all count alike are other statistics, for those rows that use any.
    let cells = first.measured / 6;
    let (alike, ..) = go(root.path(), &matrix(root.path(), &format!("{MODEL}\nweighted = false")).unwrap());
    assert_eq!((alike.measured, alike.resumed), (4 * cells, 2 * cells));

    // Other calibration text: what it told is told anew, and nothing else.
    std::fs::write(root.path().join("a.jsonl"), text(3, 20)).unwrap();
    let (second, ..) = go(root.path(), &matrix(root.path(), MODEL).unwrap());
    assert_eq!((second.measured, second.resumed), (4 * cells, 2 * cells));
    // Other evaluation text: the models are evaluated anew.
    std::fs::write(root.path().join("b.jsonl"), text(4, 8)).unwrap();
    let (third, ..) = go(root.path(), &matrix(root.path(), MODEL).unwrap());
    assert_eq!(third.measured, 6);
}

#[test]
fn text_is_kept_apart() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let refused = |model: &str| matrix(root.path(), model).unwrap_err().to_string();
    std::fs::write(root.path().join("b.jsonl"), text(2, 7) + &text(1, 1)).unwrap();
    let error = refused(MODEL);
    assert!(error.contains("12.5 % of the evaluation text is calibration text, first in document 8"), "{error}");
    let error = refused("path = \"model\"\ncontext = 64");
    assert!(error.contains("go with `calibration` or `evaluation`"), "{error}");
    let error = refused("synthetic = \"gaussian\"\nshape = [8, 32]\nevaluation = \"b.jsonl\"");
    assert!(error.contains("reads no text"), "{error}");
    assert!(refused("path = \"model\"\nevaluation = \"c.jsonl\"").contains("c.jsonl"));
    // A folder without text is its weights.
    assert!(matrix(root.path(), "path = \"model\"").unwrap().models[0].tensors.len() > 5);
}

/// The tiny checkpoint widened to 32 bits, which numpy knows too, and the same weights as it keeps arrays, without the files of a model.
fn twice(root: &Path) {
    let folder = folder(root);
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let mut plain = Vec::new();
    let other = root.join("other");
    std::fs::create_dir_all(&other).unwrap();
    let mut arrays = zip::ZipWriter::new(std::fs::File::create(other.join("weights.npz")).unwrap());
    for (at, info) in checkpoint.tensors().iter().enumerate() {
        let Content::Float(tensor) = checkpoint.load(at).unwrap() else { panic!("no weights") };
        let bytes: Vec<u8> = tensor.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims: String = info.shape.iter().map(|length| format!("{length},")).collect();
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({dims})}}\n");
        let length = u16::try_from(header.len()).unwrap();
        arrays.start_file(format!("{}.npy", info.name), zip::write::SimpleFileOptions::default()).unwrap();
        let start = [b"\x93NUMPY\x01\x00".as_slice(), &length.to_le_bytes(), header.as_bytes()].concat();
        arrays.write_all(&[start.as_slice(), &bytes].concat()).unwrap();
        plain.push((info.name.clone(), SavedTensor { dtype: "F32".to_owned(), shape: info.shape.clone(), bytes }));
    }
    arrays.finish().unwrap();
    drop(checkpoint);
    save_safetensors(&folder.join("model.safetensors"), &plain, &Default::default()).unwrap();
}

#[test]
fn a_model_in_another_format_has_the_same_rows() {
    let root = tempfile::tempdir().unwrap();
    twice(root.path());
    let text = "calibration = \"a.jsonl\"\nevaluation = \"b.jsonl\"\ncontext = 64";
    let codecs = "[[codec]]\ncodec = \"trellis\"\nbits = 2\nhessian = \"full\"\nsequential = [false, true]\n";
    let of = |model: &str| go(root.path(), &matrix_of(root.path(), codecs, &format!("{model}\n{text}")).unwrap());
    let (plain, ..) = of("path = \"model\"");
    assert!(plain.complete && plain.failed == 0);
    // Nothing is measured again: all that keys know of is the same.
    let (other, ..) = of("name = \"model\"\npath = \"other/weights.npz\"\nconfig = \"model\"");
    assert_eq!((other.measured, other.resumed), (0, plain.measured));

    let refused = |model: &str| matrix(root.path(), model).unwrap_err().to_string();
    let error = refused(&format!("path = \"other/weights.npz\"\n{text}"));
    assert!(error.contains("weights.npz: there is no config.json beside it") && error.contains("`config`"), "{error}");
    let error = refused("path = \"other/weights.npz\"\nconfig = \"model\"");
    assert!(error.contains("goes with `path` and `calibration`"), "{error}");
    // Without text a file is its weights.
    let weights = matrix(root.path(), "path = \"other/weights.npz\"").unwrap();
    assert!(weights.models[0].name == "weights" && weights.models[0].tensors.len() > 5);
}
