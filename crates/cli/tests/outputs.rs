//! Outputs: whole or not at all, and nothing else is touched.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::*;

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn devices_and_pipes_are_written_to_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    succeeds(here, "compress m.safetensors --codec raw -o m.sdp");
    for line in ["compress m.safetensors --codec raw -o /dev/null --force", "decompress m.sdp -o /dev/null --force"] {
        succeeds(here, line);
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
    fifo(&here.join("pipe"));
    let mut reader = Command::new("cat").arg("pipe").current_dir(here).stdout(Stdio::piped()).spawn().unwrap();
    succeeds(here, "compress m.safetensors --codec raw -o pipe --force");
    let mut bytes = Vec::new();
    reader.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    reader.wait().unwrap();
    assert!(bytes == std::fs::read(here.join("m.sdp")).unwrap());
    assert!(std::fs::metadata(here.join("pipe")).unwrap().file_type().is_fifo());
    fails(here, "compress m.safetensors --codec raw -o . --force", 2, "it is a folder");
}

#[test]
fn links_stay_links_and_inputs_stay_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    let original = std::fs::read(here.join("m.safetensors")).unwrap();
    std::fs::write(here.join("old.sdp"), "old").unwrap();
    std::fs::set_permissions(here.join("old.sdp"), std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("old.sdp", here.join("link.sdp")).unwrap();
    succeeds(here, "compress m.safetensors --codec raw -o link.sdp --force");
    assert!(std::fs::symlink_metadata(here.join("link.sdp")).unwrap().is_symlink());
    assert!(std::fs::metadata(here.join("old.sdp")).unwrap().len() > 1000);
    assert_eq!(std::fs::metadata(here.join("old.sdp")).unwrap().mode() & 0o777, 0o640, "the mode is kept");
    symlink("new.sdp", here.join("dangling.sdp")).unwrap();
    succeeds(here, "compress m.safetensors --codec raw -o dangling.sdp");
    assert!(here.join("new.sdp").is_file());
    symlink("m.safetensors", here.join("in.safetensors")).unwrap();
    std::fs::hard_link(here.join("m.safetensors"), here.join("hard.safetensors")).unwrap();
    for output in ["m.safetensors", "in.safetensors", "hard.safetensors"] {
        fails(here, &format!("compress m.safetensors --codec raw -o {output} --force"), 2, "an input of this command");
        assert!(std::fs::read(here.join("m.safetensors")).unwrap() == original);
    }
    fails(here, "decompress new.sdp -o dangling.sdp --force", 2, "an input of this command");
    fails(here, "compress m.safetensors --codec raw -o new.sdp", 2, "--force replaces it");
    fails(here, "compress m.safetensors --codec raw -o nowhere/m.sdp", 1, "there is no folder nowhere");
}

#[test]
fn a_dash_is_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    let input = std::fs::File::open(here.join("m.safetensors")).unwrap();
    let packed = command(here, "compress - --codec q8_0 -o -").stdin(input).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    succeeds(here, "compress m.safetensors --codec q8_0 -o m.sdp");
    assert!(packed.stdout == std::fs::read(here.join("m.sdp")).unwrap());
    for line in ["decompress - -o -", "inspect -", "verify -"] {
        let mut child =
            command(here, line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&packed.stdout).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}");
        if line.starts_with("decompress") {
            succeeds(here, "decompress m.sdp -o back.safetensors");
            assert!(output.stdout == std::fs::read(here.join("back.safetensors")).unwrap());
        }
    }
    assert!(!here.join("-").exists());
}

