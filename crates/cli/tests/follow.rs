//! `decompress --follow`: outputs that improve while the file arrives.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::*;
use seedpress_checkpoint::{Checkpoint, ContainerFile};

/// A progressive file, the lengths from which on it holds one, two, .. layers of every tensor, and its bytes.
fn progressive(here: &Path) -> (Vec<usize>, Vec<u8>) {
    let tensors = [
        ("a", f32s(&[48, 64], &noise(1, 3072))),
        ("b", f32s(&[64, 64], &noise(2, 4096))),
        ("bias", f32s(&[9], &noise(3, 9))),
    ];
    save(&here.join("m.safetensors"), &tensors);
    succeeds(here, "compress m.safetensors --codec seedlm-progressive:layers=3 -o m.sdp");
    succeeds(here, "decompress m.sdp -o whole.safetensors");
    let file = ContainerFile::open(&here.join("m.sdp"), None).unwrap();
    let end = |layer: usize| {
        file.index()
            .parts
            .iter()
            .filter_map(|parts| parts.get(layer))
            .map(|part| (part.offset + part.len) as usize)
            .max()
    };
    let marks: Vec<usize> = (0..3).map(|layer| end(layer).unwrap()).collect();
    (marks, std::fs::read(here.join("m.sdp")).unwrap())
}

fn error(here: &Path, name: &str) -> f64 {
    let load = |name: &str| Checkpoint::open(&here.join(name)).unwrap().load_float("b").unwrap().into_values();
    let (before, after) = (load("m.safetensors"), load(name));
    let error: f64 = before.iter().zip(&after).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (error / before.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>()).sqrt()
}

fn start(here: &Path, line: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = command(here, line);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

/// The next line that the command prints: an output is in its place then.
fn next(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    assert!(lines.read_line(&mut line).unwrap() > 0, "it ended");
    line
}

fn said(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_file_that_grows() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (marks, bytes) = progressive(here);
    std::fs::write(here.join("g.sdp"), "").unwrap();
    let (child, mut lines) = start(here, "decompress g.sdp --follow -o back.safetensors");
    let mut growing = OpenOptions::new().append(true).open(here.join("g.sdp")).unwrap();
    let (mut from, mut last) = (0, f64::INFINITY);
    for (layer, &mark) in marks.iter().enumerate() {
        // In pieces, some of which end within the index or a layer.
        for to in [from + (mark - from) / 3, mark] {
            growing.write_all(&bytes[from..to]).unwrap();
            from = to;
        }
        let line = next(&mut lines);
        let part = format!("{mark} of {} bytes", bytes.len());
        assert!(line.contains("back.safetensors: 3 tensors") && line.contains(&part), "{layer}: {line}");
        assert!(line.contains("no error"), "{line}");
        let now = error(here, "back.safetensors");
        assert!(now < last, "layer {layer}: {now} after {last}");
        last = now;
    }
    assert_eq!(said(child), (Some(0), String::new()));
    let read = |name: &str| std::fs::read(here.join(name)).unwrap();
    assert!(read("back.safetensors") == read("whole.safetensors"));
    assert_eq!(listing(here), ["back.safetensors", "g.sdp", "m.safetensors", "m.sdp", "whole.safetensors"]);
}

#[test]
fn a_pipe_whole_cut_and_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (marks, bytes) = progressive(here);
    let whole = std::fs::read(here.join("whole.safetensors")).unwrap();
    let line = "decompress - --follow -o back.safetensors --force --json";

    let (mut child, mut lines) = start(here, line);
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&bytes[..marks[0]]).unwrap();
    let first: serde_json::Value = serde_json::from_str(&next(&mut lines)).unwrap();
    assert_eq!((first["complete"].as_bool(), first["layers"].as_u64()), (Some(false), Some(3)));
    pipe.write_all(&bytes[marks[0]..]).unwrap();
    drop(pipe);
    let mut last = serde_json::Value::Null;
    for line in lines.lines() {
        last = serde_json::from_str(&line.unwrap()).unwrap();
    }
    assert_eq!((last["complete"].as_bool(), last["bytes"].as_u64()), (Some(true), Some(bytes.len() as u64)));
    assert_eq!(said(child).0, Some(0));
    assert!(std::fs::read(here.join("back.safetensors")).unwrap() == whole);

    // What was written before the end stays.
    let (mut child, mut lines) = start(here, line);
    child.stdin.take().unwrap().write_all(&bytes[..marks[0] + 3]).unwrap();
    next(&mut lines);
    let (status, err) = said(child);
    assert!(
        status == Some(1) && err.contains(&format!("ended after {} of {} bytes", marks[0] + 3, bytes.len())),
        "{err}"
    );
    assert!(std::fs::read(here.join("back.safetensors")).unwrap() != whole);

    let mut damaged = bytes.clone();
    damaged[marks[1] - 9] ^= 1;
    let (mut child, mut lines) = start(here, line);
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&damaged[..marks[0]]).unwrap();
    next(&mut lines);
    let kept = std::fs::read(here.join("back.safetensors")).unwrap();
    let _ = pipe.write_all(&damaged[marks[0]..]);
    drop(pipe);
    let (status, err) = said(child);
    assert!(status == Some(1) && err.contains("checksum"), "{err}");
    assert!(std::fs::read(here.join("back.safetensors")).unwrap() == kept);

    // Nothing is written where nothing decodes.
    std::fs::remove_file(here.join("back.safetensors")).unwrap();
    for (sent, part) in [
        (&bytes[..marks[0] - 1], "are too few"),
        (&bytes[..9], "within its index"),
        (b"no container at all", "not a seedpress container"),
    ] {
        let (mut child, _) = start(here, line);
        let _ = child.stdin.take().unwrap().write_all(sent);
        let (status, err) = said(child);
        assert!(status == Some(1) && err.contains(part), "{part}: {err}");
    }
    assert_eq!(listing(here), ["m.safetensors", "m.sdp", "whole.safetensors"]);
}

#[test]
fn what_is_whole_at_once_and_what_cannot_be_followed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    progressive(here);
    succeeds(here, "decompress m.sdp --follow -o folder/");
    assert!(
        std::fs::read(here.join("folder/model.safetensors")).unwrap()
            == std::fs::read(here.join("whole.safetensors")).unwrap()
    );
    fails(here, "decompress m.sdp --follow -o whole.safetensors", 2, "--force replaces it");
    fails(here, "decompress m.sdp --follow -o -", 2, "name a file or a folder");
    fails(here, "decompress m.sdp --follow -o /dev/null", 2, "which only a file allows");
    fails(here, "decompress m.sdp --follow --layers 1 -o x.safetensors", 2, "cannot be used with");
    fails(here, "decompress m.sdp --follow --max-bytes 9 -o x.safetensors", 2, "cannot be used with");
    fails(here, "decompress nowhere.sdp --follow -o x.safetensors", 1, "nowhere.sdp");
}

#[cfg(unix)]
#[test]
fn stopped_while_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (marks, bytes) = progressive(here);
    std::fs::write(here.join("g.sdp"), &bytes[..marks[0]]).unwrap();
    let (child, mut lines) = start(here, "decompress g.sdp --follow -o back.safetensors");
    next(&mut lines);
    let begin = Instant::now();
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let (status, err) = said(child);
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(
        status == Some(130) && err.contains(&format!("holds what {} of {} bytes decode to", marks[0], bytes.len())),
        "{err}"
    );
    assert!(error(here, "back.safetensors") < 1.0);
    assert_eq!(listing(here), ["back.safetensors", "g.sdp", "m.safetensors", "m.sdp", "whole.safetensors"]);
}
