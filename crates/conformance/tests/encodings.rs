//! Golden encodings: what every codec and stage writes for fixed inputs, as hashes. A change of bytes must raise the encoder's revision,
//! so that no stored measurement of other bytes passes for current.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use seedpress_codec::{AnyCodec, EncodeContext, InputStatistics, Registry};
use seedpress_conformance::inputs;
use seedpress_conformance::settings::{CALIBRATED, MORE};
use seedpress_testing::golden::fnv1a;

/// Set to write the file anew.
const UPDATE: &str = "SEEDPRESS_UPDATE_ENCODINGS";

/// Behind these codecs stages meet fields, floats and coded bytes.
const BEFORE_STAGES: [&str; 3] = ["raw", "rtn:bits=3", "bitnet"];

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/encodings.txt")
}

/// Inputs of which neighbours are alike, every fifth the loudest: the same numbers on any machine.
fn statistics(columns: usize) -> InputStatistics {
    let loud = |i: usize| (1 + i % 5) as f32;
    let entry = |i: usize, j: usize| loud(i) * loud(j) / (1 + i.abs_diff(j)) as f32;
    let moment = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
    let mean_abs = (0..columns).map(|i| 0.75 * loud(i)).collect();
    let statistics = InputStatistics::from_second_moment(1000, columns, moment).unwrap();
    statistics.with_mean_abs(mean_abs).unwrap()
}

/// FNV-1a of the records of all inputs, with statistics of what they multiply where `calibrated`.
fn hash(codec: &AnyCodec, calibrated: bool) -> String {
    let mut bytes = Vec::new();
    let odd = ["shape [17, 33]", "shape [64, 64]", "shape [8, 4, 3, 3]", "bf16 source"];
    let mut all = inputs::shapes();
    all.retain(|input| odd.contains(&input.name.as_str()));
    let contents = ["constant", "one outlier", "sparse", "heavy tails", "rows of different scale"];
    all.extend(inputs::contents().into_iter().filter(|input| contents.contains(&input.name.as_str())));
    assert_eq!(all.len(), odd.len() + contents.len());
    for input in &all {
        let tensor = input.tensor.view("w");
        let statistics = statistics(tensor.columns());
        let calibration = calibrated.then_some(&statistics);
        let record = codec.encode(&tensor, &EncodeContext { calibration, ..EncodeContext::default() }).unwrap();
        bytes.extend(record.to_bytes());
    }
    format!("{:016x}", fnv1a(bytes))
}

/// Every setting by name: the versions of its code, and the hash of its bytes.
fn measured(registry: &Registry) -> BTreeMap<String, (String, String)> {
    let mut codecs: Vec<AnyCodec> = registry
        .codecs()
        .map(|entry| entry.id)
        .chain(MORE.iter().copied())
        .map(|name| registry.parse(name).unwrap())
        .collect();
    for stage in registry.stages() {
        codecs.extend(BEFORE_STAGES.map(|name| registry.parse(&format!("{name}+{}", stage.id())).unwrap()));
    }
    let code = |codec: &AnyCodec| {
        let [format, revision, stage_format, stage_revision] = codec.code();
        format!("{format}.{revision}+{stage_format}.{stage_revision}")
    };
    let plain = codecs.iter().map(|codec| (codec.name(), (code(codec), hash(codec, false))));
    let calibrated = CALIBRATED.iter().map(|name| registry.parse(name).unwrap());
    let calibrated =
        calibrated.map(|codec| (format!("{} calibrated", codec.name()), (code(&codec), hash(&codec, true))));
    plain.chain(calibrated).collect()
}

/// The same in a process that is held to plain Rust: what vector instructions write is what any machine writes.
#[test]
fn portable_code_writes_the_same_bytes() {
    if std::env::var_os(UPDATE).is_some() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    let mut portable = std::process::Command::new(own);
    portable.args(["--exact", "bytes_change_with_revisions_only"]).env(seedpress_simd::VARIABLE, "portable");
    let output = portable.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn bytes_change_with_revisions_only() {
    let measured = measured(&seedpress::registry());
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    let mut golden = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [name, code, hash] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not a golden encoding: {line}")
        };
        golden.insert(name.to_owned(), (code.to_owned(), hash.to_owned()));
    }
    let mut faults = Vec::new();
    for (name, (code, hash)) in &measured {
        match golden.get(name) {
            Some((old, bytes)) if old == code && bytes != hash => {
                faults.push(format!("bytes of {name} changed: raise its REVISION and update the hash"));
            }
            Some((old, _)) if old != code => faults.push(format!("{name} is at {code}: update its hash ({UPDATE}=1)")),
            None => faults.push(format!("{name} has no golden encoding: write it ({UPDATE}=1)")),
            Some(_) => {}
        }
    }
    faults.extend(
        golden.keys().filter(|name| !measured.contains_key(*name)).map(|name| format!("{name} is gone ({UPDATE}=1)")),
    );
    if std::env::var_os(UPDATE).is_some() {
        faults.retain(|fault| fault.starts_with("bytes of"));
        if faults.is_empty() {
            let mut text = "# name, format.revision of codec + stage, FNV-1a of what it writes for fixed inputs: see CONTRIBUTING.md\n".to_owned();
            measured.iter().for_each(|(name, (code, hash))| text += &format!("{name}\t{code}\t{hash}\n"));
            std::fs::create_dir_all(path().parent().unwrap()).unwrap();
            std::fs::write(path(), text).unwrap();
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
