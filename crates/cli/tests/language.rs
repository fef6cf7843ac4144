//! A language model's whole way through the command: evaluate, plan, compress with text, evaluate what came of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::{fails, succeeds};

/// A folder with a tiny model whose words are `w0` to `w63`, text to calibrate with and text to predict.
fn model(here: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transformer/tests/families/llama");
    std::fs::create_dir(here.join("model")).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(golden.join(name), here.join("model").join(name)).unwrap();
    }
    let vocabulary: Vec<String> = (0..64).map(|word| format!("\"w{word}\": {word}")).collect();
    let tokenizer = format!(
        "{{\"version\": \"1.0\", \"added_tokens\": [], \"pre_tokenizer\": {{\"type\": \"WhitespaceSplit\"}}, \
         \"model\": {{\"type\": \"WordLevel\", \"vocab\": {{{}}}, \"unk_token\": \"w0\"}}}}",
        vocabulary.join(", ")
    );
    std::fs::write(here.join("model/tokenizer.json"), tokenizer).unwrap();
    // Words without pattern: what calibrates and what is predicted are of one kind.
    let text = |seed: u64, words: usize| {
        let word = |value: &f32| format!("w{}", 2 + (value.to_bits() >> 5) % 62);
        common::noise(seed, words).iter().map(word).collect::<Vec<_>>().join(" ")
    };
    std::fs::write(here.join("calibration.txt"), text(3, 6000)).unwrap();
    let lines = (0..8).fold(String::new(), |mut lines, seed| {
        let _ = writeln!(lines, "{{\"text\": \"{}\"}}", text(20 + seed, 120));
        lines
    });
    std::fs::write(here.join("held.jsonl"), lines).unwrap();
}

fn divergence(here: &Path, file: &str) -> f64 {
    let line = format!("evaluate {file} --against model --text held.jsonl --context 32 --json --quiet");
    let found: serde_json::Value = serde_json::from_str(&succeeds(here, &line)).unwrap();
    found["result"]["against"]["divergence"]["value"].as_f64().unwrap()
}

#[test]
fn a_plan_is_better_than_one_rate_of_the_same_size() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here);
    let text = "--calibration calibration.txt --context 32 --samples 128";
    let said = succeeds(here, "evaluate model --text held.jsonl --context 32 --stride 16");
    assert!(said.contains("8 documents; context 32, stride 16; intervals over documents"), "{said}");
    succeeds(
        here,
        &format!("compress model --codec trellis:bits=3,hessian=full {text} --keep-below 600 -o one.sdp --quiet"),
    );
    let size = std::fs::metadata(here.join("one.sdp")).unwrap().len();
    let said = succeeds(here, &format!("plan model {text} --size {size} --keep-below 600 -o other.toml --json"));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let listed =
        said["tensors"].as_array().unwrap().iter().map(|tensor| tensor["bytes"].as_u64().unwrap()).sum::<u64>();
    assert!(said["target"] == size && listed < size && listed > size / 2, "{said}");
    let line = format!("plan model {text} --target-bytes {size} --keep-below 600 -o plan.toml");
    let said = succeeds(here, &line);
    assert!(said.contains("bits per weight"), "{said}");
    let line = format!("compress model --plan plan.toml {text} -o planned.sdp --quiet");
    succeeds(here, &line);
    let planned = std::fs::read(here.join("planned.sdp")).unwrap();
    // What is expected of such small tensors is rough: headers count for much.
    assert!(planned.len() as u64 <= size + size / 50, "{} {size}", planned.len());
    let (one, plan) = (divergence(here, "one.sdp"), divergence(here, "planned.sdp"));
    assert!(plan < one, "planned {plan}, one rate {one}");
    succeeds(here, &format!("{line} --force --threads 1"));
    assert_eq!(std::fs::read(here.join("planned.sdp")).unwrap(), planned, "the same bytes again");
}

