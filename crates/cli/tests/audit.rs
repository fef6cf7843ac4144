//! `audit` and `evaluate` on files of every format, by the real binary.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::*;
use serde_json::Value;

/// A small Llama with a tokenizer of words.
fn llama(folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transformer/tests/families/llama");
    std::fs::create_dir_all(folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let words: Vec<String> = (0..64).map(|id| format!("\"w{id}\": {id}")).collect();
    let tokenizer = format!(
        r#"{{"version": "1.0", "added_tokens": [], "pre_tokenizer": {{"type": "WhitespaceSplit"}},
            "model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "w0"}}}}"#,
        words.join(", ")
    );
    std::fs::write(folder.join("tokenizer.json"), tokenizer).unwrap();
}

/// Documents of words without pattern.
fn text(path: &Path, seed: u64, documents: usize) {
    let document = |number: usize| {
        let words: Vec<String> = noise(seed + number as u64, 60)
            .iter()
            .map(|value| format!("w{}", (value.abs() * 1e4) as u32 % 64))
            .collect();
        format!("{{\"text\": \"{}\"}}\n", words.join(" "))
    };
    std::fs::write(path, (0..documents).map(document).collect::<String>()).unwrap();
}

#[test]
fn a_file_of_any_format_is_audited() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    llama(&here.join("model"));
    text(&here.join("held.jsonl"), 7, 6);
    text(&here.join("calibration.jsonl"), 100, 3);
    // GGUF has no place for a tokenizer of words, nor does the export need one.
    std::fs::create_dir(here.join("bare")).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(here.join("model").join(name), here.join("bare").join(name)).unwrap();
    }
    succeeds(here, "export bare --to gguf --type q4_0 -o small.gguf --quiet");
    succeeds(here, "export bare --to gguf --type q8_0 -o large.gguf --quiet");
    succeeds(here, "compress bare --codec rtn:bits=4,group=8 -o m.sdp --quiet");
    succeeds(here, "export m.sdp --config bare --to compressed-tensors -o packed --quiet");
    let audit = |file: &str, more: &str| -> Value {
        let line = format!("audit {file} --reference model --text held.jsonl --json --quiet {more}");
        serde_json::from_str(&succeeds(here, &line)).unwrap()
    };
    let divergence = |found: &Value| found["evaluation"]["against"]["divergence"]["value"].as_f64().unwrap();
    let (small, large) = (audit("small.gguf", ""), audit("large.gguf", ""));
    assert!(divergence(&large) < divergence(&small) && divergence(&small) > 1e-4, "{small}");
    assert!(large["bits_per_weight"].as_f64() > small["bits_per_weight"].as_f64());
    let bytes = std::fs::metadata(here.join("small.gguf")).unwrap().len();
    assert_eq!(small["file_bytes"], bytes);
    assert!(small["types"].as_array().unwrap().iter().any(|kind| kind["type"] == "Q4_0"));
    // The same codes in two containers are the same model.
    let (sdp, packed) = (audit("m.sdp", ""), audit("packed", ""));
    let matrix = |found: &Value| {
        let tensors = found["tensors"].as_array().unwrap();
        let wanted = |tensor: &&Value| tensor["name"] == "model.layers.0.self_attn.q_proj.weight";
        tensors.iter().find(wanted).unwrap()["error"].as_f64().unwrap()
    };
    assert!((matrix(&sdp) - matrix(&packed)).abs() < 1e-4 && matrix(&sdp) > 1e-3);
    // The model itself: nothing is lost; and the text that was calibrated with is found again.
    let same = audit("model", "--calibration held.jsonl");
    assert_eq!((divergence(&same), same["top_1_flips"].as_f64().unwrap()), (0.0, 0.0));
    assert_eq!(same["overlap"]["share"], 1.0);
    let other = audit("model", "--calibration calibration.jsonl --no-noise-floor");
    assert_eq!(other["overlap"]["shared"], 0);
    assert!(other["evaluation"]["against"]["noise_floor"].is_null());
    let shown =
        succeeds(here, "audit small.gguf --reference model --text held.jsonl --threshold 0.01 --html audit.html");
    for part in ["divergence, 99.9 %", "noise floor", "perplexity of the reference", "tensors have an error above 0.01"]
    {
        assert!(shown.contains(part), "{shown}");
    }
    let page = std::fs::read_to_string(here.join("audit.html")).unwrap();
    assert!(page.contains("self_attn.q_proj") && page.contains("Q4_0") && page.ends_with("</html>\n"));
    assert!(!page.contains("http") && !page.contains("<script"), "the page is whole in itself");
    // `evaluate` takes them too.
    for file in ["small.gguf", "m.sdp", "packed"] {
        let shown = succeeds(here, &format!("evaluate {file} --against model --text held.jsonl --quiet"));
        assert!(shown.contains("divergence"), "{shown}");
    }
    fails(here, "audit nowhere.gguf --reference model --text held.jsonl", 1, "nowhere.gguf");
}