#[test]
fn streams_without_end_end_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for input in ["/dev/zero", "/dev/urandom"] {
        for line in [format!("compress {input} --codec raw -o m.sdp"), format!("decompress {input} -o m.safetensors")] {
            fails(here, &line, 1, input);
        }
    }
    // A good header and then more than it declares.
    model(&here.join("m.safetensors"), 1);
    let bytes = std::fs::read(here.join("m.safetensors")).unwrap();
    fifo(&here.join("pipe"));
    for (extra, works) in [(0, true), (1, false)] {
        let (path, bytes) = (here.join("pipe"), [bytes.as_slice(), &vec![0; extra]].concat());
        let writer = std::thread::spawn(move || {
            let _ = std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all(&bytes);
        });
        let output = seedpress(here, "compress pipe --codec raw -o p.sdp --force");
        assert_eq!(output.status.success(), works, "{}", String::from_utf8_lossy(&output.stderr));
        writer.join().unwrap();
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let tensors: Vec<_> = (0..5000).map(|n| (format!("tensor.{n}"), f32s(&[1], &[n as f32]))).collect();
    seedpress_checkpoint::save_safetensors(&here.join("m.safetensors"), &tensors, &Default::default()).unwrap();
    succeeds(here, "compress m.safetensors --codec raw -o m.sdp");
    for line in ["inspect m.sdp", "inspect m.sdp --json", "codecs", "verify m.sdp --against m.safetensors --verbose"] {
        let mut child = command(here, line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut start = [0; 10];
        child.stdout.as_mut().unwrap().read_exact(&mut start).unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{line}");
    }
}

/// A model whose compression takes seconds, tensor by tensor.
fn slow(here: &Path) -> &'static str {
    let tensors: Vec<_> =
        (0..16).map(|n| (format!("layer.{n}.weight"), f32s(&[96, 128], &noise(n, 96 * 128)))).collect();
    seedpress_checkpoint::save_safetensors(&here.join("m.safetensors"), &tensors, &Default::default()).unwrap();
    "compress m.safetensors --codec seedlm-paper --threads 1 --quiet -o m.sdp"
}

/// Starts the command and waits until it has finished a few tensors.
fn start(here: &Path, line: &str) -> Child {
    let child = command(here, line).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let parts = here.join(".m.sdp.seedpress-parts");
    let begin = Instant::now();
    while std::fs::metadata(&parts).map_or(0, |file| file.len()) < 9_000 && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

#[test]
fn stopped_runs_leave_nothing_and_killed_ones_are_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let line = slow(here);
    for name in ["-INT", "-TERM"] {
        let mut child = start(here, line);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        assert_eq!(listing(here), ["m.safetensors"], "{name}");
    }
    let mut child = start(here, line);
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert_eq!(listing(here), [".m.sdp.seedpress-parts", ".m.sdp.seedpress-tmp", "m.safetensors"]);
    let shown = succeeds(here, &line.replace("--quiet", ""));
    assert!(shown.contains("of 16 tensors were taken up"), "{shown}");
    assert_eq!(listing(here), ["m.safetensors", "m.sdp"]);
    let resumed = std::fs::read(here.join("m.sdp")).unwrap();
    std::fs::remove_file(here.join("m.sdp")).unwrap();
    // Another source, or other settings: what is left is of no use and goes.
    let mut child = start(here, line);
    signal(&child, "-KILL");
    child.wait().unwrap();
    let shown = succeeds(here, "compress m.safetensors --codec rtn -o m.sdp");
    assert!(!shown.contains("taken up"), "{shown}");
    assert_eq!(listing(here), ["m.safetensors", "m.sdp"]);
    let shown = succeeds(here, &line.replace("--quiet", "--force"));
    assert!(!shown.contains("taken up") && std::fs::read(here.join("m.sdp")).unwrap() == resumed, "{shown}");
    // Two at once do not write one file.
    std::fs::remove_file(here.join("m.sdp")).unwrap();
    let mut child = start(here, line);
    fails(here, line, 2, "another process is writing it");
    signal(&child, "-INT");
    child.wait().unwrap();
    // Kept on request.
    let mut child = start(here, &format!("{line} --resumable"));
    signal(&child, "-INT");
    child.wait().unwrap();
    assert!(succeeds(here, &line.replace("--quiet", "")).contains("taken up"));
    assert!(std::fs::read(here.join("m.sdp")).unwrap() == resumed);
    assert_eq!(listing(here), ["m.safetensors", "m.sdp"]);
}

#[test]
fn threads_and_memory_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    slow(here);
    let run = |options: &str| {
        succeeds(here, &format!("compress m.safetensors --codec trellis -o m.sdp --force {options}"));
        std::fs::read(here.join("m.sdp")).unwrap()
    };
    let first = run("--threads 1");
    for options in ["--threads 3", "--threads 8 --max-memory 1MB", "--no-verify", "--max-memory 10GB"] {
        assert!(run(options) == first, "{options}");
    }
}
