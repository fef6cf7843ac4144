//! What a command reads is never what it writes, and a folder of results holds what was written last and nothing else.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use seedpress_checkpoint::Checkpoint;

/// Fails with status 2 for this reason, and leaves the bytes of `kept` alone.
#[track_caller]
fn spares(here: &Path, line: &str, part: &str, kept: &str) {
    let before = std::fs::read(here.join(kept)).unwrap();
    fails(here, line, 2, part);
    assert!(std::fs::read(here.join(kept)).unwrap() == before, "{line}: {kept} changed");
}

#[test]
fn no_command_writes_over_what_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let input = "an input of this command";
    model(&here.join("m.safetensors"), 1);
    spares(here, "plan m.safetensors --bits 4 --codec rtn -o m.safetensors --force", input, "m.safetensors");
    std::fs::write(here.join("p.toml"), "[[tensor]]\nname = \"*\"\ncodec = \"rtn\"\n").unwrap();
    spares(here, "compress m.safetensors --plan p.toml -o p.toml --force", input, "p.toml");
    symlink("m.safetensors", here.join("link.safetensors")).unwrap();
    spares(here, "plan m.safetensors --bits 4 --codec rtn -o link.safetensors --force", input, "m.safetensors");
    // A shard, by the index that names it or the folder that holds it.
    std::fs::create_dir(here.join("sharded")).unwrap();
    model(&here.join("sharded/a.safetensors"), 1);
    let names = ["fc.weight", "fc.bias", "steps"].map(|name| format!("\"{name}\": \"a.safetensors\"")).join(", ");
    let index = "sharded/model.safetensors.index.json";
    std::fs::write(here.join(index), format!("{{\"weight_map\": {{{names}}}}}")).unwrap();
    for read in ["sharded", index] {
        for (output, kept) in [("sharded/a.safetensors", "sharded/a.safetensors"), (index, index)] {
            spares(here, &format!("compress {read} --codec rtn -o {output} --force"), input, kept);
            spares(here, &format!("plan {read} --bits 4 --codec rtn -o {output} --force"), input, kept);
        }
    }
    // The result of an earlier run in the same folder is no input.
    succeeds(here, "compress sharded --codec rtn -o sharded/m.sdp");
    succeeds(here, "compress sharded --codec rtn -o sharded/m.sdp --force");
    succeeds(here, "plan sharded --bits 5 --codec rtn -o sharded/p.toml");
    succeeds(here, "plan sharded --bits 5 --codec rtn -o sharded/p.toml --force");
}

#[test]
fn exports_spare_the_folders_they_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("model.safetensors"), 1);
    let bytes = std::fs::read(here.join("model.safetensors")).unwrap();
    let part = "an input: write to another";
    // Named without a folder, through a link, and by its file.
    spares(here, "export model.safetensors --to safetensors --dtype bf16 -o . --force", part, "model.safetensors");
    symlink(".", here.join("here")).unwrap();
    spares(here, "export model.safetensors --to safetensors --dtype bf16 -o here --force", part, "model.safetensors");
    std::fs::create_dir(here.join("away")).unwrap();
    symlink("../model.safetensors", here.join("away/model.safetensors")).unwrap();
    let line = "export away/model.safetensors --to safetensors --dtype bf16 -o . --force";
    spares(here, line, part, "model.safetensors");
    std::fs::create_dir(here.join("config")).unwrap();
    std::fs::write(here.join("config/config.json"), "{}").unwrap();
    let line = "export model.safetensors --config config --to safetensors -o config --force";
    spares(here, line, part, "config/config.json");
    // A link in the folder of results is replaced, and what it leads to stays.
    std::fs::write(here.join("config/tokenizer.json"), "{\"a\": 1}").unwrap();
    for name in ["config.json", "tokenizer.json"] {
        symlink(Path::new("../config").join(name), here.join("away").join(name)).unwrap();
    }
    succeeds(here, "export model.safetensors --config config --to safetensors --dtype bf16 -o away --force");
    assert!(std::fs::read(here.join("model.safetensors")).unwrap() == bytes);
    assert_eq!(std::fs::read_to_string(here.join("config/tokenizer.json")).unwrap(), "{\"a\": 1}");
    assert_eq!(std::fs::read_to_string(here.join("config/config.json")).unwrap(), "{}");
    assert_eq!(std::fs::read_to_string(here.join("away/tokenizer.json")).unwrap(), "{\"a\": 1}");
    // What is no folder.
    fails(here, "export model.safetensors --to safetensors -o -", 2, "is a folder");
    fails(here, "export model.safetensors --to safetensors -o model.safetensors --force", 2, "it is no folder");
    fails(here, "export model.safetensors --to safetensors --exclude wait* -o out", 2, "no tensor matches `wait*`");
}

#[test]
fn a_folder_holds_the_last_export_and_nothing_of_those_before() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    model(&here.join("n.safetensors"), 2);
    let line = |model: &str, size: &str| format!("export {model} --to safetensors --shard-size {size} -o out --force");
    succeeds(here, &line("m.safetensors", "1kB"));
    let index = "model.safetensors.index.json";
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", index];
    let names = listing(&here.join("out"));
    assert!(
        names.len() > 2 && names.iter().all(|name| shards.contains(&name.as_str()) || name.contains("of-00003")),
        "{names:?}"
    );
    std::fs::write(here.join("out/notes.txt"), "mine").unwrap();
    succeeds(here, &line("n.safetensors", "1GB"));
    assert_eq!(listing(&here.join("out")), ["model.safetensors", "notes.txt"]);
    let load = |path: &str| Checkpoint::open(&here.join(path)).unwrap().load_float("fc.weight").unwrap();
    assert!(load("out") == load("n.safetensors"));
    succeeds(here, &line("m.safetensors", "1kB"));
    assert!(!here.join("out/model.safetensors").exists() && here.join("out").join(index).is_file());
    assert!(load("out") == load("m.safetensors"));
}

#[test]
fn an_export_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let tensors: Vec<_> = (0..12).map(|n| (format!("w{n}"), f32s(&[512, 2048], &vec![n as f32; 1 << 20]))).collect();
    seedpress_checkpoint::save_safetensors(&here.join("m.safetensors"), &tensors, &Default::default()).unwrap();
    for wait in [5, 50] {
        let mut child = command(here, "export m.safetensors --to safetensors --shard-size 4MB -o out --quiet")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..2000 {
            if here.join("out").exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(wait));
        // It may have ended by itself: then there is nobody to stop, and the folder is whole.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status();
        let whole = child.wait().unwrap().success();
        let left = if here.join("out").exists() { listing(&here.join("out")) } else { Vec::new() };
        assert!(whole || left.iter().all(|name| !name.starts_with('.')), "{left:?}");
        let _ = std::fs::remove_dir_all(here.join("out"));
    }
}
