//! Codes one raw little-endian `f32` tensor: `rival <file> <shape> <bits> [effort]` prints bits per weight, relative squared error and
//! the encode and decode speeds in millions of weights a second, each the fastest of `RUNS` (3) runs, which a busy machine distorts
//! least. `RAYON_NUM_THREADS` says on how many threads.

use std::time::Instant;

use seedpress_codec::{DType, EncodeContext, Registry, Tensor};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, shape, bits, rest @ ..] = &arguments[..] else { return Err("file, shape and bits are needed".into()) };
    let shape = shape.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let tensor = Tensor::from_le_bytes(DType::F32, shape, &std::fs::read(path)?)?;
    let registry = seedpress_trellis::register(Registry::default());
    let effort = rest.first().map_or("default", String::as_str);
    let codec = registry.parse(&format!("trellis:bits={bits},effort={effort}"))?;
    let (bytes, encode) = fastest(|| -> Result<_, Failure> {
        Ok(codec.encode(&tensor.view("t"), &EncodeContext::default())?.to_bytes())
    })?;
    let (back, decode) = fastest(|| -> Result<_, Failure> { Ok(registry.decode_bytes(&bytes)?.tensor) })?;
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

/// The result and the seconds of the fastest run.
fn fastest<T>(mut job: impl FnMut() -> Result<T, Failure>) -> Result<(T, f64), Failure> {
    let runs: usize = std::env::var("RUNS").map_or(Ok(3), |runs| runs.parse())?;
    let mut best = f64::INFINITY;
    let mut result = None;
    for _ in 0..runs.max(1) {
        let started = Instant::now();
        result = Some(job()?);
        best = best.min(started.elapsed().as_secs_f64());
    }
    Ok((result.ok_or("no run")?, best))
}
