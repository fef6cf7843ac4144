//! Containers in shards: written, read as one, and indices that lie.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use seedpress_checkpoint::container::is_container;
use seedpress_checkpoint::container::shards::index_path;
use seedpress_checkpoint::{CheckpointError, ContainerFile, ContainerWriter, Entry, Order, Output, Overwrite, Shards};

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((seed * 7919 + at * 104_729) % 251) as u8).collect()
}

/// Names and contents; `g` is the same as `b`.
fn tensors() -> Vec<(String, Entry)> {
    let opaque =
        |seed: usize, len: usize| Entry::Opaque { dtype: "U8".into(), shape: vec![len], bytes: bytes(seed, len) };
    let mut tensors: Vec<(String, Entry)> = [300, 400, 50, 2500, 0, 700]
        .iter()
        .enumerate()
        .map(|(at, &len)| (char::from(b'a' + at as u8).to_string(), opaque(at, len)))
        .collect();
    tensors.push(("g".into(), Entry::Alias(1)));
    tensors
}

fn write(folder: &Path, size: u64, overwrite: Overwrite) -> Result<u64, CheckpointError> {
    let output = Output::create(&index_path(&folder.join("m.sdp")), overwrite, &[])?;
    let metadata =
        BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("sdp:shard".to_owned(), "9/9 x".to_owned())]);
    let shards = Shards { size, overwrite, inputs: Vec::new() };
    let mut writer = ContainerWriter::new(output, Order::QualityMajor, metadata, 1)?.in_shards(shards)?;
    for (key, (name, entry)) in tensors().iter().enumerate() {
        writer.push(name, entry, key as u128, 0)?;
    }
    writer.finish(&|| true)
}

fn listing(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn check(file: &ContainerFile) {
    assert!(file.is_complete() && file.shard().is_none());
    assert_eq!(file.index().metadata, BTreeMap::from([("format".to_owned(), "pt".to_owned())]));
    let names: Vec<&str> = file.index().entries.iter().map(|entry| entry.name.as_str()).collect();
    for (name, entry) in tensors() {
        let place = names.iter().position(|other| *other == name).unwrap();
        let expected = match &entry {
            Entry::Opaque { bytes, .. } => bytes.clone(),
            _ => bytes(1, 400),
        };
        assert_eq!(file.opaque_bytes(place).unwrap(), expected, "{name}");
    }
    assert_eq!(names.len(), 7);
}

#[test]
fn shards_are_read_as_one_and_keep_to_their_size() {
    for size in [1, 900, 1200, 3000, 1 << 30] {
        let folder = tempfile::tempdir().unwrap();
        let total = write(folder.path(), size, Overwrite::Refuse).unwrap();
        let index = folder.path().join("m.sdp.index.json");
        let file = ContainerFile::open(&index, None).unwrap();
        check(&file);
        let mut sum = std::fs::metadata(&index).unwrap().len();
        for path in file.files() {
            let len = std::fs::metadata(path).unwrap().len();
            let alone = ContainerFile::open(path, None).unwrap();
            assert!(len <= size || alone.index().entries.len() <= 2, "{size}: {len}");
            assert_eq!(alone.shard().map(|(_, count)| count), Some(file.files().len()).filter(|count| *count > 1));
            assert!(!alone.index().metadata.contains_key("sdp:shard") && is_container(path));
            sum += len;
        }
        assert_eq!((sum, is_container(&index)), (total, true));
        assert_eq!(listing(folder.path()).len(), file.files().len() + 1, "nothing else is left");
        // The same again is the same.
        let before: Vec<Vec<u8>> = file.files().map(|path| std::fs::read(path).unwrap()).collect();
        write(folder.path(), size, Overwrite::Allow).unwrap();
        assert!(file.files().map(|path| std::fs::read(path).unwrap()).eq(before));
        assert!(ContainerFile::open(&index, Some(100)).unwrap_err().to_string().contains("first bytes"));
    }
}

#[test]
fn what_is_there_is_refused_or_replaced_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, 900, Overwrite::Refuse).unwrap();
    let first = listing(here);
    assert!(first.len() > 4, "{first:?}");
    assert!(write(here, 900, Overwrite::Refuse).unwrap_err().to_string().contains("--force replaces it"));
    std::fs::remove_file(here.join("m.sdp.index.json")).unwrap();
    let refused = write(here, 3000, Overwrite::Refuse).unwrap_err().to_string();
    assert!(refused.contains("m-00001-of-") && refused.contains("--force replaces it"), "{refused}");
    assert_eq!(listing(here).len(), first.len() - 1);
    write(here, 900, Overwrite::Allow).unwrap();
    // Other files of the folder stay, whatever an index says of them; shards that the new index does not name go.
    std::fs::write(here.join("notes.sdp"), "mine").unwrap();
    let index = std::fs::read_to_string(here.join("m.sdp.index.json")).unwrap();
    let lying = index.replacen("\"shards\": [", "\"shards\": [{\"file\": \"notes.sdp\", \"bytes\": 4},", 1);
    std::fs::write(here.join("m.sdp.index.json"), lying).unwrap();
    std::fs::write(here.join(".m-00009-of-00011.sdp.seedpress-tmp"), "left").unwrap();
    write(here, 1 << 30, Overwrite::Allow).unwrap();
    assert_eq!(listing(here), ["m-00001-of-00001.sdp", "m.sdp.index.json", "notes.sdp"]);
    check(&ContainerFile::open(&here.join("m.sdp.index.json"), None).unwrap());
}

