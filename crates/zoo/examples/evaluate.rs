//! What plain rounding does to a model: `cargo run --release -p seedpress-zoo --example evaluate -- <name>`.
//!
//! Groups of 64 weights, symmetric, scaled by the largest magnitude: a first check that a metric tells good weights from bad.

use seedpress_codec::{DType, Tensor};
use seedpress_zoo::load;

/// Rounds every group of 64 values to `2^bits - 1` levels.
fn rounded(tensor: &Tensor, bits: u32) -> Tensor {
    let top = ((1u32 << (bits - 1)) - 1) as f32;
    let round = |group: &[f32]| -> Vec<f32> {
        let scale = group.iter().fold(0f32, |largest, value| largest.max(value.abs())) / top;
        group.iter().map(|value| if scale == 0.0 { 0.0 } else { (value / scale).round() * scale }).collect()
    };
    let values = tensor.values().chunks(64).flat_map(round).collect();
    Tensor::new(tensor.shape().to_vec(), values, DType::F32).expect("as many values as before")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("which model?")?;
    let model = load(&name)?;
    for bits in [8, 4, 3, 2] {
        let matrix = |tensor: &Tensor| if tensor.shape().len() > 1 { rounded(tensor, bits) } else { tensor.clone() };
        let tensors = (0..model.tensors().len()).map(|at| Ok(matrix(&model.load(at)?)));
        let tensors = tensors.collect::<Result<Vec<Tensor>, seedpress_model::ModelError>>()?;
        let start = std::time::Instant::now();
        let metrics = model.evaluate(tensors.iter().enumerate())?;
        print!("{bits} bits ({:.2} s):", start.elapsed().as_secs_f64());
        for metric in metrics {
            let [low, high] = metric.interval;
            print!("  {} {:.4} [{low:.4}, {high:.4}]", metric.name, metric.value);
        }
        println!();
    }
    Ok(())
}
