//! Shapes and contents that break quantisers.

use seedpress_codec::{DType, Tensor};

/// A named input.
#[derive(Debug, Clone)]
pub struct Input {
    /// What it guards.
    pub name: String,
    /// The tensor.
    pub tensor: Tensor,
}

/// Deterministic noise with a bell shape: the sum of twelve uniform numbers, variance 1. Same values on every machine.
pub fn gaussian(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn input(name: &str, shape: &[usize], values: Vec<f32>, dtype: DType) -> Input {
    let values = values.into_iter().map(|v| if v.is_finite() { dtype.round(v) } else { v }).collect();
    match Tensor::new(shape.to_vec(), values, dtype) {
        Ok(tensor) => Input { name: name.to_owned(), tensor },
        Err(error) => panic!("a conformance input is wrong: {error}"),
    }
}

/// Empty, scalar, vectors, odd sizes, single rows and columns, convolutions; and both half-precision sources.
pub fn shapes() -> Vec<Input> {
    let shapes: [&[usize]; 17] = [
        &[],
        &[0],
        &[0, 4],
        &[4, 0],
        &[1],
        &[7],
        &[257],
        &[1, 5],
        &[5, 1],
        &[1, 1, 1, 1],
        &[3, 5],
        &[17, 33],
        &[64, 64],
        &[8, 4, 3, 3],
        &[2, 3, 5, 7],
        &[300, 16],
        &[2, 777],
    ];
    let mut inputs: Vec<Input> = shapes
        .iter()
        .enumerate()
        .map(|(seed, shape)| {
            let count = shape.iter().product();
            input(&format!("shape {shape:?}"), shape, gaussian(count, seed as u64), DType::F32)
        })
        .collect();
    for dtype in [DType::F16, DType::BF16] {
        inputs.push(input(&format!("{} source", dtype.name()), &[9, 21], gaussian(189, 77), dtype));
    }
    inputs
}

/// Finite contents of every awkward kind, all of one odd shape.
pub fn contents() -> Vec<Input> {
    let shape = [23, 41];
    let noise = gaussian(23 * 41, 5);
    let scaled = |factor: f32| noise.iter().map(|v| v * factor).collect::<Vec<_>>();
    let with =
        |edit: &dyn Fn(usize, f32) -> f32| noise.iter().enumerate().map(|(i, &v)| edit(i, v)).collect::<Vec<_>>();
    let cases: Vec<(&str, Vec<f32>)> = vec![
        ("zeros", with(&|_, _| 0.0)),
        ("negative zeros", with(&|_, _| -0.0)),
        ("constant", with(&|_, _| 0.37)),
        ("negative constant", with(&|_, _| -12.5)),
        ("denormals", with(&|_, v| v * 1e-40)),
        ("smallest denormal", with(&|i, _| if i % 3 == 0 { f32::from_bits(1) } else { 0.0 })),
        ("std 1e-6", scaled(1e-6)),
        ("std 1e-4", scaled(1e-4)),
        ("std 1e6", scaled(1e6)),
        ("std 1e37", scaled(1e37)),
        ("std 1e20", scaled(1e20)),
        ("a few huge ones", with(&|i, v| if i % 50 == 0 { v * 1e20 } else { v })),
        ("a huge row", with(&|i, v| if i / 41 == 3 { v * 1e18 } else { v * 0.02 })),
        ("largest floats", with(&|_, v| if v < 0.0 { f32::MIN } else { f32::MAX })),
        ("one outlier", with(&|i, v| if i == 500 { 1e4 } else { v })),
        ("one huge outlier", with(&|i, v| if i == 500 { 1e30 } else { v })),
        ("one weight", with(&|i, _| if i == 123 { 0.5 } else { 0.0 })),
        ("sparse", with(&|i, v| if i % 17 == 0 { v } else { 0.0 })),
        ("rows of different scale", with(&|i, v| v * 10f32.powi((i / 41) as i32 % 7 - 3))),
        ("heavy tails", with(&|_, v| v * v * v * v * v)),
        ("positive", with(&|_, v| v.abs() + 3.0)),
        ("two values", with(&|_, v| if v < 0.3 { -1.0 } else { 2.0 })),
        // Every 34th bfloat16 from the least on: all exponents, both signs.
        ("every magnitude", with(&|i, v| f32::from_bits((i as u32 * 34) << 16).copysign(v))),
        ("decimal grid", with(&|_, v| (v * 10.0).round() / 10.0)),
    ];
    cases.into_iter().map(|(name, values)| input(name, &shape, values, DType::F32)).collect()
}

/// NaN and infinity among ordinary weights, and nothing but them.
pub fn non_finite() -> Vec<Input> {
    let noise = gaussian(11 * 13, 9);
    let payload = f32::from_bits(0x7FC1_2345);
    let mixed = noise.iter().enumerate().map(|(i, &v)| match i {
        0 => f32::NAN,
        17 => f32::INFINITY,
        18 => f32::NEG_INFINITY,
        142 => payload,
        _ => v,
    });
    vec![
        input("NaN and infinity", &[11, 13], mixed.collect(), DType::F32),
        input("nothing but NaN", &[3], vec![f32::NAN; 3], DType::F32),
        input("infinite scalar", &[], vec![f32::INFINITY], DType::F32),
    ]
}

/// A tensor small enough to try every bit of its stream.
pub fn tiny() -> Input {
    input("tiny", &[6, 11], gaussian(66, 3), DType::F32)
}
