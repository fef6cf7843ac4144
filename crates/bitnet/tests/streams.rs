//! Frozen records of format 1: what was written stays readable to the bit, and the same weights give the same bytes.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use seedpress_codec::{DType, EncodeContext, Registry, Tensor};
use seedpress_testing::golden::{self, bits};

/// File name, codec, shape.
const STREAMS: [(&str, &str, [usize; 2]); 8] = [
    ("absmean", "bitnet", [7, 19]),
    ("mse", "bitnet:threshold=mse", [7, 19]),
    ("twn", "bitnet:threshold=twn", [7, 19]),
    ("row", "bitnet:scale=row", [7, 19]),
    ("group", "bitnet:threshold=mse,scale=group,group=8", [7, 19]),
    ("planes-tensor", "bitnet:threshold=mse,planes=2", [7, 19]),
    ("planes-row", "bitnet:threshold=mse,scale=row,planes=2", [7, 19]),
    ("planes-group", "bitnet:threshold=absmean,scale=group,group=8,planes=2", [7, 19]),
];

fn registry() -> Registry {
    seedpress_bitnet::register(Registry::default())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn floats(path: PathBuf) -> Vec<f32> {
    golden::floats(&std::fs::read(path).unwrap())
}

fn source(shape: [usize; 2]) -> Tensor {
    Tensor::new(shape.to_vec(), floats(folder().join("weights.f32")), DType::F32).unwrap()
}

fn record(codec: &str, tensor: &Tensor) -> Vec<u8> {
    registry().parse(codec).unwrap().encode(&tensor.view("w"), &EncodeContext::default()).unwrap().to_bytes()
}

#[test]
fn frozen_records_decode_to_the_bit() {
    for (file, _, shape) in STREAMS {
        let stored = std::fs::read(folder().join(format!("{file}.record"))).unwrap();
        let decoded = registry().decode_bytes(&stored).unwrap();
        assert_eq!(decoded.tensor.shape(), &shape[..], "{file}");
        let expected = floats(folder().join(format!("{file}.f32")));
        assert_eq!(bits(decoded.tensor.values()), bits(&expected), "{file}");
    }
}

#[test]
fn the_same_weights_give_the_same_bytes() {
    for (file, codec, shape) in STREAMS {
        let stored = std::fs::read(folder().join(format!("{file}.record"))).unwrap();
        assert_eq!(record(codec, &source(shape)), stored, "{file}");
    }
}

#[test]
#[ignore = "writes the records anew: only for a new stream or a new format"]
fn write_records() {
    for (file, codec, shape) in STREAMS {
        let path = folder().join(format!("{file}.record"));
        std::fs::write(path, record(codec, &source(shape))).unwrap();
    }
}
