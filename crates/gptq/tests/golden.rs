//! Codes against an independent implementation, and streams of format 1, frozen. `golden/README.md` says how both were made.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use seedpress_codec::packing::unpack_bits;
use seedpress_codec::{
    DType, EncodeContext, Encoded, EncodedView, InputStatistics, LayerView, Limits, Registry, Role, SegmentView,
    TensorView,
};
use seedpress_testing::golden::{Fields, hash, hex, unhex};

const ROWS: usize = 40;
const COLUMNS: usize = 96;
const CASES: [(&str, &str, u8); 6] = [
    ("gptq-4", "gptq:group=32", 4),
    ("gptq-3-order", "gptq:bits=3,group=32,symmetric=false,activation_order=true", 3),
    ("gptq-2-static", "gptq:bits=2,group=32,symmetric=false,activation_order=true,static_groups=true", 2),
    ("gptq-8-row", "gptq:bits=8,group=0", 8),
    ("awq-4", "awq:group=32", 4),
    ("awq-3-row", "awq:bits=3,group=0", 3),
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(path(name)).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

fn calibration() -> InputStatistics {
    let statistics = InputStatistics::from_second_moment(400, COLUMNS, floats("moment.f32")).unwrap();
    statistics.with_mean_abs(floats("mean-abs.f32")).unwrap()
}

fn encode(codec: &str) -> Encoded {
    let registry = seedpress_gptq::register(Registry::default());
    let (weights, calibration) = (floats("weights.f32"), calibration());
    let tensor = TensorView::new("w", &[ROWS, COLUMNS], &weights, DType::F32).unwrap();
    let context = EncodeContext { calibration: Some(&calibration), ..EncodeContext::default() };
    registry.parse(codec).unwrap().encode_raw(&tensor, &context).unwrap()
}

fn decode(view: &EncodedView<'_>) -> Vec<f32> {
    let registry = seedpress_gptq::register(Registry::default());
    let mut out = vec![0f32; view.shape.iter().product()];
    registry.codec("gptq").unwrap().decode_raw(view, &mut out, &mut Limits::new(1 << 20)).unwrap();
    out
}

#[test]
fn codes_are_those_of_the_papers() {
    for (name, codec, bits) in CASES {
        let encoded = encode(codec);
        let indices = encoded.layers[0].segments.iter().find(|segment| segment.role == Role::Indices).unwrap();
        let codes = unpack_bits(&indices.bytes, bits, ROWS * COLUMNS, &mut Limits::new(1 << 20)).unwrap();
        let golden = std::fs::read(path(&format!("{name}.codes"))).unwrap();
        let (head, wanted) = golden.split_at(golden.len() - ROWS * COLUMNS);
        let same = codes.iter().zip(wanted).filter(|(code, wanted)| **code == u32::from(**wanted)).count();
        assert!(same * 1000 >= 999 * wanted.len(), "{name}: {same} of {} codes", wanted.len());
        let scales = &encoded.layers[0].segments[0].bytes;
        let equal = scales.chunks(2).zip(head.chunks(2)).filter(|(a, b)| a == b).count();
        assert!(equal * 2 * 50 >= scales.len() * 49, "{name}: {equal} of {} scales", scales.len() / 2);
    }
}

/// The third of four segments is the table of groups or the scales of the inputs.
fn roles(name: &str, count: usize) -> Vec<Role> {
    let third = if name.starts_with("awq") { Role::Scales } else { Role::Tables };
    let mut roles = vec![Role::Scales, Role::Scales, third, Role::Indices];
    if count == 3 {
        roles.remove(2);
    }
    roles
}

#[test]
fn frozen_streams_decode() {
    for (name, ..) in CASES {
        let fields = Fields::read(&path(&format!("{name}.txt")));
        let params = unhex(fields.get("params"));
        let segments = fields.bytes(&[("segment", ())]);
        let roles = roles(name, segments.len());
        let segments = segments.iter().zip(roles).map(|((_, bytes), role)| SegmentView { role, bytes }).collect();
        let shape = [ROWS, COLUMNS];
        let out = decode(&EncodedView::new(1, &shape, &params, vec![LayerView { segments }]));
        assert_eq!(hash(&out), fields.get("fnv1a"), "{name}");
    }
}

/// Writes the files that are not there yet.
#[test]
#[ignore = "writes streams of a new format"]
fn write() {
    for (name, codec, _) in CASES {
        let (path, encoded) = (path(&format!("{name}.txt")), encode(codec));
        let mut text = format!("shape {ROWS} {COLUMNS}\nparams {}\n", hex(&encoded.params));
        encoded.layers[0].segments.iter().for_each(|segment| text += &format!("segment {}\n", hex(&segment.bytes)));
        text += &format!("fnv1a {}\n", hash(&decode(&encoded.view(1, &[ROWS, COLUMNS]))));
        if !path.exists() {
            std::fs::write(path, text).unwrap();
        }
    }
}
