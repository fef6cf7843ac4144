//! Other people's files in and out, by the real binary.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::*;
use seedpress_checkpoint::{Checkpoint, ContainerFile, SavedTensor, save_safetensors};
use seedpress_exchange::{Form, SdpSupply, Supply, Weights, open};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../exchange/tests/vectors")
}

/// Every tensor of a checkpoint: type, shape, bytes.
fn all(path: &Path) -> BTreeMap<String, (String, Vec<usize>, Vec<u8>)> {
    let checkpoint = Checkpoint::open(path).unwrap();
    let tensor = |index: usize| {
        let info = &checkpoint.tensors()[index];
        (info.name.clone(), (info.dtype.clone(), info.shape.clone(), checkpoint.bytes(index).unwrap()))
    };
    (0..checkpoint.tensors().len()).map(tensor).collect()
}

/// A Llama of one layer whose rows K-quants fit.
fn llama(folder: &Path) {
    let matrices = [
        ("model.embed_tokens", [48, 256]),
        ("model.layers.0.self_attn.q_proj", [256, 256]),
        ("model.layers.0.self_attn.k_proj", [64, 256]),
        ("model.layers.0.self_attn.v_proj", [64, 256]),
        ("model.layers.0.self_attn.o_proj", [256, 256]),
        ("model.layers.0.mlp.gate_proj", [512, 256]),
        ("model.layers.0.mlp.up_proj", [512, 256]),
        ("model.layers.0.mlp.down_proj", [256, 512]),
    ];
    let norms = ["model.norm", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm"];
    let matrix = |(index, (name, shape)): (usize, (&str, [usize; 2]))| {
        (format!("{name}.weight"), f32s(&shape, &noise(index as u64, shape[0] * shape[1])))
    };
    let mut tensors: Vec<(String, SavedTensor)> = matrices.into_iter().enumerate().map(matrix).collect();
    tensors.extend(norms.map(|name| (format!("{name}.weight"), f32s(&[256], &noise(99, 256)))));
    std::fs::create_dir_all(folder).unwrap();
    save_safetensors(&folder.join("model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    let config = r#"{"model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4,
        "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": 48, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true, "hidden_act": "silu"}"#;
    std::fs::write(folder.join("config.json"), config).unwrap();
}

#[test]
fn every_format_is_compressed_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for name in [
        "types.gguf",
        "llama.gguf",
        "plain-zip.pt",
        "plain-legacy.pt",
        "module.pt",
        "stored.npz",
        "array.npy",
        "compressed-tensors",
        "gptq",
        "gptq_v2",
        "awq",
        "mlx",
    ] {
        let input = vectors().join(name);
        let input = input.display();
        succeeds(here, &format!("compress {input} --codec raw -o m.sdp --force --quiet"));
        succeeds(here, "decompress m.sdp -o back.safetensors --force --quiet");
        let expected = all(&vectors().join(format!("{name}.expected.safetensors")));
        assert_eq!(all(&here.join("back.safetensors")), expected, "{name}");
        let shown = succeeds(here, &format!("inspect {input}"));
        let listed: serde_json::Value =
            serde_json::from_str(&succeeds(here, &format!("inspect {input} --json"))).unwrap();
        let names: Vec<&str> =
            listed["tensors"].as_array().unwrap().iter().map(|tensor| tensor["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), expected.len(), "{name}");
        for name in expected.keys() {
            assert!(names.contains(&name.as_str()) && shown.contains(&format!("{name}: ")), "{shown}");
        }
    }
}

#[test]
fn a_file_of_another_kind_is_named_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let gzip: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let files: [(&str, &[u8], &str); 7] = [
        ("model.onnx", b"\x08\x08\x12\x07pytorch\x1a\x03", "an ONNX file"),
        ("model.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0", "an HDF5 file"),
        ("model.bin", gzip, "a gzip file"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("page.safetensors", b"<!DOCTYPE html><html>", "a web page"),
        ("empty.gguf", b"", "this file is empty"),
        ("notes.gguf", b"nothing of this is a model", "a text file"),
    ];
    for (name, bytes, what) in files {
        std::fs::write(here.join(name), bytes).unwrap();
        for line in ["compress {} --codec rtn -o x.sdp", "inspect {}", "export {} --to safetensors -o x"] {
            fails(here, &line.replace("{}", name), 1, what);
        }
    }
    // A pickle that would run a command, and a zip of anything.
    let evil = vectors().join("evil.pkl").display().to_string();
    fails(here, &format!("compress {evil} --codec rtn -o x.sdp"), 1, "Python pickle");
    std::fs::write(here.join("cut.gguf"), &std::fs::read(vectors().join("llama.gguf")).unwrap()[..2000]).unwrap();
    for line in ["compress cut.gguf --codec rtn -o x.sdp", "inspect cut.gguf", "export cut.gguf --to safetensors -o x"]
    {
        fails(here, line, 1, "not a readable GGUF file");
    }
}

#[test]
fn gguf_and_back_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    llama(&here.join("model"));
    succeeds(here, "export model --to gguf --type f32 -o model.gguf");
    succeeds(here, "export model.gguf --to safetensors --config model -o back");
    assert_eq!(all(&here.join("back")), all(&here.join("model")));
    assert!(here.join("back/config.json").is_file());
    let said = succeeds(here, "export model --to gguf --type f32 -o again.gguf --json");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["bytes"], std::fs::metadata(here.join("again.gguf")).unwrap().len());
    assert!(said["tensors"].as_array().unwrap().iter().all(|tensor| tensor["type"] == "F32"), "{said}");
    let shown = succeeds(here, "export model --to gguf --tensor-type *ffn_down*=q6_k -o mixed.gguf");
    assert!(shown.contains("bits a weight of the whole file"), "{shown}");
    let shown = succeeds(here, "inspect mixed.gguf");
    assert!(shown.contains("mlp.down_proj.weight: Q6_K") && shown.contains("mlp.up_proj.weight: Q4_K"), "{shown}");
    fails(here, "export model --to gguf --type q4_k -o model.gguf", 2, "--force replaces it");
    fails(here, "export model --to gguf --type q9_k -o x.gguf", 2, "`q9_k` is no type of GGUF");
    fails(here, "export model --to gguf --plan nowhere.toml -o x.gguf", 2, "nowhere.toml");
}

/// Codes of an `.sdp` file in the layouts that have a place for them: what comes out decodes to what the file decodes to.
#[test]
fn codes_of_an_sdp_file_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    llama(&here.join("model"));
    for (codec, targets) in [
        ("rtn:bits=3,group=32", ["compressed-tensors", "mlx"].as_slice()),
        ("rtn:bits=4,group=64,symmetric=false", &["compressed-tensors", "gptq-v2", "awq", "mlx"]),
        ("gptq:bits=4,group=64", &["compressed-tensors", "gptq-v2", "awq", "mlx"]),
        ("awq:bits=4,group=64", &["compressed-tensors", "gptq-v2", "awq", "mlx"]),
        ("hqq:bits=4,group=64", &["mlx"]),
    ] {
        succeeds(here, &format!("compress model --codec {codec} --exclude *embed* -o m.sdp --force --quiet"));
        succeeds(here, "decompress m.sdp -o decoded.safetensors --force --quiet");
        let expected = all(&here.join("decoded.safetensors"));
        for target in targets {
            succeeds(here, &format!("export m.sdp --config model --to {target} -o {target} --force --quiet"));
            succeeds(here, &format!("export {target} --to safetensors --dtype f32 -o plain --force --quiet"));
            for (name, (_, shape, found)) in all(&here.join("plain")) {
                let (_, as_before, bytes) = &expected[&name];
                assert_eq!(&shape, as_before);
                let floats =
                    |bytes: &[u8]| bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>();
                for (found, wanted) in floats(&found).into_iter().zip(floats(bytes)) {
                    // Scales that binary16 cannot hold, and biases, are rounded once.
                    assert!(
                        (found - wanted).abs() <= 1e-3 * wanted.abs().max(0.05),
                        "{codec} {target} {name}: {found} {wanted}"
                    );
                }
            }
        }
    }
    fails(here, "export m.sdp --config model --to gptq-v2 -o x", 2, "use `mlx`");
    succeeds(here, "compress model --codec trellis --exclude *embed* -o t.sdp --quiet");
    fails(here, "export t.sdp --config model --to awq -o y", 2, "no codes on a uniform grid");
}

#[test]
fn blocks_of_an_sdp_file_are_those_of_the_gguf_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    llama(&here.join("model"));
    let plan = "[[tensor]]\nname = \"*down_proj*\"\ncodec = \"q6_k\"\n[[tensor]]\nname = \"*_proj*\"\ncodec = \"q3_k\"\n\
                [[tensor]]\nname = \"*\"\ncodec = \"q5_0\"\n";
    std::fs::write(here.join("plan.toml"), plan).unwrap();
    succeeds(here, "compress model --plan plan.toml -o m.sdp --quiet");
    succeeds(here, "export m.sdp --config model --to gguf -o kept.gguf --quiet");
    let registry = seedpress::registry();
    let sdp = SdpSupply::new(ContainerFile::open(&here.join("m.sdp"), None).unwrap(), &registry);
    let gguf = open(&here.join("kept.gguf")).unwrap();
    let mut compared = 0;
    for (index, (name, _)) in sdp.list().into_iter().enumerate() {
        let Some(info) = sdp.block_type(index) else { continue };
        let there = gguf.tensors().iter().position(|entry| entry.name == name).unwrap();
        assert_eq!(gguf.tensors()[there].stored, info.name, "{name}");
        let Weights::Blocks { bytes, .. } = sdp.load(index, Form::Blocks(info)).unwrap() else { panic!("{name}") };
        assert_eq!(gguf.blocks(there).unwrap().unwrap(), bytes, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 8);
    // The plan gives the same file without the .sdp file between, and a GGUF file keeps its blocks too.
    succeeds(here, "export model --plan plan.toml --to gguf -o direct.gguf --quiet");
    succeeds(here, "export kept.gguf --config model --to gguf -o again.gguf --quiet");
    let bytes = |name: &str| std::fs::read(here.join(name)).unwrap();
    assert!(bytes("kept.gguf").len() == bytes("direct.gguf").len());
    for name in ["direct.gguf", "again.gguf"] {
        let (one, two) = (open(&here.join("kept.gguf")).unwrap(), open(&here.join(name)).unwrap());
        for index in 0..one.tensors().len() {
            assert_eq!(one.blocks(index).unwrap(), two.blocks(index).unwrap(), "{name} {index}");
        }
    }
    fails(here, "export model --plan plan.toml --to awq -o x", 1, "no codes on a uniform grid");
}

#[test]
fn opaque_tensors_pass_through() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    save(
        &here.join("m.safetensors"),
        &[("a.weight", f32s(&[4, 4], &noise(1, 16))), ("steps", tensor("I64", &[1], vec![7; 8]))],
    );
    succeeds(here, "export m.safetensors --to safetensors --dtype bf16 -o out");
    let (dtype, _, bytes) = &all(&here.join("out"))["steps"];
    assert_eq!((dtype.as_str(), bytes.as_slice()), ("I64", [7; 8].as_slice()));
    assert_eq!(all(&here.join("out"))["a.weight"].0, "BF16");
}

