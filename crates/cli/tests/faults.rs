//! What once lost or ruined data, and what must happen instead.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use seedpress_checkpoint::{Checkpoint, save_safetensors};

#[test]
fn whatever_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // An index that packs a hundred thousand to one, below and above what a small file may be decoded to.
    for (name, len) in [("short", 300_000), ("long", 3_000_000)] {
        let metadata = BTreeMap::from([("notes".to_owned(), " ".repeat(len))]);
        let tensors = [("w".to_owned(), f32s(&[64, 64], &noise(1, 4096)))];
        save_safetensors(&here.join(format!("{name}.safetensors")), &tensors, &metadata).unwrap();
        succeeds(here, &format!("compress {name}.safetensors --codec rtn -o {name}.sdp"));
        succeeds(here, &format!("decompress {name}.sdp -o {name}.back.safetensors"));
        assert_eq!(Checkpoint::open(&here.join(format!("{name}.back.safetensors"))).unwrap().metadata(), &metadata);
    }
    succeeds(here, &format!("verify {}", case("unreadable-index.sdp").display()));
    // Tensors that compress further than a reader believes.
    let shape = [4096, 2048];
    save(&here.join("zeros.safetensors"), &[("w", f32s(&shape, &vec![0.0; 4096 * 2048]))]);
    for codec in ["rtn+zstd", "ecsq", "bitnet+ans"] {
        succeeds(here, &format!("compress zeros.safetensors --codec {codec} -o z.sdp --force"));
        succeeds(here, "decompress z.sdp -o z.safetensors --force");
        let back = Checkpoint::open(&here.join("z.safetensors")).unwrap().load_float("w").unwrap();
        assert!(back.shape() == shape && back.values().iter().all(|&value| value == 0.0), "{codec}");
        let len = std::fs::metadata(here.join("z.sdp")).unwrap().len();
        assert!((32 << 10..40 << 10).contains(&len), "{codec}: {len} bytes justify 32 MiB, and no more than needed");
        succeeds(here, "verify z.sdp --against zeros.safetensors");
    }
}

#[test]
fn more_axes_than_a_record_has_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let table = succeeds(here, &format!("compress {} --codec rtn -o r.sdp", case("rank100.safetensors").display()));
    assert!(table.contains("kept: too many axes"), "{table}");
    succeeds(here, &format!("verify r.sdp --against {}", case("rank100.safetensors").display()));
    succeeds(here, "decompress r.sdp -o r.safetensors");
    let shape = vec![1; 100];
    assert_eq!(Checkpoint::open(&here.join("r.safetensors")).unwrap().tensors()[0].shape, shape);
}

#[test]
fn hostile_files_are_errors_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let bomb = case("bomb-many-tensors.sdp");
    fails(here, &format!("decompress {} -o b.safetensors", bomb.display()), 1, "limit exceeded: 24000000000 bytes");
    fails(here, &format!("verify {}", bomb.display()), 1, "limit exceeded");
    assert!(succeeds(here, &format!("inspect {}", bomb.display())).contains("t99: zeros"));
    let panic = case("panic_record142.sdp");
    fails(here, &format!("decompress {} -o b.safetensors", panic.display()), 1, "truncated");
    let shown = fails(here, "decompress missing.sdp -o b.safetensors", 1, "missing.sdp");
    assert_eq!(shown.lines().count(), 1, "{shown}");
}

#[test]
fn an_index_is_a_promise() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let q5 = case("q5.safetensors.index.json");
    fails(here, &format!("compress {} --codec raw -o q.sdp", q5.display()), 1, "holds no tensor named `y`");
    std::fs::write(here.join("e.safetensors.index.json"), r#"{"weight_map": {}}"#).unwrap();
    fails(here, "compress e.safetensors.index.json --codec raw -o q.sdp", 1, "names no tensor");
}

