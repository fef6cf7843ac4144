//! What is written is what the tools wrote: their files, read and written again, have the same tensors to the byte.

#![allow(clippy::unwrap_used)] // A test that panics fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seedpress_checkpoint::{Checkpoint, Content, SavedTensor, save_safetensors};
use seedpress_codec::{DType, Tensor};
use seedpress_exchange::export::{
    FileSupply, ModelFiles, PackedOptions, Target, Worth, alike, fit_packed, write_packed,
};
use seedpress_exchange::packed::gptq::{Version, write};
use seedpress_exchange::packed::{Grid, Zeros, awq, compressed_tensors, mlx};
use seedpress_exchange::{PackedCheckpoint, TensorSource};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Every tensor of a checkpoint: type, shape, bytes.
fn all(checkpoint: &Checkpoint) -> BTreeMap<String, (String, Vec<usize>, Vec<u8>)> {
    let tensor = |index: usize| {
        let info = &checkpoint.tensors()[index];
        let bytes = match checkpoint.load(index).unwrap() {
            Content::Float(tensor) => tensor.to_le_bytes(),
            Content::Opaque(bytes) => bytes,
        };
        (info.name.clone(), (info.dtype.clone(), info.shape.clone(), bytes))
    };
    (0..checkpoint.tensors().len()).map(tensor).collect()
}

