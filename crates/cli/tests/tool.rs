//! The real binary, end to end: what it writes, and that bad input costs one line and leaves nothing behind.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use seedpress_checkpoint::{Checkpoint, SavedTensor, save_safetensors};
use seedpress_testing::Noise;

fn seedpress(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seedpress")).args(line.split_whitespace()).current_dir(folder).output().unwrap()
}

#[track_caller]
fn succeeds(folder: &Path, line: &str) -> String {
    let output = seedpress(folder, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Fails with one line on stderr that holds `part`, and leaves the folder's listing as it was.
#[track_caller]
fn fails(folder: &Path, line: &str, status: i32, part: &str) {
    let listing = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listing(folder);
    let output = seedpress(folder, line);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{line}: {message}");
    assert_eq!(message.lines().count(), 1, "{line}: {message}");
    assert!(message.contains(part), "{line}: {message}");
    assert_eq!(listing(folder), before, "{line}");
}

/// Weights that a generator of 64-bit steps makes: no two alike, no pattern a codec could use.
fn weights(seed: u64, count: usize) -> Vec<f32> {
    let mut noise = Noise::new(seed);
    (0..count).map(|_| noise.bell(3)).collect()
}

fn save(path: &Path, name: &str, seed: u64) {
    let tensor = |values: &[f32], shape: &[usize]| SavedTensor {
        dtype: "F32".into(),
        shape: shape.to_vec(),
        bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    let tensors = [
        (format!("{name}.weight"), tensor(&weights(seed, 2048), &[32, 64])),
        (format!("{name}.bias"), tensor(&weights(seed + 1, 32), &[32])),
    ];
    save_safetensors(path, &tensors, &BTreeMap::new()).unwrap();
}

fn relative_error(before: &Path, after: &Path, name: &str) -> f64 {
    let load = |path: &Path| Checkpoint::open(path).unwrap().load_float(name).unwrap();
    let (before, after) = (load(before), load(after));
    let error: f64 = before.values().iter().zip(after.values()).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let energy: f64 = before.values().iter().map(|a| f64::from(*a).powi(2)).sum();
    (error / energy).sqrt()
}

#[test]
fn there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let model = here.join("model.safetensors");
    save(&model, "fc", 1);
    for (codec, allowed) in [("raw", 0.0), ("q8_0", 0.01)] {
        succeeds(here, &format!("compress model.safetensors --codec {codec} -o {codec}.sdp"));
        let listing = succeeds(here, &format!("inspect {codec}.sdp"));
        assert!(listing.contains(&format!("fc.weight: {codec}")) && listing.starts_with("complete"), "{listing}");
        succeeds(here, &format!("verify {codec}.sdp --against model.safetensors"));
        succeeds(here, &format!("decompress {codec}.sdp -o {codec}.safetensors"));
        let back = here.join(format!("{codec}.safetensors"));
        let error = relative_error(&model, &back, "fc.weight");
        assert!(error <= allowed, "{codec}: {error}");
        assert_eq!(relative_error(&model, &back, "fc.bias"), 0.0, "small tensors are kept");
    }
}

#[test]
fn a_progressive_file_decodes_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let model = here.join("model.safetensors");
    save(&model, "fc", 5);
    succeeds(here, "compress model.safetensors --codec seedlm-progressive -o m.sdp");
    succeeds(here, "decompress m.sdp -o whole.safetensors");
    succeeds(here, "decompress m.sdp -o base.safetensors --layers 1");
    let most = std::fs::metadata(here.join("m.sdp")).unwrap().len() - 1;
    succeeds(here, &format!("decompress m.sdp -o most.safetensors --max-bytes {most}"));
    let error = |name: &str| relative_error(&model, &here.join(name), "fc.weight");
    let (whole, most, base) = (error("whole.safetensors"), error("most.safetensors"), error("base.safetensors"));
    assert!(whole < most && most <= base && base < 1.0, "{whole} {most} {base}");
}

#[test]
fn shards_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    save(&here.join("one.safetensors"), "one", 1);
    save(&here.join("two.safetensors"), "two", 2);
    let index = r#"{"weight_map": {"one.weight": "one.safetensors", "two.weight": "two.safetensors"}}"#;
    std::fs::write(here.join("model.safetensors.index.json"), index).unwrap();
    succeeds(here, "compress model.safetensors.index.json --codec raw -o m.sdp");
    succeeds(here, "decompress m.sdp -o back.safetensors");
    let back = here.join("back.safetensors");
    assert_eq!(relative_error(&here.join("one.safetensors"), &back, "one.weight"), 0.0);
    assert_eq!(relative_error(&here.join("two.safetensors"), &back, "two.weight"), 0.0);
}