/// A Llama of four layers, whose file can be nearly any size.
fn larger(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), f32s(&[48, 256], &noise(0, 48 * 256)))];
    let mut seed = 1;
    for layer in 0..4 {
        for (name, rows, columns) in [
            ("self_attn.q_proj", 256, 256),
            ("self_attn.k_proj", 64, 256),
            ("self_attn.v_proj", 64, 256),
            ("self_attn.o_proj", 256, 256),
            ("mlp.gate_proj", 256, 256),
            ("mlp.up_proj", 256, 256),
            ("mlp.down_proj", 256, 256),
        ] {
            seed += 1;
            tensors.push((
                format!("model.layers.{layer}.{name}.weight"),
                f32s(&[rows, columns], &noise(seed, rows * columns)),
            ));
        }
    }
    save_safetensors(&folder.join("model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    let config = r#"{"model_type": "llama", "hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 4,
        "num_key_value_heads": 1, "num_hidden_layers": 4, "vocab_size": 48, "max_position_embeddings": 64}"#;
    std::fs::write(folder.join("config.json"), config).unwrap();
}

#[test]
fn a_file_has_the_size_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    larger(&here.join("model"));
    let near =
        |bytes: u64, wanted: u64| assert!(bytes <= wanted && wanted - bytes <= wanted / 1000, "{bytes} of {wanted}");
    for size in [600_000u64, 723_000, 850_000, 987_654, 1_200_000] {
        succeeds(here, &format!("export model --to gguf --size {size} -o m.gguf --force"));
        near(std::fs::metadata(here.join("m.gguf")).unwrap().len(), size);
    }
    for (target, sizes) in [
        ("compressed-tensors", [600_000u64, 700_000, 812_345, 950_000, 1_100_000]),
        ("mlx", [700_000, 800_000, 900_001, 950_000, 1_234_567]),
    ] {
        for size in sizes {
            succeeds(here, &format!("export model --to {target} --size {size} -o packed --force"));
            near(std::fs::metadata(here.join("packed/model.safetensors")).unwrap().len(), size);
        }
    }
    succeeds(here, "export model --to gguf --ratio 8 -o m.gguf --force");
    near(
        std::fs::metadata(here.join("m.gguf")).unwrap().len(),
        std::fs::metadata(here.join("model/model.safetensors")).unwrap().len() / 8,
    );
    fails(here, "export model --to gguf --size 100kB -o x.gguf", 1, "bytes at least");
    fails(here, "export model --to gptq --size 1MB -o x", 1, "knows one width for all");
    fails(here, "export model --to gguf --size 1MB --type q4_k -o x.gguf", 2, "cannot be used with");
}