fn rewritten(name: &str, skip: &str, pack: impl Fn(&str, &Grid) -> Vec<(&'static str, (String, Vec<usize>, Vec<u8>))>) {
    let source = PackedCheckpoint::open(&vectors().join(name)).unwrap();
    let before = all(source.checkpoint());
    let mut compared = 0;
    for index in 0..source.tensors().len() {
        let name = source.tensors()[index].name.clone();
        let Some(grid) = source.grid(index).unwrap().filter(|_| !name.starts_with(skip)) else { continue };
        let stem = name.trim_end_matches(".weight");
        for (part, written) in pack(&name, &grid) {
            assert_eq!(before[&format!("{stem}.{part}")], written, "{name} {part}");
            compared += 1;
        }
    }
    assert!(compared >= 3);
}

#[test]
fn packed_matrices_are_written_as_they_were_read() {
    let plain = |written: seedpress_exchange::packed::Written| {
        let parts = written.parts.into_iter();
        parts.map(|(part, tensor)| (part, (tensor.dtype, tensor.shape, tensor.bytes))).collect::<Vec<_>>()
    };
    // `old` is in the packing of before 2026-05, which is read only.
    rewritten("compressed-tensors", "old", |name, grid| {
        plain(compressed_tensors::write(name, grid, DType::F16).unwrap())
    });
    rewritten("gptq", "-", |name, grid| plain(write(name, grid, Version::V1).unwrap()));
    rewritten("gptq_v2", "-", |name, grid| plain(write(name, grid, Version::V2).unwrap()));
    rewritten("awq", "-", |name, grid| plain(awq::write(name, grid).unwrap()));
    rewritten("mlx", "-", |name, grid| plain(mlx::write(name, grid, DType::F32).unwrap()));
}

#[test]
fn what_a_layout_cannot_hold_is_an_error_that_says_what_can() {
    let grid = |bits: u8, rows: usize, columns: usize, group: usize, zeros: Zeros| Grid {
        rows,
        columns,
        bits,
        group,
        codes: vec![0; rows * columns],
        scales: vec![1.0; rows * columns.div_ceil(group)],
        zeros,
        order: None,
    };
    let zero = |rows: usize| Zeros::Points(vec![0; rows]);
    for (error, expected) in [
        (awq::write("w", &grid(3, 8, 32, 32, Zeros::Symmetric)).map(|_| ()), "4 bits only"),
        (awq::write("w", &grid(4, 9, 32, 32, Zeros::Symmetric)).map(|_| ()), "multiple of 8"),
        (write("w", &grid(4, 32, 32, 32, zero(32)), Version::V1).map(|_| ()), "gptq-v2"),
        (write("w", &grid(5, 32, 32, 32, Zeros::Symmetric), Version::V2).map(|_| ()), "5"),
        (write("w", &grid(4, 33, 32, 32, Zeros::Symmetric), Version::V2).map(|_| ()), "multiples of 32"),
        (mlx::write("w", &grid(7, 4, 64, 64, Zeros::Symmetric), DType::F32).map(|_| ()), "not 7"),
        (mlx::write("w", &grid(4, 4, 48, 16, Zeros::Symmetric), DType::F32).map(|_| ()), "groups of 16"),
        (
            compressed_tensors::write("w", &grid(4, 4, 48, 32, Zeros::Symmetric), DType::F32).map(|_| ()),
            "do not divide",
        ),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`w`") && error.contains(expected), "{error}");
    }
    assert!(write("w", &grid(4, 32, 32, 32, zero(32)), Version::V2).is_ok());
}

#[test]
fn a_folder_is_written_in_shards_that_its_index_lists() {
    let folder = tempfile::tempdir().unwrap();
    let supply = FileSupply::open(&vectors().join("llama.gguf")).unwrap();
    let options = PackedOptions {
        target: Target::Safetensors(None),
        codec: &|_| None,
        requantise: false,
        keep: &|_| false,
        shard: 4000,
    };
    let exported = write_packed(&supply, None, &options, folder.path(), &|_| {}).unwrap();
    let back = Checkpoint::open(folder.path()).unwrap();
    assert!(back.files().len() > 2);
    assert_eq!(exported.tensors.len(), back.tensors().len());
    let expected = Checkpoint::open(&vectors().join("llama.gguf.expected.safetensors")).unwrap();
    assert_eq!(all(&back), all(&expected));
}

#[test]
fn an_export_to_a_layout_reads_back_as_the_grid_it_was() {
    let source = tempfile::tempdir().unwrap();
    let values: Vec<f32> = (0..64 * 64).map(|i: u32| (f64::from(i) * 0.37).sin() as f32 * 0.1).collect();
    let tensor = Tensor::new(vec![64, 64], values, DType::F32).unwrap();
    let saved = SavedTensor { dtype: "F32".into(), shape: vec![64, 64], bytes: tensor.to_le_bytes() };
    let name = "model.layers.0.mlp.up_proj.weight".to_owned();
    let file = source.path().join("model.safetensors");
    save_safetensors(&file, &[(name, saved)], &BTreeMap::new()).unwrap();
    std::fs::write(source.path().join("config.json"), "{\"model_type\": \"llama\"}").unwrap();
    let registry = seedpress_baselines::register(seedpress_codec::Registry::default());
    let files = ModelFiles::beside(source.path()).unwrap();
    for (target, bits, symmetric) in [
        (Target::CompressedTensors, 3, true),
        (Target::CompressedTensors, 4, false),
        (Target::Gptq(Version::V2), 4, false),
        (Target::Gptq(Version::V1), 8, true),
        (Target::Awq, 4, false),
        (Target::Mlx, 5, false),
    ] {
        let codec = registry.parse(&format!("rtn:bits={bits},group=32,symmetric={symmetric}")).unwrap();
        let supply = FileSupply::open(source.path()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = PackedOptions {
            target,
            codec: &|_| Some(codec.clone()),
            requantise: false,
            keep: &|_| false,
            shard: 1 << 30,
        };
        write_packed(&supply, Some(&files), &options, folder.path(), &|_| {}).unwrap();
        let back = seedpress_exchange::open(folder.path()).unwrap();
        let seedpress_exchange::Loaded::Float(found) = back.load(0).unwrap() else { panic!("no weights") };
        let record = codec.encode(&tensor.view("w"), &seedpress_codec::EncodeContext::default()).unwrap();
        let expected = registry.decode_bytes(&record.to_bytes()).unwrap().tensor;
        for (found, expected) in found.values().iter().zip(expected.values()) {
            // A bias is a product that was rounded once.
            assert!((found - expected).abs() <= 1e-6 * expected.abs().max(0.1), "{target:?}: {found} {expected}");
        }
    }
}

#[test]
fn engines_are_told_which_linear_layers_are_not_quantised() {
    let source = tempfile::tempdir().unwrap();
    let ones = Tensor::new(vec![32, 32], vec![1.0; 1024], DType::F32).unwrap().to_le_bytes();
    let names = ["embed_tokens", "layers.0.mlp.gate", "layers.0.mlp.shared_expert_gate", "layers.0.mlp.up_proj"];
    let tensors = names.map(|name| {
        let saved = SavedTensor { dtype: "F32".into(), shape: vec![32, 32], bytes: ones.clone() };
        (format!("model.{name}.weight"), saved)
    });
    save_safetensors(&source.path().join("model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    let rope = "{\"model_type\": \"qwen3_moe\", \"num_local_experts\": 4, \"rope_parameters\": {\"rope_theta\": 5.0}}";
    std::fs::write(source.path().join("config.json"), rope).unwrap();
    let registry = seedpress_baselines::register(seedpress_codec::Registry::default());
    let codec = registry.parse("rtn:bits=4,group=32,symmetric=false").unwrap();
    let files = ModelFiles::beside(source.path()).unwrap();
    let written = |target: Target| -> serde_json::Value {
        let folder = tempfile::tempdir().unwrap();
        let (codec, keep) = (|_: &str| Some(codec.clone()), |_: &str| false);
        let options = PackedOptions { target, codec: &codec, requantise: false, keep: &keep, shard: 1 << 30 };
        let supply = FileSupply::open(source.path()).unwrap();
        write_packed(&supply, Some(&files), &options, folder.path(), &|_| {}).unwrap();
        serde_json::from_slice(&std::fs::read(folder.path().join("config.json")).unwrap()).unwrap()
    };
    let routers = ["model.layers.0.mlp.gate", "model.layers.0.mlp.shared_expert_gate"];
    let ignored = &written(Target::CompressedTensors)["quantization_config"]["ignore"];
    assert_eq!(*ignored, serde_json::json!(["lm_head", routers[0], routers[1]]));
    assert_eq!(written(Target::Awq)["quantization_config"]["modules_to_not_convert"], serde_json::json!(routers));
    // mlx-lm knows the older names of these keys only.
    let config = written(Target::Mlx);
    assert!(config["num_experts"] == 4 && config["rope_theta"] == 5.0);
}

#[test]
fn experts_are_one_tensor_in_mlx_and_come_back_one_by_one() {
    let source = tempfile::tempdir().unwrap();
    let values = |seed: usize| (0..32 * 64).map(|i| ((i + 77 * seed) as f32 * 0.61).sin()).collect::<Vec<f32>>();
    // Out of order, as ten experts are where names are sorted as text.
    let tensors: Vec<(String, SavedTensor)> = [1, 10, 0, 2, 3, 4, 5, 6, 7, 8, 9]
        .map(|expert| {
            let tensor = Tensor::new(vec![32, 64], values(expert), DType::F32).unwrap();
            let saved = SavedTensor { dtype: "F32".into(), shape: vec![32, 64], bytes: tensor.to_le_bytes() };
            (format!("model.layers.0.mlp.experts.{expert}.up_proj.weight"), saved)
        })
        .into();
    save_safetensors(&source.path().join("model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    std::fs::write(source.path().join("config.json"), "{\"model_type\": \"qwen3_moe\", \"num_experts\": 11}").unwrap();
    let registry = seedpress_baselines::register(seedpress_codec::Registry::default());
    let codec = |bits: u8| registry.parse(&format!("rtn:bits={bits},group=32,symmetric=false")).unwrap();
    let files = ModelFiles::beside(source.path()).unwrap();
    let write = |bits: &dyn Fn(&str) -> u8, keep: &dyn Fn(&str) -> bool, folder: &Path| {
        let codec = |name: &str| Some(codec(bits(name)));
        let options = PackedOptions { target: Target::Mlx, codec: &codec, requantise: false, keep, shard: 1 << 30 };
        let supply = FileSupply::open(source.path()).unwrap();
        write_packed(&supply, Some(&files), &options, folder, &|_| {}).map_err(|error| error.to_string())
    };
    let folder = tempfile::tempdir().unwrap();
    write(&|_| 4, &|_| false, folder.path()).unwrap();
    let written = Checkpoint::open(folder.path()).unwrap();
    let stack = written.find("model.layers.0.mlp.switch_mlp.up_proj.weight").unwrap();
    assert_eq!((written.tensors().len(), &written.tensors()[stack].shape[..]), (3, &[11, 32, 8][..]));

    let back = seedpress_exchange::open(folder.path()).unwrap();
    assert_eq!(back.tensors().len(), 11);
    for expert in [0, 1, 9, 10] {
        let name = format!("model.layers.0.mlp.experts.{expert}.up_proj.weight");
        let at = back.tensors().iter().position(|entry| entry.name == name).unwrap();
        assert_eq!(back.tensors()[at].shape, [32, 64]);
        let seedpress_exchange::Loaded::Float(found) = back.load(at).unwrap() else { panic!("no weights") };
        let tensor = Tensor::new(vec![32, 64], values(expert), DType::F32).unwrap();
        let record = codec(4).encode(&tensor.view("w"), &seedpress_codec::EncodeContext::default()).unwrap();
        let expected = registry.decode_bytes(&record.to_bytes()).unwrap().tensor;
        assert!(found.values().iter().zip(expected.values()).all(|(a, b)| (a - b).abs() < 1e-5), "{expert}");
    }

    let error = write(&|name| 4 + u8::from(name.contains("experts.3.")), &|_| false, folder.path()).unwrap_err();
    assert!(error.contains("differ in shape or bits") && error.contains("switch_mlp.up_proj"), "{error}");
    let error = write(&|_| 4, &|name| name.contains("experts.3."), folder.path()).unwrap_err();
    assert!(error.contains("10 of its 11 experts are quantised"), "{error}");
}

#[test]
fn what_is_worth_more_gets_more_bits() {
    let source = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..8).map(|layer| format!("model.layers.{layer}.mlp.up_proj.weight")).collect();
    let tensors: Vec<(String, SavedTensor)> = names
        .iter()
        .zip(0..)
        .map(|(name, seed)| {
            let values = (0..64 * 64).map(|i| ((i + 77 * seed) as f32 * 0.61).sin()).collect();
            let bytes = Tensor::new(vec![64, 64], values, DType::F32).unwrap().to_le_bytes();
            (name.clone(), SavedTensor { dtype: "F32".into(), shape: vec![64, 64], bytes })
        })
        .collect();
    save_safetensors(&source.path().join("model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    let registry = seedpress_baselines::register(seedpress_codec::Registry::default());
    let supply = FileSupply::open(source.path()).unwrap();
    let fit = |worth: Worth<'_>| {
        let fitted = fit_packed(&supply, Target::Mlx, &|_| false, &registry, 24_000, worth, &|_| {}).unwrap();
        let bits = |name: &String| fitted[name].options()["bits"].as_u64().unwrap();
        names.iter().map(bits).collect::<Vec<u64>>()
    };
    let (even, uneven) = (fit(&alike), fit(&|name| if name.contains("layers.3.") { 1e4 } else { 1.0 }));
    assert!(uneven[3] > even[3] && uneven.iter().sum::<u64>() <= even.iter().sum::<u64>() + 1, "{even:?} {uneven:?}");
}
