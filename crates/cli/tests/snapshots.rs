//! Help texts, tables and errors as users read them.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;

/// Standard output and standard error, with the width of a terminal fixed.
fn said(here: &std::path::Path, line: &str) -> String {
    let output = command(here, line).env("COLUMNS", "100").output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    format!("$ seedpress {line}\n{out}{err}exit status {}\n", output.status.code().unwrap())
}

#[test]
fn help() {
    let folder = tempfile::tempdir().unwrap();
    for verb in ["compress", "decompress", "inspect", "verify", "completions", "man"] {
        insta::assert_snapshot!(format!("help_{verb}"), said(folder.path(), &format!("{verb} --help")));
    }
}

#[test]
fn a_session() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("model.safetensors"), 1);
    let lines = [
        "compress model.safetensors --codec rtn --bits 3 -o model.sdp --verbose",
        "inspect model.sdp",
        "verify model.sdp",
        "verify model.sdp --against model.safetensors --verbose",
        "verify model.sdp --against model.safetensors --max-error 0.1",
        "decompress model.sdp -o back.safetensors",
        "inspect model.sdp --json",
        "compress model.safetensors --codec rtn -o other.sdp --json",
    ];
    let session: Vec<String> = lines.into_iter().map(|line| said(here, line)).collect();
    insta::assert_snapshot!("a_session", session.join("\n"));
}

#[test]
fn errors() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("model.safetensors"), 1);
    std::fs::create_dir(here.join("empty")).unwrap();
    std::fs::write(here.join("text.sdp"), "this is no container").unwrap();
    succeeds(here, "compress model.safetensors --codec rtn -o model.sdp");
    let bytes = std::fs::read(here.join("model.sdp")).unwrap();
    std::fs::write(here.join("cut.sdp"), &bytes[..300]).unwrap();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(here.join("damaged.sdp"), damaged).unwrap();
    let lines = [
        "compress model.safetensors -o x.sdp",
        "compress nowhere.safetensors --codec rtn -o x.sdp",
        "compress empty --codec rtn -o x.sdp",
        "compress model.safetensors --codec rtn -o model.sdp",
        "compress model.safetensors --codec rtn -o model.safetensors --force",
        "compress model.safetensors --codec rtn:bit=3 -o x.sdp",
        "compress model.safetensors --codec rtn --bits 99 -o x.sdp",
        "compress model.safetensors --codec rtn+ans --then zstd -o x.sdp",
        "compress model.safetensors --codec rtn --include lm_head -o x.sdp",
        "decompress text.sdp -o x.safetensors",
        "decompress cut.sdp -o x.safetensors",
        "decompress damaged.sdp -o x.safetensors",
        "decompress model.sdp -o x.safetensors --limit 3parsecs",
        "verify cut.sdp",
        "verify damaged.sdp",
    ];
    let session: Vec<String> = lines.into_iter().map(|line| said(here, line)).collect();
    insta::assert_snapshot!("errors", session.join("\n"));
}
