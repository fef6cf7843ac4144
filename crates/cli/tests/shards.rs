//! `compress --shard-size`, and every command that reads what it makes.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::*;

/// A model with weights in few bits, tied tensors and what is no weight, 12 layers.
fn layers(here: &Path) {
    let codes: Vec<u8> = (0..4096u32).map(|at| ((at.wrapping_mul(2_654_435_761) >> 24) as u8) & 0xf7).collect();
    let mut tensors: Vec<(String, _)> =
        (0..12).map(|n| (format!("layer.{n}.weight"), f32s(&[64, 128], &noise(n, 8192)))).collect();
    tensors.push(("head".into(), f32s(&[64, 128], &noise(0, 8192))));
    tensors.push(("few".into(), tensor("F8_E4M3", &[64, 64], codes)));
    tensors.push(("few_scale".into(), f32s(&[64], &noise(5, 64))));
    tensors.push(("steps".into(), tensor("I64", &[1], 7i64.to_le_bytes().to_vec())));
    seedpress_checkpoint::save_safetensors(&here.join("m.safetensors"), &tensors, &Default::default()).unwrap();
}

#[test]
fn every_command_reads_shards_as_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    layers(here);
    succeeds(here, "compress m.safetensors --codec rtn -o whole.sdp");
    let shown = succeeds(here, "compress m.safetensors --codec rtn --shard-size 20kB -o m.sdp");
    assert!(shown.starts_with("m.sdp.index.json: "), "{shown}");
    let shards: Vec<String> = listing(here).into_iter().filter(|name| name.starts_with("m-0000")).collect();
    assert!(shards.len() >= 3 && shards[0].ends_with(&format!("-of-{:05}.sdp", shards.len())), "{shards:?}");
    for shard in &shards {
        assert!(std::fs::metadata(here.join(shard)).unwrap().len() <= 20_000);
    }
    succeeds(here, "decompress whole.sdp -o whole.safetensors");
    succeeds(here, "decompress m.sdp.index.json -o back.safetensors");
    let read = |name: &str| std::fs::read(here.join(name)).unwrap();
    assert!(read("whole.safetensors") == read("back.safetensors"));
    let shown = succeeds(here, "verify m.sdp.index.json --against m.safetensors --max-error 0.2");
    assert!(shown.contains("16 tensors decode"), "{shown}");
    let shown = succeeds(here, "inspect m.sdp.index.json");
    assert!(shown.contains(&format!("in {} shards", shards.len())) && shown.contains(": the same as "));
    let shown: serde_json::Value = serde_json::from_str(&succeeds(here, "inspect m.sdp.index.json --json")).unwrap();
    assert_eq!(shown["shards"].as_array().unwrap().len(), shards.len());
    succeeds(here, "decompress m.sdp.index.json -o part.safetensors --include head");
    // A shard alone is a container, and says that it is a part.
    let output = seedpress(here, &format!("decompress {} -o alone.safetensors", shards[0]));
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is shard 1 of"), "{output:?}");
    fails(here, &format!("verify {} --against m.safetensors", shards[0]), 1, "it is missing");
    // No shard becomes the output of a command that reads it.
    fails(here, &format!("decompress m.sdp.index.json -o {} --force", shards[1]), 2, "it is an input");
    fails(here, "compress m.sdp.index.json --codec rtn -o x.sdp", 1, "seedpress decompress");
    std::fs::remove_file(here.join(&shards[1])).unwrap();
    for line in ["decompress m.sdp.index.json -o x.safetensors", "verify m.sdp.index.json", "inspect m.sdp.index.json"]
    {
        fails(here, line, 1, "is missing");
    }
}

#[test]
fn wrong_uses_of_shards() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    layers(here);
    let line = "compress m.safetensors --codec rtn --shard-size 20kB";
    fails(here, &format!("{line} -o -"), 2, "do not go to standard output");
    fails(here, "compress m.safetensors --codec rtn --shard-size 0 -o m.sdp", 2, "no bytes");
    succeeds(here, &format!("{line} -o m.sdp"));
    fails(here, &format!("{line} -o m.sdp"), 2, "m.sdp.index.json: it is there already");
    std::fs::remove_file(here.join("m.sdp.index.json")).unwrap();
    fails(here, &format!("{line} -o m.sdp"), 2, "m-00001-of-");
    succeeds(here, &format!("{line} -o m.sdp --force"));
    succeeds(here, "compress m.safetensors --codec rtn --shard-size 1GB -o m.sdp --force");
    assert_eq!(listing(here), ["m-00001-of-00001.sdp", "m.safetensors", "m.sdp.index.json"]);
}

#[test]
fn the_same_shards_when_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    layers(here);
    let line = "compress m.safetensors --codec seedlm-paper --shard-size 9kB -o m.sdp --force";
    succeeds(here, &format!("{line} --threads 3"));
    let all = || -> Vec<(String, Vec<u8>)> {
        listing(here).into_iter().map(|name| (name.clone(), std::fs::read(here.join(name)).unwrap())).collect()
    };
    let whole = all();
    // A machine may be busy: a run that was over before it was killed does not count.
    for attempt in 0.. {
        let run = format!("{line} --threads 1 --quiet");
        let mut child = command(here, &run).stderr(Stdio::null()).spawn().unwrap();
        let parts = here.join(".m.sdp.index.json.seedpress-parts");
        while std::fs::metadata(&parts).map_or(0, |file| file.len()) < 9_000 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let shown = succeeds(here, line);
        assert!(all() == whole);
        if shown.contains("tensors were taken up") {
            break;
        }
        assert!(attempt < 10, "never killed in time: {shown}");
    }
}