#[test]
fn names_give_no_orders_to_terminals() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let file = case("escape_name.safetensors");
    let mut shown = succeeds(here, &format!("compress {} --codec rtn -o e.sdp --verbose", file.display()));
    shown += &succeeds(here, "inspect e.sdp");
    shown += &succeeds(here, &format!("verify e.sdp --against {} --verbose", file.display()));
    assert!(shown.contains("a\\u{1b}[2J") && shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    let bytes = std::fs::read(here.join("e.sdp")).unwrap();
    std::fs::write(here.join("cut.sdp"), &bytes[..bytes.len() - 1]).unwrap();
    let error = fails(here, "decompress cut.sdp -o x.safetensors", 1, "too few");
    assert!(error.chars().all(|c| c == '\n' || !c.is_control()), "{error:?}");
}

#[test]
fn metadata_and_everything_else_have_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let file = case("metadata4keys.safetensors");
    succeeds(here, &format!("compress {} --codec rtn -o m.sdp", file.display()));
    let run = |n: usize| {
        succeeds(here, &format!("decompress m.sdp -o {n}.safetensors"));
        std::fs::read(here.join(format!("{n}.safetensors"))).unwrap()
    };
    let first = run(0);
    assert!((1..6).all(|n| run(n) == first));
}

/// Packs a changed copy without loss and compares it with the original.
#[test]
fn verify_tells_wrong_files_from_right_ones() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let weights = noise(3, 4096);
    let steps = |value: i64| tensor("I64", &[1], value.to_le_bytes().to_vec());
    save(&here.join("a.safetensors"), &[("steps", steps(7)), ("w", f32s(&[64, 64], &weights))]);
    let against = |tensors: &[(&str, seedpress_checkpoint::SavedTensor)], part: &str| {
        save(&here.join("b.safetensors"), tensors);
        succeeds(here, "compress b.safetensors --codec raw -o b.sdp --force");
        succeeds(here, "verify b.sdp");
        match part {
            "" => drop(succeeds(here, "verify b.sdp --against a.safetensors")),
            part => drop(fails(here, "verify b.sdp --against a.safetensors", 1, part)),
        }
    };
    let same = f32s(&[64, 64], &weights);
    let changed = |change: &dyn Fn(usize, f32) -> f32| {
        let values: Vec<f32> = weights.iter().enumerate().map(|(at, &value)| change(at, value)).collect();
        f32s(&[64, 64], &values)
    };
    against(&[("steps", steps(7)), ("w", same.clone())], "");
    against(
        &[("steps", steps(7)), ("w", changed(&|at, v| if at == 9 { f32::NAN } else { v }))],
        "w: WRONG: 1 values are NaN",
    );
    against(&[("steps", steps(8)), ("w", same.clone())], "steps: WRONG: its values differ");
    against(&[("steps", steps(7))], "w: WRONG: it is missing");
    against(&[("steps", steps(7)), ("w", same.clone()), ("x", same.clone())], "x: WRONG: the original has no such");
    against(&[("steps", steps(7)), ("w", changed(&|_, v| -v))], "w: WRONG: its error 2.0");
    against(&[("steps", steps(7)), ("w", changed(&|_, _| 0.0))], "w: WRONG: its error 1.0");
    against(&[("steps", steps(7)), ("w", changed(&|_, _| 1e30))], "w: WRONG: its error");
    let half: Vec<u8> = weights.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect();
    against(&[("steps", steps(7)), ("w", tensor("BF16", &[64, 64], half))], "w: WRONG: it is BF16");
    against(&[("steps", steps(7)), ("w", f32s(&[4096], &weights))], "w: WRONG: it is F32 [4096]");
    // One value that carries all the energy hides what happened to the rows, but not from their middle.
    let outlier = |at: usize, value: f32, rest: f32| if at == 0 { 1e6 } else { rest * value };
    save(&here.join("a.safetensors"), &[("steps", steps(7)), ("w", changed(&|at, v| outlier(at, v, 1.0)))]);
    against(&[("steps", steps(7)), ("w", changed(&|at, v| outlier(at, v, 0.0)))], "of its middle row");
    // Bounds are the user's.
    save(&here.join("a.safetensors"), &[("steps", steps(7)), ("w", same)]);
    succeeds(here, "compress a.safetensors --codec rtn:bits=3 -o r.sdp");
    let shown = succeeds(here, "verify r.sdp --against a.safetensors");
    assert!(shown.contains("w: relative error 0.") && shown.contains("rows no better than zeros 0.0 %"), "{shown}");
    fails(here, "verify r.sdp --against a.safetensors --max-error 0.01", 1, "above 0.01");
    fails(here, "verify r.sdp --against a.safetensors --max-row-error 0.01", 1, "worst row is above 0.01");
    let json = seedpress(here, "verify r.sdp --against a.safetensors --json --max-error 0.01");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["passed"], &json["problems"]), (&false.into(), &1.into()));
}

