//! Streams of `trellis` (formats 1 and 2, without and with rotation, or transformed) and `trellis-progressive`, frozen: written once by this encoder and
//! read forever. `golden/README.md` says how they were made.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use seedpress_codec::{
    DType, EncodeContext, EncodedView, InputStatistics, LayerView, Limits, Registry, Role, SegmentView, TensorView,
};
use seedpress_testing::Noise;
use seedpress_testing::golden::{hash, hex, unhex};

/// Name, codec, shape.
const CASES: [(&str, &str, &[usize]); 16] = [
    ("plain", "trellis:bits=3", &[6, 8]),
    ("offset", "trellis:bits=9", &[120]),
    ("all-segments", "trellis:bits=0.2,effort=fast,hessian=diagonal", &[260, 256]),
    ("by-column", "trellis:bits=0.4,effort=fast,hessian=full", &[260, 256]),
    ("rotated", "trellis:bits=3,rotation=hadamard,seed=3000000000", &[6, 43]),
    ("rotated-by-column", "trellis:bits=2,effort=fast,hessian=full,rotation=hadamard", &[7, 300]),
    ("rotated-axes", "trellis:bits=3,rotation=hadamard,seed=5", &[6, 4, 11]),
    ("cosines", "trellis:bits=3,transform=dct", &[30, 21]),
    ("directions", "trellis:bits=3,effort=fast,hessian=full,transform=klt", &[200, 12]),
    ("constant", "trellis:bits=3", &[5, 5]),
    ("low-bits-1", "trellis:bits=5.5", &[16, 20]),
    ("low-bits-2", "trellis:bits=6.7", &[16, 20]),
    ("many-classes", "trellis:bits=2,effort=fast", &[48, 48]),
    ("layers-2", "trellis-progressive:bits=3.2,layers=2,effort=fast", &[24, 32]),
    ("layers-3", "trellis-progressive:bits=6,layers=3,effort=fast", &[24, 32]),
    ("layers-classes", "trellis-progressive:bits=3.2,layers=2,effort=fast", &[24, 48]),
];
const ROLES: [(&str, Role); 3] = [("scales", Role::Scales), ("tables", Role::Tables), ("indices", Role::Indices)];

fn input(name: &str) -> Vec<f32> {
    let mut numbers = Noise::new(7);
    let mut noise = || numbers.centred();
    match name {
        "plain" => (0..48i32).map(|i| ((i * i * 37 + i * 11) % 101 - 50) as f32 / 16.0).collect(),
        "offset" => (0..120).map(|i| if i == 70 { 1000.0 } else { 100.0 + noise() }).collect(),
        "rotated" | "rotated-by-column" => {
            (0..if name == "rotated" { 258 } else { 2100 }).map(|i| noise() * [1.0, 1.0, 9.0][i % 3]).collect()
        }
        "rotated-axes" => (0..264).map(|i| noise() * [1.0, 1.0, 9.0][i % 3]).collect(),
        "cosines" | "directions" => {
            let mut last = 0.0;
            (0..if name == "cosines" { 630 } else { 2400 }).map(|_| (last = 0.9 * last + noise(), last).1).collect()
        }
        "constant" => vec![-1.25; 25],
        "low-bits-1" | "low-bits-2" => (0..320).map(|_| noise() + noise() + noise() + noise()).collect(),
        // More scales than classes.
        "many-classes" => (0..48 * 48).map(|i| noise() * 0.75f32.powi(i / 48 % 16 + i % 48 / 3)).collect(),
        "layers-classes" => (0..24 * 48).map(|i| noise() * [0.25, 45.0, 150.0][i / 48 % 3]).collect(),
        "layers-2" | "layers-3" => (0..24 * 32).map(|i| noise() * [1.0, 30.0][i / 32 % 2]).collect(),
        _ => (0..260 * 256).map(|i| noise() * [1.0, 8.0][i / 256 % 2] * [1.0, 0.1][i % 256 / 8 % 2]).collect(),
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("txt")
}

fn decode(codec: &str, view: &EncodedView<'_>) -> Vec<f32> {
    let registry = seedpress_trellis::register(Registry::default());
    let mut out = vec![0f32; view.shape.iter().product()];
    registry
        .codec(codec.split(':').next().unwrap())
        .unwrap()
        .decode_raw(view, &mut out, &mut Limits::new(1 << 20))
        .unwrap();
    out
}

fn view(layer: &[(Role, Vec<u8>)]) -> LayerView<'_> {
    LayerView { segments: layer.iter().map(|(role, bytes)| SegmentView { role: *role, bytes }).collect() }
}

#[test]
fn frozen_streams_decode() {
    for (name, codec, shape) in CASES {
        let text = std::fs::read_to_string(path(name)).unwrap();
        let (mut params, mut layers, mut out) = (Vec::new(), vec![Vec::new()], Vec::new());
        for (key, value) in text.lines().map(|line| line.split_once(' ').unwrap()) {
            match key {
                "shape" => {}
                "params" => params = unhex(value),
                // What the layers so far decode to.
                "fnv1a" => {
                    let layers_so_far = layers.iter().map(|layer| view(layer)).collect();
                    out = decode(codec, &EncodedView::new(1, shape, &params, layers_so_far));
                    assert_eq!(hash(&out), value, "{name}");
                    layers.push(Vec::new());
                }
                _ => {
                    let role = ROLES.iter().find(|role| role.0 == key).unwrap().1;
                    layers.last_mut().unwrap().push((role, unhex(value)));
                }
            }
        }
        let (mut error, mut power) = (0.0, 0.0);
        for (a, b) in input(name).iter().zip(&out) {
            error += f64::from(a - b) * f64::from(a - b);
            power += f64::from(*a) * f64::from(*a);
        }
        assert!(error / power < if name == "plain" { 0.05 } else { 0.9 }, "{name}: {}", error / power);
    }
}

/// Writes files that are not there from the present encoder, for what is new in the format: `cargo test -p seedpress-trellis --test golden -- --ignored`.
#[test]
#[ignore = "writes streams of what is new in the format"]
fn write() {
    let registry = seedpress_trellis::register(Registry::default());
    // What is frozen stays.
    for (name, codec, shape) in CASES.into_iter().filter(|(name, ..)| !path(name).exists()) {
        let values = input(name);
        let tensor = TensorView::new("t", shape, &values, DType::F32).unwrap();
        let columns = *shape.last().unwrap();
        let deviation = |j: usize| (1.0 + (j % 5) as f32 * 3.0).sqrt();
        let entry = |i: usize, j: usize| 0.9f32.powi(i.abs_diff(j) as i32) * deviation(i) * deviation(j);
        let moment = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
        let calibration = InputStatistics::from_second_moment(1, columns, moment).unwrap();
        let context = EncodeContext { calibration: Some(&calibration), ..EncodeContext::default() };
        let encoded = registry.parse(codec).unwrap().encode_raw(&tensor, &context).unwrap();
        let shape_text: Vec<String> = shape.iter().map(usize::to_string).collect();
        let mut text = format!("shape {}\nparams {}\n", shape_text.join(" "), hex(&encoded.params));
        let mut view = encoded.view(2, shape);
        let layers = std::mem::take(&mut view.layers);
        for (layer, of_view) in encoded.layers.iter().zip(layers) {
            for segment in &layer.segments {
                let role = ROLES.iter().find(|role| role.1 == segment.role).unwrap().0;
                text += &format!("{role} {}\n", hex(&segment.bytes));
            }
            view.layers.push(of_view);
            text += &format!("fnv1a {}\n", hash(&decode(codec, &view)));
        }
        std::fs::write(path(name), text).unwrap();
    }
}
