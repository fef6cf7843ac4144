//! Frozen records of format 1: what was written stays readable to the bit, and the same weights give the same bytes.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use seedpress_codec::{DType, EncodeContext, Registry, Tensor};

/// File name, codec, source type, shape.
const STREAMS: [(&str, &str, DType, [usize; 2]); 13] = [
    ("raw-f32", "raw", DType::F32, [7, 19]),
    ("raw-f16", "raw", DType::F16, [7, 19]),
    ("raw-bf16", "raw", DType::BF16, [7, 19]),
    ("zeros", "zeros", DType::F32, [7, 19]),
    ("f16", "f16", DType::F32, [7, 19]),
    ("bf16", "bf16", DType::F32, [7, 19]),
    ("rtn", "rtn", DType::F32, [3, 150]),
    ("rtn-symmetric", "rtn:bits=3,group=8", DType::F32, [7, 19]),
    ("rtn-asymmetric", "rtn:bits=5,group=8,symmetric=false", DType::F32, [7, 19]),
    ("rtn-rows", "rtn:bits=2,group=0,symmetric=false", DType::F32, [7, 19]),
    ("nf4", "nf4", DType::F32, [7, 19]),
    ("nf4-odd-block", "nf4:block=9", DType::F32, [7, 19]),
    // 263 maxima: two groups of 256.
    ("nf4-double", "nf4:block=8,double_quant=true", DType::F32, [3, 701]),
];

fn registry() -> Registry {
    seedpress_baselines::register(Registry::default())
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn floats(path: PathBuf) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The weights of `weights.f32`, over and over and each time larger by one, as the source type holds them.
fn source(dtype: DType, shape: [usize; 2]) -> Tensor {
    let weights = floats(golden().join("weights.f32"));
    let value = |index: usize| dtype.round(weights[index % weights.len()] * (1 + index / weights.len()) as f32);
    Tensor::new(shape.to_vec(), (0..shape[0] * shape[1]).map(value).collect(), dtype).unwrap()
}

fn record(codec: &str, tensor: &Tensor) -> Vec<u8> {
    registry().parse(codec).unwrap().encode(&tensor.view("w"), &EncodeContext::default()).unwrap().to_bytes()
}

#[test]
fn frozen_records_decode_to_the_bit() {
    for (file, _, dtype, shape) in STREAMS {
        let stored = std::fs::read(golden().join(format!("streams/{file}.record"))).unwrap();
        let decoded = registry().decode_bytes(&stored).unwrap();
        assert_eq!((decoded.tensor.shape(), decoded.tensor.dtype()), (&shape[..], dtype), "{file}");
        let expected = floats(golden().join(format!("streams/{file}.f32")));
        assert_eq!(bits(decoded.tensor.values()), bits(&expected), "{file}");
    }
}

#[test]
fn the_same_weights_give_the_same_bytes() {
    for (file, codec, dtype, shape) in STREAMS {
        let stored = std::fs::read(golden().join(format!("streams/{file}.record"))).unwrap();
        assert_eq!(record(codec, &source(dtype, shape)), stored, "{file}");
    }
}

#[test]
#[ignore = "writes the records anew: only for a new stream or a new format"]
fn write_records() {
    for (file, codec, dtype, shape) in STREAMS {
        let path = golden().join(format!("streams/{file}.record"));
        std::fs::write(path, record(codec, &source(dtype, shape))).unwrap();
    }
}