/// What opening says after a change of the index, or of the files beside it.
fn after(change: impl FnOnce(&Path, String) -> String) -> String {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("inner");
    std::fs::create_dir(&here).unwrap();
    write(&here, 900, Overwrite::Refuse).unwrap();
    let index = here.join("m.sdp.index.json");
    let text = std::fs::read_to_string(&index).unwrap();
    let text = change(&here, text);
    std::fs::write(&index, text).unwrap();
    match ContainerFile::open(&index, None) {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The name of a shard.
fn shard(number: usize) -> String {
    format!("m-{number:05}-of-00004.sdp")
}

/// A changed set is refused, and the message says `part` and which index.
fn wrong(part: &str, change: &dyn Fn(&Path, String) -> String) {
    let said = after(change);
    assert!(said.contains(part) && said.contains("m.sdp.index.json"), "{part}: {said}");
}

#[test]
fn shards_that_are_not_those_of_the_index_are_told() {
    assert_eq!(after(|_, text| text), "opened");
    wrong("is missing", &|here, text| {
        std::fs::remove_file(here.join(shard(2))).unwrap();
        text
    });
    wrong("is of another run", &|here, text| {
        std::fs::copy(here.join(shard(1)), here.join(shard(2))).unwrap();
        text
    });
    wrong("is of another run", &|here, text| {
        // Two shards in each other's place.
        std::fs::rename(here.join(shard(1)), here.join("x")).unwrap();
        std::fs::rename(here.join(shard(2)), here.join(shard(1))).unwrap();
        std::fs::rename(here.join("x"), here.join(shard(2))).unwrap();
        text
    });
    wrong("is of another run", &|here, text| {
        // Shards of a run with other settings, under the same name.
        let other = here.join("other");
        std::fs::create_dir(&other).unwrap();
        write(&other, 901, Overwrite::Refuse).unwrap();
        std::fs::copy(other.join(shard(2)), here.join(shard(2))).unwrap();
        text
    });
    wrong("bytes where", &|here, text| {
        let bytes = std::fs::read(here.join(shard(3))).unwrap();
        std::fs::write(here.join(shard(3)), &bytes[..bytes.len() - 1]).unwrap();
        text
    });
}

#[test]
fn an_index_that_lies_is_told() {
    for elsewhere in ["../m.sdp", "/etc/passwd", "sub/m.sdp", "..", ".", "", "a\\\\b.sdp", "c:m.sdp", "m\\u0000.sdp"] {
        wrong("is not a plain file name", &|_, text| text.replace(&shard(2), elsewhere));
    }
    wrong("twice", &|_, text| text.replace(&shard(2), &shard(1)));
    wrong("is missing", &|_, text| text.replace(&shard(2), "m.sdp"));
    wrong("does not say that", &|_, text| text.replacen("\"c\":", "\"z\":", 1));
    wrong("no tensor named `zz`", &|_, text| {
        text.replacen("\"weight_map\": {", &format!("\"weight_map\": {{\"zz\": \"{}\",", shard(1)), 1)
    });
    wrong("does not say that", &|_, text| {
        let at = text.find("\"d\": \"").unwrap() + 6;
        format!("{}{}{}", &text[..at], shard(1), &text[at + shard(1).len()..])
    });
    wrong("version 2", &|_, text| text.replace("\"version\": 1", "\"version\": 2"));
    wrong("names 0 shards", &|_, text| {
        let (start, end) = (text.find("\"shards\"").unwrap(), text.find("\"weight_map\"").unwrap());
        format!("{}\"shards\": [], {}", &text[..start], &text[end..])
    });
    wrong("", &|_, text| text[..text.len() / 2].to_owned());
    wrong("missing field", &|_, text| text.replace("\"weight_map\"", "\"weights\""));
    wrong("`a` is in its shard", &|here, text| {
        // A shard that is no file.
        let _ = here;
        text.replacen("\"a\":", "\"aa\":", 1)
    });
}

#[test]
fn a_tensor_in_two_shards_is_told() {
    // Two sets of one shard each, put together by hand: marks are made to fit, which no accident does.
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut container = seedpress_checkpoint::Container { order: Order::QualityMajor, ..Default::default() };
    container.entries.push(("a".into(), Entry::Opaque { dtype: "U8".into(), shape: vec![2], bytes: vec![1, 2] }));
    let mut lines = Vec::new();
    for number in 1..=2 {
        container.metadata = BTreeMap::from([("sdp:shard".to_owned(), format!("{number}/2 ab"))]);
        let len = container.write(&here.join(format!("{number}.sdp"))).unwrap();
        lines.push(format!("{{\"file\": \"{number}.sdp\", \"bytes\": {len}}}"));
    }
    let text = format!(
        "{{\"format\": \"sdp-shards\", \"version\": 1, \"set\": \"ab\", \"total_bytes\": 0, \"shards\": [{}], \"weight_map\": {{\"a\": \"1.sdp\"}}}}",
        lines.join(",")
    );
    std::fs::write(here.join("x.json"), text).unwrap();
    let said = ContainerFile::open(&here.join("x.json"), None).unwrap_err().to_string();
    assert!(said.contains("two tensors have the same name"), "{said}");
}