#[test]
fn tied_tensors_are_stored_once_and_come_back_twice() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let shared = f32s(&[64, 64], &noise(5, 4096));
    let mut other = noise(5, 4096);
    other[2000] += 1.0;
    let other = f32s(&[64, 64], &other);
    save(&here.join("t.safetensors"), &[("embed", shared.clone()), ("head", shared.clone()), ("other", other)]);
    let table = succeeds(here, "compress t.safetensors --codec q8_0 -o t.sdp");
    assert!(table.contains("same as another"), "{table}");
    succeeds(here, "compress t.safetensors --codec q8_0 --no-tie -o u.sdp");
    let len = |name: &str| std::fs::metadata(here.join(name)).unwrap().len();
    assert!(len("t.sdp") + 4000 < len("u.sdp"));
    succeeds(here, "verify t.sdp --against t.safetensors");
    assert!(succeeds(here, "inspect t.sdp").contains("head: the same as embed"));
    for name in ["t", "u"] {
        succeeds(here, &format!("decompress {name}.sdp -o {name}.back.safetensors"));
    }
    let read = |name: &str| std::fs::read(here.join(name)).unwrap();
    assert!(read("t.back.safetensors") == read("u.back.safetensors"));
}

#[test]
fn many_small_tensors_do_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (below, elements) in [("", 1), ("", 16), (" --keep-below 0", 16), (" --keep-below 0", 1100)] {
        let count = if elements > 100 { 200 } else { 6000 };
        let name = |n: usize| format!("model.layers.{}.block.{}.bias", n / 40, n % 40);
        let tensors: Vec<_> = (0..count).map(|n| (name(n), f32s(&[elements], &noise(n as u64, elements)))).collect();
        save_safetensors(&here.join("s.safetensors"), &tensors, &BTreeMap::new()).unwrap();
        succeeds(here, &format!("compress s.safetensors --codec trellis{below} -o s.sdp --force"));
        let len = |name: &str| std::fs::metadata(here.join(name)).unwrap().len();
        assert!(len("s.sdp") < len("s.safetensors"), "{elements}{below}: {} of {}", len("s.sdp"), len("s.safetensors"));
    }
}

#[test]
fn folders_are_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for name in ["single", "sharded", "odd", "two", "none"] {
        std::fs::create_dir(here.join(name)).unwrap();
    }
    model(&here.join("single/model.safetensors"), 1);
    model(&here.join("odd/weights.safetensors"), 1);
    model(&here.join("two/a.safetensors"), 1);
    model(&here.join("two/b.safetensors"), 2);
    model(&here.join("sharded/a.safetensors"), 1);
    save(&here.join("sharded/b.safetensors"), &[("x", f32s(&[2], &[1.0, 2.0]))]);
    let index = r#"{"weight_map": {"fc.weight": "a.safetensors", "x": "b.safetensors"}}"#;
    std::fs::write(here.join("sharded/model.safetensors.index.json"), index).unwrap();
    for (name, tensors) in [("single", 3), ("odd", 3), ("sharded", 4)] {
        succeeds(here, &format!("compress {name} --codec raw -o {name}.sdp"));
        let shown = succeeds(here, &format!("verify {name}.sdp --against {name}"));
        assert!(shown.contains(&format!("{tensors} tensors decode")), "{shown}");
    }
    fails(here, "compress two --codec raw -o t.sdp", 1, "several checkpoints");
    fails(here, "compress none --codec raw -o t.sdp", 1, "holds no .safetensors");
}