#[test]
fn calibration_text_pays_and_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here);
    let codec = "compress model --quiet --keep-below 600 --codec trellis:bits=3,hessian=full";
    succeeds(here, &format!("{codec} -o plain.sdp"));
    let text = "--calibration calibration.txt --context 32 --samples 128";
    for (name, more) in [("weighed", ""), ("alike", "--unweighted"), ("apart", "--not-sequential")] {
        succeeds(here, &format!("{codec} {text} {more} -o {name}.sdp"));
        let (plain, with) = (divergence(here, "plain.sdp"), divergence(here, &format!("{name}.sdp")));
        assert!(with < plain, "{name}: {with}, without text {plain}");
    }
    fails(here, &format!("{codec} --calibration none.txt --context 32 -o x.sdp"), 1, "none.txt");
    fails(here, &format!("{codec} --calibration calibration.txt --context 100 -o x.sdp"), 2, "made for 64 tokens");
    fails(here, &format!("plan model {text} --bits 0.01 -o x.toml"), 1, "cannot be reached");
    fails(here, &format!("plan model {text} --bits 3 --codec q8_0 -o x.toml"), 2, "any rate");
}

#[test]
fn an_export_of_a_size_goes_by_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here);
    let text = "--calibration calibration.txt --context 32 --samples 64";
    let to = "export model --to mlx --exclude *down_proj* --quiet";
    succeeds(here, &format!("{to} --bits 4 --group 32 -o even"));
    let size = |name: &str| std::fs::metadata(here.join(name).join("model.safetensors")).unwrap().len();
    let asked = size("even");
    succeeds(here, &format!("{to} --size {asked} -o alike"));
    succeeds(here, &format!("{to} --size {asked} {text} -o weighed"));
    assert!(size("alike") <= asked && size("weighed") <= asked, "{} {}", size("alike"), size("weighed"));
    let bits = |name: &str| -> serde_json::Value {
        let config = std::fs::read(here.join(name).join("config.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&config).unwrap()["quantization"].clone()
    };
    assert_ne!(bits("alike"), bits("weighed"), "the text says nothing");
    assert!(divergence(here, "weighed") < divergence(here, "alike"));

    fails(here, &format!("{to} --bits 4 {text} -o more"), 2, "give --size or --ratio");
    fails(here, &format!("{to} --size {asked} {text} --unweighted -o more"), 2, "--unweighted");
}

#[test]
fn files_beside_the_weights_travel_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here);
    std::fs::write(here.join("model/generation_config.json"), "{\"do_sample\": false}").unwrap();
    let away = here.join("away");
    std::fs::create_dir(&away).unwrap();
    succeeds(here, "compress model --codec q8_0 -o away/model.sdp --quiet");
    succeeds(here, "compress model --codec q8_0 -o bare.sdp --weights-only --quiet");
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&away.join("model.sdp")) > size(&here.join("bare.sdp")));
    // Nothing but the file is needed to run the model.
    std::fs::copy(here.join("held.jsonl"), away.join("held.jsonl")).unwrap();
    let own = succeeds(&away, "evaluate model.sdp --text held.jsonl --context 32 --json --quiet");
    let said = succeeds(&away, "decompress model.sdp -o back/");
    assert!(said.contains("back/"), "{said}");
    for name in ["config.json", "tokenizer.json", "generation_config.json"] {
        let [was, is] = [here.join("model"), away.join("back")].map(|folder| std::fs::read(folder.join(name)).unwrap());
        assert_eq!(was, is, "{name}");
    }
    // A configuration that is there is somebody's: it stays.
    std::fs::create_dir(away.join("mine")).unwrap();
    std::fs::write(away.join("mine/config.json"), "mine").unwrap();
    fails(&away, "decompress model.sdp -o mine/", 2, "mine/config.json: it is there already");
    assert_eq!(std::fs::read(away.join("mine/config.json")).unwrap(), b"mine");
    assert!(!away.join("mine/model.safetensors").exists());
    succeeds(&away, "decompress model.sdp -o mine --force --quiet");
    assert!(std::fs::read(away.join("mine/config.json")).unwrap().starts_with(b"{"));
    let back = succeeds(&away, "evaluate back --text held.jsonl --context 32 --json --quiet");
    let result = |said: &str| serde_json::from_str::<serde_json::Value>(said).unwrap()["result"].clone();
    assert_eq!(result(&own), result(&back));
    // Weights alone leave files out of what a checkpoint says of itself.
    succeeds(&away, "decompress model.sdp -o alone.safetensors --quiet");
    let alone = std::fs::read(away.join("alone.safetensors")).unwrap();
    assert!(!alone.windows(5).any(|bytes| bytes == b"file:"));
}
