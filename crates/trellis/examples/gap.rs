//! Gap to the Gaussian rate-distortion function of synthetic sources, from written bytes, with speeds in one run.
//!
//! `cargo run --release -p seedpress-trellis --example gap -- [log2 weights] [efforts] [sources]`

use std::time::Instant;

use seedpress_codec::{DType, EncodeContext, Registry, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let log_count: u32 = arguments.next().map_or(Ok(18), |a| a.parse())?;
    let efforts = arguments.next().unwrap_or_else(|| "fast,default,high,best".into());
    let sources = arguments.next().unwrap_or_else(|| "normal,laplace,student".into());
    let registry = seedpress_trellis::register(Registry::default());
    println!("| source | effort | asked | written | relMSE | gap dB | encode M/s | decode M/s |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for source in sources.split(',') {
        let values = draw(source, 1 << log_count);
        let tensor = Tensor::new(vec![1 << (log_count / 2), 1 << log_count.div_ceil(2)], values, DType::F32)?;
        let power: f64 = tensor.values().iter().map(|&v| f64::from(v).powi(2)).sum();
        for effort in efforts.split(',') {
            for bits in [1.07, 1.6, 2.0, 3.0, 4.0] {
                let codec = registry.parse(&format!("trellis:bits={bits},effort={effort}"))?;
                let started = Instant::now();
                let bytes = codec.encode(&tensor.view("t"), &EncodeContext::default())?.to_bytes();
                let encode = started.elapsed().as_secs_f64();
                let started = Instant::now();
                let back = registry.decode_bytes(&bytes)?.tensor;
                let decode = started.elapsed().as_secs_f64();
                let error: f64 = tensor
                    .values()
                    .iter()
                    .zip(back.values())
                    .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
                    .sum();
                let count = tensor.values().len() as f64;
                let (written, relative) = (bytes.len() as f64 * 8.0 / count, error / power);
                println!(
                    "| {source} | {effort} | {bits} | {written:.4} | {relative:.6} | {:.3} | {:.1} | {:.1} |",
                    10.0 * (relative * 4f64.powf(written)).log10(),
                    count / encode / 1e6,
                    count / decode / 1e6
                );
            }
        }
    }
    Ok(())
}

/// Unit-scale samples: `normal`, `laplace`, or `student` (5 degrees of freedom).
pub(crate) fn draw(source: &str, count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + 1e-17
    };
    let mut normal = move || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    (0..count)
        .map(|_| match source {
            "laplace" => {
                // The product of a normal and the root of an exponential is Laplacian.
                let (a, b, c) = (normal(), normal(), normal());
                (a * ((b * b + c * c) / 2.0).sqrt()) as f32
            }
            "student" => {
                let chi: f64 = (0..5).map(|_| normal().powi(2)).sum();
                (normal() / (chi / 5.0).sqrt()) as f32
            }
            _ => normal() as f32,
        })
        .collect()
}