#[test]
fn what_is_asked_for_is_done_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    fails(here, "compress m.safetensors --codec rtn+ans --then zstd -o m.sdp", 2, "a codec has one stage");
    fails(here, "compress m.safetensors --codec rtn --include nothing* -o m.sdp", 2, "no tensor matches `nothing*`");
    fails(here, "compress m.safetensors --codec rtn --exclude *.wait -o m.sdp", 2, "no tensor matches `*.wait`");
    let plan = "[[tensor]]\nname = \"*\"\ncodec = \"raw\"\n[[tensor]]\nname = \"fc2.*\"\ncodec = \"rtn\"\n";
    std::fs::write(here.join("p.toml"), plan).unwrap();
    fails(here, "compress m.safetensors --plan p.toml -o m.sdp", 2, "p.toml: no tensor matches `fc2.*`");
    let error = fails(here, "compress m.safetensors --codec treliss -o m.sdp", 2, "unknown codec `treliss`");
    assert!(error.contains("did you mean `trellis`?"), "{error}");
    let table = succeeds(here, "compress m.safetensors --codec rtn --exclude fc.w* -o m.sdp");
    assert!(table.contains("kept: left out"), "{table}");
    succeeds(here, "decompress m.sdp -o part.safetensors --include fc.*");
    assert_eq!(Checkpoint::open(&here.join("part.safetensors")).unwrap().tensors().len(), 2);
    fails(here, "decompress m.sdp -o x.safetensors --include wc.*", 2, "no tensor matches");
    succeeds(here, "decompress m.sdp -o half.safetensors --dtype f16");
    let half = Checkpoint::open(&here.join("half.safetensors")).unwrap();
    let dtype = |name: &str| half.tensors()[half.find(name).unwrap()].dtype.clone();
    assert_eq!((dtype("fc.weight").as_str(), dtype("steps").as_str()), ("F16", "I64"));
    // A prefix that is too short says how long it must be, and that is enough.
    let error = fails(here, "decompress m.sdp -o x.safetensors --max-bytes 300", 1, "bytes are too few: the first ");
    let needed: u64 = error.split("the first ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    succeeds(here, &format!("decompress m.sdp -o x.safetensors --max-bytes {needed}"));
}

#[test]
fn a_part_of_a_checkpoint_is_not_taken_for_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let shard = |number: usize| format!("model-{number:05}-of-00002.safetensors");
    let put = |folder: &str, numbers: &[usize]| {
        std::fs::create_dir(here.join(folder)).unwrap();
        for &number in numbers {
            let name = format!("w{number}");
            save(&here.join(folder).join(shard(number)), &[(name.as_str(), f32s(&[40, 32], &noise(1, 1280)))]);
        }
    };
    for (name, numbers) in [("first", &[1][..]), ("second", &[2]), ("both", &[1, 2])] {
        put(name, numbers);
        let part = format!("is shard {} of 2, and the index", numbers[0]);
        for line in ["compress {} --codec rtn -o x.sdp", "inspect {}", "plan {} --bits 4 -o p.toml"] {
            fails(here, &line.replace("{}", name), 1, &part);
        }
    }
    // What is named is taken, and what it is part of is said.
    let said = |line: &str| {
        let output = seedpress(here, line);
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stderr).unwrap()
    };
    let one = said(&format!("compress first/{} --codec rtn -o x.sdp", shard(1)));
    assert!(one.contains("is shard 1 of 2"), "{one}");
    // So are files that an index does not name.
    let index = format!("{{\"weight_map\": {{\"w1\": \"{}\"}}}}", shard(1));
    std::fs::write(here.join("both/model.safetensors.index.json"), index).unwrap();
    for input in ["both", "both/model.safetensors.index.json"] {
        let part = said(&format!("compress {input} --codec rtn -o x.sdp --force"));
        assert!(part.contains(&format!("{} lies there too and is not read", shard(2))), "{part}");
    }
    assert_eq!(said("compress both --codec rtn -o x.sdp --force --quiet"), "");
}

