//! Codes one raw little-endian `f32` tensor: `rival <file> <shape> <bits> [effort]` prints bits per weight, relative squared error and
//! the encode and decode speeds in millions of weights a second.

use std::time::Instant;

use seedpress_codec::{DType, EncodeContext, Registry, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, shape, bits, rest @ ..] = &arguments[..] else { return Err("file, shape and bits are needed".into()) };
    let shape = shape.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let tensor = Tensor::from_le_bytes(DType::F32, shape, &std::fs::read(path)?)?;
    let registry = seedpress_trellis::register(Registry::default());
    let effort = rest.first().map_or("default", String::as_str);
    let codec = registry.parse(&format!("trellis:bits={bits},effort={effort}"))?;
    let started = Instant::now();
    let bytes = codec.encode(&tensor.view("t"), &EncodeContext::default())?.to_bytes();
    let encode = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let back = registry.decode_bytes(&bytes)?.tensor;
    let decode = started.elapsed().as_secs_f64();
    let (mut error, mut power) = (0.0, 0.0);
    for (&a, &b) in tensor.values().iter().zip(back.values()) {
        error += (f64::from(a) - f64::from(b)).powi(2);
        power += f64::from(a).powi(2);
    }
    let count = tensor.values().len() as f64;
    println!(
        "{} {} {} {}",
        bytes.len() as f64 * 8.0 / count,
        error / power,
        count / encode / 1e6,
        count / decode / 1e6
    );
    Ok(())
}
