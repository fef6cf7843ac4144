//! `compress --max-error`: what it promises, checked by `verify`.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::*;
use serde_json::Value;

/// Weights of different kinds: ordinary, of heavy tails, rows of different scales, in few bits with scales, and none.
fn kinds(here: &Path) {
    let heavy: Vec<f32> = noise(2, 8192).iter().map(|value| value.powi(5)).collect();
    let rows: Vec<f32> = noise(3, 8192).iter().enumerate().map(|(at, value)| value * (1 + at / 64) as f32).collect();
    let bf16 = noise(4, 8192).iter().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect();
    let codes = (0..8192u32).map(|at| ((at.wrapping_mul(2_654_435_761) >> 24) as u8) & 0xf7).collect();
    save(
        &here.join("m.safetensors"),
        &[
            ("ordinary", f32s(&[64, 128], &noise(1, 8192))),
            ("heavy", f32s(&[64, 128], &heavy)),
            ("rows", f32s(&[128, 64], &rows)),
            ("half", tensor("BF16", &[64, 128], bf16)),
            ("few", tensor("F8_E4M3", &[64, 128], codes)),
            ("few_scale", f32s(&[64], &noise(5, 64))),
            ("zeros", f32s(&[64, 128], &[0.0; 8192])),
            ("bias", f32s(&[64], &noise(6, 64))),
            ("steps", tensor("I64", &[1], 7i64.to_le_bytes().to_vec())),
        ],
    );
}

fn tensors(here: &Path, line: &str) -> Vec<Value> {
    let shown: Value = serde_json::from_str(&succeeds(here, line)).unwrap();
    shown["tensors"].as_array().unwrap().clone()
}

#[test]
fn every_tensor_is_within_the_error_and_not_far_within() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    kinds(here);
    for (codec, error) in [("ecsq", 0.3), ("trellis:effort=fast", 0.05), ("rtn:group=32+zstd", 0.1), ("hqq", 0.2)] {
        let line = format!("compress m.safetensors --codec {codec} --max-error {error} -o m.sdp --force --json");
        let made = tensors(here, &line);
        succeeds(here, &format!("verify m.sdp --against m.safetensors --max-error {error}"));
        let found = tensors(here, "verify m.sdp --against m.safetensors --json");
        for name in ["ordinary", "heavy", "rows", "half", "few", "zeros"] {
            let of = |list: &[Value]| list.iter().find(|tensor| tensor["name"] == name).unwrap().clone();
            let (made, found) = (of(&made), of(&found));
            for key in ["relative_error", "median_row_error"] {
                assert_eq!(made[key], found[key], "{codec} {name}: {key} is what verify says");
            }
            if name == "zeros" {
                continue;
            }
            // A step less of the rate, and it would not be: 1/32 of a bit is 2 %, a bit a factor of two and a little.
            let judged =
                f64::max(found["relative_error"].as_f64().unwrap(), found["median_row_error"].as_f64().unwrap());
            let step = if ["ecsq", "trellis:effort=fast"].contains(&codec) { 1.15 } else { 2.9 };
            let lowest = made["rate"] == 0.125 || made["rate"] == 2.0;
            assert!(judged <= error && (lowest || judged * step > error), "{codec} {name}: {judged}, {}", made["rate"]);
        }
    }
}

#[test]
fn what_no_rate_reaches_is_stored_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    let shown = succeeds(here, "compress m.safetensors --codec rtn --max-error 0.0001 -o m.sdp");
    assert!(shown.contains("kept: no rate within the error"), "{shown}");
    succeeds(here, "verify m.sdp --against m.safetensors --max-error 0");
    // What is left out is as it was, and says so.
    save(
        &here.join("n.safetensors"),
        &[("in", f32s(&[64, 64], &noise(1, 4096))), ("out", f32s(&[64, 64], &noise(2, 4096)))],
    );
    let made = tensors(here, "compress n.safetensors --codec ecsq --max-error 0.2 --exclude out -o n.sdp --json");
    assert_eq!((made[1]["kind"].as_str(), made[1]["relative_error"].as_f64()), (Some("kept"), Some(0.0)));
    assert!(made[0]["rate"].as_f64().unwrap() > 1.5, "{made:?}");
    succeeds(here, "verify n.sdp --against n.safetensors --max-error 0.2");
}

#[test]
fn a_codec_without_a_rate_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    for (options, part) in [
        ("--codec q8_0 --max-error 0.1", "`q8_0` has none to choose: codecs with a rate are"),
        ("--codec raw --max-error 0.1", "`raw` has none to choose"),
        ("--codec trellis:slope=0.01 --max-error 0.1", "has none to choose"),
        ("--codec rtn:bits=3 --max-error 0.1", "leave `bits` out"),
        ("--codec rtn --bits 3 --max-error 0.1", "cannot be used with"),
        ("--codec rtn --max-error 0.1 --no-verify", "cannot be used with"),
        ("--plan p.toml --max-error 0.1", "cannot be used with"),
        ("--codec rtn --max-error much", "an error is a number of 0 or more"),
        ("--codec rtn --max-error 0.1 --calibration t.txt", "add --not-sequential"),
    ] {
        fails(here, &format!("compress m.safetensors {options} -o m.sdp"), 2, part);
    }
}

#[test]
fn the_same_bytes_whatever_threads_and_when_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let tensors: Vec<_> = (0..12).map(|n| (format!("layer.{n}"), f32s(&[96, 128], &noise(n, 96 * 128)))).collect();
    seedpress_checkpoint::save_safetensors(&here.join("m.safetensors"), &tensors, &Default::default()).unwrap();
    let line = "compress m.safetensors --codec trellis --max-error 0.15 -o m.sdp --force";
    succeeds(here, &format!("{line} --threads 3"));
    let whole = std::fs::read(here.join("m.sdp")).unwrap();
    // A machine may be busy: a run that was over before it was killed does not count.
    for attempt in 0.. {
        let run = format!("{line} --threads 1 --quiet");
        let mut child = command(here, &run).stderr(Stdio::null()).spawn().unwrap();
        let parts = here.join(".m.sdp.seedpress-parts");
        while std::fs::metadata(&parts).map_or(0, |file| file.len()) < 9_000 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let shown = succeeds(here, line);
        assert!(std::fs::read(here.join("m.sdp")).unwrap() == whole);
        if shown.contains("tensors were taken up") {
            break;
        }
        assert!(attempt < 10, "never killed in time: {shown}");
    }
}