#[test]
fn nothing_is_named_for_what_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    succeeds(here, "compress m.safetensors --codec rtn -o m.sdp");
    for ending in ["gguf", "GGUF", "pt", "pth", "bin", "npz", "npy", "sdp"] {
        fails(here, &format!("decompress m.sdp -o back.{ending}"), 2, "`seedpress export` writes other formats");
    }
    for ending in ["safetensors", "gguf", "pt", "pth", "npz", "npy"] {
        fails(here, &format!("compress m.safetensors --codec rtn -o x.{ending}"), 2, "compress writes an .sdp file");
    }
}

#[test]
fn numbers_out_of_range_are_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(&here.join("m.safetensors"), 1);
    succeeds(here, "compress m.safetensors --codec rtn -o m.sdp");
    for (options, part) in [
        ("compress m.safetensors -o x.sdp --codec rtn --bits -3", "-3 is out of range: legal values are 2 to 8"),
        ("compress m.safetensors -o x.sdp --codec rtn --bits nan", "bits per weight are a number"),
        ("compress m.safetensors -o x.sdp --codec trellis --bits inf", "bits per weight are a number"),
        ("compress m.safetensors -o x.sdp --codec trellis --max-error -1", "an error is a number of 0 or more"),
        ("compress m.safetensors -o x.sdp --codec rtn --threads -1", "-1 is not in 0..=1024"),
        ("compress m.safetensors -o x.sdp --codec rtn --keep-below -1", "invalid value '-1'"),
        ("compress m.safetensors -o x.sdp --codec rtn --shard-size -1", "unknown unit `-1`"),
        ("verify m.sdp --against m.safetensors --max-row-error -1", "an error is a number of 0 or more"),
        ("plan m.safetensors -o p.toml --ratio -2", "--ratio must be a number above 0"),
        ("plan m.safetensors -o p.toml --bits -2", "--bits must be a number above 0"),
    ] {
        fails(here, options, 2, part);
    }
}

#[test]
fn weights_that_are_not_finite_take_no_more_than_at_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let nan = |count: usize| f32::NAN.to_le_bytes().repeat(count);
    let infinities = (0..1600u32).flat_map(|i| (if i % 3 == 0 { 0xFC00u16 } else { 0x7C00 }).to_le_bytes()).collect();
    let tensors = [
        ("nan", tensor("F32", &[40, 40], nan(1600))),
        ("half", tensor("F16", &[40, 40], infinities)),
        (
            "few",
            f32s(&[64, 64], &{
                let mut values = noise(3, 4096);
                values[..20].fill(f32::NAN);
                values
            }),
        ),
    ];
    save(&here.join("m.safetensors"), &tensors);
    let source = std::fs::metadata(here.join("m.safetensors")).unwrap().len();
    for codec in ["raw", "rtn", "trellis"] {
        succeeds(here, &format!("compress m.safetensors --codec {codec} -o m.sdp --force"));
        let len = std::fs::metadata(here.join("m.sdp")).unwrap().len();
        assert!(len < source + 100, "{codec}: {len} bytes of {source}");
        succeeds(here, "verify m.sdp --against m.safetensors");
        succeeds(here, "decompress m.sdp -o back.safetensors --force");
        let (now, then) =
            (Checkpoint::open(&here.join("back.safetensors")), Checkpoint::open(&here.join("m.safetensors")));
        let (now, then) = (now.unwrap(), then.unwrap());
        for name in ["nan", "half"] {
            let bytes = |of: &Checkpoint| of.bytes(of.find(name).unwrap()).unwrap();
            assert!(bytes(&now) == bytes(&then), "{codec}: {name}");
        }
    }
}
