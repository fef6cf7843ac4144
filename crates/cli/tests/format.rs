//! The format as `docs/format.md` has it, held against a reader written from that page alone, and against frozen files.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::*;
use seedpress_checkpoint::{Checkpoint, save_safetensors};

fn sample(path: &Path) {
    let mut special = noise(2, 3000);
    (special[7], special[9], special[2000]) = (f32::NAN, f32::NEG_INFINITY, -0.0);
    let mut outlier = noise(3, 4096);
    outlier[100] = 3e4;
    let mut loud = noise(8, 64 * 64);
    loud[5 * 64..6 * 64].iter_mut().for_each(|value| *value *= 1e20);
    loud.chunks_mut(64).for_each(|row| row[9] *= 1e6);
    loud[5 * 64 + 3] = -1e35;
    let sparse: Vec<f32> = noise(4, 4096).into_iter().map(|v| if v.abs() > 1.0 { v } else { 0.0 }).collect();
    let shared = f32s(&[64, 96], &noise(1, 64 * 96));
    let halves: Vec<u8> = noise(5, 40 * 33).iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect();
    let tensors = [
        ("a.weight", shared.clone()),
        ("special", f32s(&[30, 100], &special)),
        ("outlier", f32s(&[64, 64], &outlier)),
        ("loud", f32s(&[64, 64], &loud)),
        ("sparse", f32s(&[64, 64], &sparse)),
        ("model.experts.w", f32s(&[4, 16, 64], &noise(6, 4096))),
        ("half", tensor("BF16", &[40, 33], halves)),
        ("tied", shared),
        ("empty", f32s(&[0, 5], &[])),
        ("bias \"quoted\"", f32s(&[64], &noise(7, 64))),
        ("steps", tensor("I64", &[3], (0..24).collect())),
    ];
    let tensors: Vec<_> = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    let metadata = BTreeMap::from([("k".to_owned(), "v".to_owned()), ("note".to_owned(), "x".repeat(3000))]);
    save_safetensors(path, &tensors, &metadata).unwrap();
}

#[test]
fn an_independent_reader_reads_the_same() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/read_sdp.py");
    sample(&here.join("m.safetensors"));
    std::fs::create_dir(here.join("out")).unwrap();
    let codecs =
        ["raw", "raw+zstd", "rtn", "rtn:bits=3+zstd", "rtn:bits=5,symmetric=false,group=0+zstd", "rtn:bits=8+zstd"];
    for (codec, order) in codecs.into_iter().zip(["", " --tensor-major"].into_iter().cycle()) {
        succeeds(here, &format!("compress m.safetensors --codec {codec} -o m.sdp --force{order}"));
        succeeds(here, "decompress m.sdp -o back.safetensors --force");
        let output = Command::new("python3").arg(&reader).args(["m.sdp", "out"]).current_dir(here).output().unwrap();
        assert!(output.status.success(), "{codec}: {}", String::from_utf8_lossy(&output.stderr));
        let listed = String::from_utf8(output.stdout).unwrap();
        let original = Checkpoint::open(&here.join("m.safetensors")).unwrap();
        let ours = Checkpoint::open(&here.join("back.safetensors")).unwrap();
        assert!(listed.contains("metadata 'k' 'v'"));
        for (place, info) in original.tensors().iter().enumerate() {
            let line = format!("{place} {} {:?} '{}'", info.dtype, info.shape, info.name);
            assert!(listed.lines().any(|found| found == line), "{codec}: no `{line}` in {listed}");
            let theirs = std::fs::read(here.join(format!("out/{place}.bin"))).unwrap();
            assert!(theirs == ours.bytes(ours.find(&info.name).unwrap()).unwrap(), "{codec}: {}", info.name);
        }
    }
}

/// The same reader on a file in shards.
#[test]
fn an_independent_reader_reads_shards() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/read_sdp.py");
    sample(&here.join("m.safetensors"));
    std::fs::create_dir(here.join("out")).unwrap();
    succeeds(here, "compress m.safetensors --codec rtn+zstd --shard-size 5kB -o m.sdp");
    succeeds(here, "decompress m.sdp.index.json -o back.safetensors");
    let read =
        || Command::new("python3").arg(&reader).args(["m.sdp.index.json", "out"]).current_dir(here).output().unwrap();
    let output = read();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains("metadata 'k' 'v'") && !listed.contains("sdp:shard"), "{listed}");
    let ours = Checkpoint::open(&here.join("back.safetensors")).unwrap();
    let lines: Vec<&str> = listed.lines().filter(|line| !line.starts_with("metadata")).collect();
    assert_eq!(lines.len(), ours.tensors().len());
    for line in lines {
        let (place, name) = (line.split(' ').next().unwrap(), line.split('\'').nth(1).unwrap());
        let theirs = std::fs::read(here.join(format!("out/{place}.bin"))).unwrap();
        assert!(theirs == ours.bytes(ours.find(name).unwrap()).unwrap(), "{line}");
    }
    let second = listing(here).into_iter().find(|name| name.starts_with("m-00002-of-")).unwrap();
    std::fs::remove_file(here.join(second)).unwrap();
    assert!(!read().status.success());
}

/// Files as they were written once, and what they must decode to.
#[test]
fn frozen_files_decode_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for name in ["v1", "v2", "v3"] {
        let file = case(&format!("frozen-{name}.sdp"));
        let without = if name == "v2" { " --exclude zeros" } else { "" };
        succeeds(here, &format!("decompress {} -o {name}.safetensors{without}", file.display()));
        let now = std::fs::read(here.join(format!("{name}.safetensors"))).unwrap();
        let then = std::fs::read(case(&format!("frozen-{name}.safetensors"))).unwrap();
        assert!(now == then, "{name}");
    }
    succeeds(here, &format!("decompress {} -o z.safetensors --include zeros", case("frozen-v2.sdp").display()));
    let zeros = Checkpoint::open(&here.join("z.safetensors")).unwrap().load_float("zeros").unwrap();
    assert!(zeros.shape() == [2100, 2000] && zeros.values().iter().all(|&value| value == 0.0));
}