#[test]
fn a_plan_is_made_edited_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let tensor = |seed: u64, shape: [usize; 2]| SavedTensor {
        dtype: "F32".into(),
        shape: shape.to_vec(),
        bytes: weights(seed, shape[0] * shape[1]).iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    let tensors = [
        ("big.weight".to_owned(), tensor(1, [128, 64])),
        ("small.weight".to_owned(), tensor(2, [32, 64])),
        ("bias".to_owned(), tensor(3, [1, 32])),
    ];
    save_safetensors(&here.join("model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    let table = succeeds(here, "plan model.safetensors --bits 4 --codec ecsq -o plan.toml");
    assert!(table.contains("big.weight") && !table.contains("bias"), "{table}");
    assert!(table.contains("assumed: the model's answers were not measured"), "{table}");
    let followed = seedpress(here, "compress model.safetensors --plan plan.toml -o m.sdp");
    assert!(String::from_utf8_lossy(&followed.stderr).contains("plan.toml assumes: "), "{followed:?}");
    let size = |name: &str| std::fs::metadata(here.join(name)).unwrap().len();
    let weights = 128 * 64 + 32 * 64 + 32;
    assert!(8 * size("m.sdp") <= 4 * weights && 8 * size("m.sdp") > 39 * weights / 10, "{} bytes", size("m.sdp"));
    let text = std::fs::read_to_string(here.join("plan.toml")).unwrap();
    assert!(text.contains(&format!("file_bytes = {}", size("m.sdp"))), "{text}");
    succeeds(here, "verify m.sdp --against model.safetensors");
    fails(here, "plan model.safetensors --bits 4 -o plan.toml", 2, "plan.toml: it is there already");

    let edited =
        "[[tensor]]\nname = \"big.*\"\ncodec = \"q8_0\"\n[[tensor]]\nname = \"*\"\ncodec = \"rtn:bits=4+zstd\"\n";
    std::fs::write(here.join("edited.toml"), edited).unwrap();
    succeeds(here, "compress model.safetensors --plan edited.toml -o e.sdp");
    let listing = succeeds(here, "inspect e.sdp");
    for line in ["big.weight: q8_0,", "small.weight: rtn+zstd,", "bias: raw,"] {
        assert!(listing.contains(line), "{listing}");
    }
    std::fs::write(here.join("part.toml"), edited.replace("\"*\"", "\"other\"")).unwrap();
    std::fs::write(here.join("wrong.toml"), edited.replace("q8_0", "q9_0")).unwrap();
    fails(here, "compress model.safetensors --plan part.toml -o x.sdp", 2, "no [[tensor]] matches `small.weight`");
    fails(here, "compress model.safetensors --plan wrong.toml -o x.sdp", 2, "wrong.toml:3:9: `codec` in [[tensor]]");
    fails(here, "compress model.safetensors --plan nowhere.toml -o x.sdp", 2, "nowhere.toml");
    fails(here, "plan model.safetensors --bits 4 --codec q9_0 -o x.toml", 2, "q9_0");
    fails(here, "plan model.safetensors --bits 4 --profile cmn -o x.toml", 2, "legal values are transformer, cnn");
    fails(here, "plan model.safetensors --bits 0.05 -o x.toml", 1, "cannot be reached");
    fails(here, "plan nowhere --bits 4 -o x.toml", 1, "nowhere");
}

#[test]
fn a_plan_is_a_row_of_an_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let text = "[run]\nname = \"t\"\n[[codec]]\ncodec = \"ecsq\"\n[[codec]]\ncodec = \"plan\"\nlike = \"ecsq\"\nladder = \"ecsq q8_0\"\n\
                [[model]]\npath = \"model.safetensors\"\n";
    save(&here.join("model.safetensors"), "fc", 1);
    std::fs::write(here.join("t.toml"), text).unwrap();
    succeeds(here, "bench t.toml --out out");
    let rows = std::fs::read_to_string(here.join("out/results.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let name = "plan:ladder=\"ecsq q8_0\",like=ecsq";
    let planned: Vec<_> = rows.iter().filter(|row| row["codec"] == name).collect();
    assert_eq!(planned.len(), 3, "{rows:?}");
    let of = |tensor: &str| planned.iter().find(|row| row["tensor"] == tensor).unwrap();
    assert!(of("fc.weight")["stored_by"].as_str().unwrap().starts_with("ecsq"));
    assert_eq!(of("fc.bias")["stored_by"], "raw");
    let bytes = |codec: &str| {
        let whole = rows.iter().find(|row| row["kind"] == "model" && row["codec"] == codec).unwrap();
        whole["bytes"].as_u64().unwrap()
    };
    assert!(bytes(name) <= bytes("ecsq"));
    assert!(here.join("out/plans.jsonl").exists() && here.join("out/plans").is_dir());
    assert!(std::fs::read_to_string(here.join("out/report.md")).unwrap().contains("Plans: model"));
    let again = succeeds(here, "bench t.toml --out out");
    assert!(again.contains("\n0 cells measured"), "{again}");

    let wrong = |old: &str, new: &str| std::fs::write(here.join("w.toml"), text.replace(old, new)).unwrap();
    wrong("ecsq q8_0", "ecsq q9_0");
    fails(
        here,
        "bench w.toml --out w",
        2,
        "w.toml:6:9: codec `plan`: `ladder` of a plan: in `q9_0`: unknown codec `q9_0`",
    );
    wrong("ladder = \"ecsq q8_0\"", "then = \"zstd\"");
    fails(here, "bench w.toml --out w", 2, "`then` does not go with a plan");
    wrong("ladder", "lader");
    fails(here, "bench w.toml --out w", 2, "unknown key `lader`");
}

#[test]
fn bad_input_is_one_line_and_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    save(&here.join("model.safetensors"), "fc", 1);
    let bytes = std::fs::read(here.join("model.safetensors")).unwrap();
    std::fs::write(here.join("cut.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(here.join("text.safetensors"), "this is no safetensors file\n").unwrap();
    std::fs::write(here.join("wrong.toml"), "[run]\nname = \n").unwrap();
    let config = |codec: &str| {
        format!("[run]\nname = \"t\"\n[[codec]]\n{codec}\n[[model]]\nsynthetic = \"gaussian\"\nshape = [8, 32]\n")
    };
    std::fs::write(here.join("unknown.toml"), config("codec = \"bitnett\"")).unwrap();
    std::fs::write(here.join("good.toml"), config("codec = \"raw\"")).unwrap();

    fails(here, "compress cut.safetensors --codec raw -o m.sdp", 1, "cut.safetensors");
    fails(here, "compress text.safetensors --codec raw -o m.sdp", 1, "text.safetensors");
    fails(here, "compress nowhere.safetensors --codec raw -o m.sdp", 1, "nowhere.safetensors");
    fails(here, "compress model.safetensors --codec bitnett -o m.sdp", 2, "bitnett");
    fails(here, "compress model.safetensors --codec raw -o text.safetensors/m.sdp", 1, "text.safetensors");
    fails(here, "decompress text.safetensors -o back.safetensors", 1, "text.safetensors");
    fails(here, "bench wrong.toml", 2, "wrong.toml:2:");
    fails(here, "bench unknown.toml", 2, "unknown.toml:4:9");
    fails(here, "bench good.toml --out text.safetensors/report", 1, "text.safetensors");
}

#[test]
fn a_run_resumes_and_keeps_what_an_edited_config_no_longer_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let config = |codecs: &str| {
        let text = format!(
            "[run]\nname = \"t\"\n[[codec]]\ncodec = {codecs}\n[[model]]\nsynthetic = \"gaussian\"\nshape = [32, 64]\n"
        );
        std::fs::write(here.join("t.toml"), text).unwrap();
    };
    config("[\"raw\", \"q8_0\", \"seedlm-progressive\"]");
    let first = succeeds(here, "bench t.toml --out out");
    assert!(first.contains("q8_0"), "{first}");
    let results = here.join("out/results.jsonl");
    let text = std::fs::read_to_string(&results).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let layered = rows.iter().find(|row| row["kind"] == "tensor" && row["codec"] == "seedlm-progressive").unwrap();
    let prefixes = layered["prefixes"].as_array().unwrap();
    assert!(prefixes.len() > 1, "{layered}");
    assert_eq!(prefixes.last().unwrap()["bytes"], layered["bytes"]);

    // A crash in the middle of the last line costs that row only.
    std::fs::write(&results, format!("{text}{}", &text[..40])).unwrap();
    let second = succeeds(here, "bench t.toml --out out");
    assert!(second.contains("\n0 cells measured"), "{second}");
    assert_eq!(std::fs::read_to_string(&results).unwrap(), text);

    let aside = || std::fs::read_to_string(here.join("out/superseded.jsonl")).unwrap().lines().count();
    config("[\"raw\", \"q8_0\"]");
    succeeds(here, "bench t.toml --out out");
    let once = aside();
    assert!(once > 0);
    config("\"raw\"");
    succeeds(here, "bench t.toml --out out");
    assert!(aside() > once, "earlier superseded rows stay");
}

#[test]
fn only_takes_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let text = "[run]\nname = \"t\"\n[[codec]]\ncodec = \"rtn\"\nbits = [2, 4]\n[[codec]]\ncodec = \"raw\"\n\
                [[model]]\nsynthetic = \"gaussian\"\nshape = [32, 64]\n";
    std::fs::write(here.join("t.toml"), text).unwrap();
    let all = succeeds(here, "bench t.toml --dry-run");
    assert!(all.contains("rtn:bits=2") && all.contains("raw"), "{all}");
    let part = succeeds(here, "bench t.toml --dry-run --only codec=rtn*");
    assert!(part.contains("rtn:bits=2") && !part.contains("raw"), "{part}");
    assert!(!here.join("reports").exists(), "a dry run writes nothing");
}

/// What a codec may know of a layer's inputs comes with the model, not with its file.
#[test]
fn models_of_the_zoo_are_compressed_with_their_calibration_data() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/fashion-mlp/model.safetensors");
    succeeds(here, "compress fashion-mlp --codec trellis:bits=1,hessian=full -o with.sdp");
    let without = seedpress(here, &format!("compress {file} --codec trellis:bits=1,hessian=full -o without.sdp"));
    assert!(without.status.success() && String::from_utf8(without.stderr).unwrap().contains("no calibration data"));
    assert_ne!(std::fs::read(here.join("with.sdp")).unwrap(), std::fs::read(here.join("without.sdp")).unwrap());
    // Without such a codec the two are one.
    succeeds(here, "compress fashion-mlp --codec q8_0 -o model.sdp");
    assert!(seedpress(here, &format!("compress {file} --codec q8_0 -o file.sdp")).stderr.is_empty());
    succeeds(here, "decompress with.sdp -o back.safetensors");
    let names = |path: &str| {
        let checkpoint = Checkpoint::open(&here.join(path)).unwrap();
        checkpoint.tensors().iter().map(|info| (info.name.clone(), info.shape.clone())).collect::<Vec<_>>()
    };
    assert_eq!(names("back.safetensors"), names(file));
}

#[test]
fn codecs_are_listed_for_programs_too() {
    let folder = tempfile::tempdir().unwrap();
    let said = |line: &str| serde_json::from_str::<serde_json::Value>(&succeeds(folder.path(), line)).unwrap();
    let all = said("codecs --json");
    let ids: Vec<&str> = all["codecs"].as_array().unwrap().iter().map(|codec| codec["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"trellis") && ids.contains(&"vptq"), "{ids:?}");
    for id in ids {
        let one = said(&format!("codecs {id} --json"));
        assert_eq!(one["id"], id);
        let (schema, defaults) = (&one["schema"]["properties"], &one["defaults"]);
        for (option, _) in schema.as_object().into_iter().flatten() {
            assert!(defaults.get(option).is_some(), "{id}: {option} has no default");
        }
    }
}
