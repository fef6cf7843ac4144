//! What a model keeps: `accuracy <zoo model> <codec>...` compresses the matrices of a model, calibrated where the codec asks for it,
//! and prints the ratio of all records against 32-bit floats, the output error of every layer and the task's metric.
//!
//! `cargo run --release -p seedpress-trellis --example accuracy -- fashion-mlp trellis:bits=1 trellis:bits=1,hessian=full`

use std::time::Instant;

use seedpress_calibration::output_error;
use seedpress_codec::{EncodeContext, Registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("a model of the zoo is needed")?;
    let model = seedpress_zoo::load(&name)?;
    let calibrations = seedpress_zoo::calibration(&name)?;
    let registry = seedpress_trellis::register(Registry::default());
    println!("| codec | ratio | output error by layer | metrics | s |\n| --- | --- | --- | --- | --- |");
    for codec in arguments {
        let codec = registry.parse(&codec)?;
        let started = Instant::now();
        let (mut size, mut errors, mut tensors) = (0, Vec::new(), Vec::new());
        for ((place, info), calibration) in model.tensors().iter().enumerate().zip(&calibrations) {
            let own = model.load(place)?;
            // What the benchmark's policy for small tensors would keep as it is, with a record's header.
            if own.shape().len() < 2 || own.values().len() < 1024 {
                size += 4 * own.values().len() + 40;
                tensors.push(own);
                continue;
            }
            let calibration = calibration.as_ref().filter(|_| codec.capabilities().uses_calibration);
            let context = EncodeContext { calibration, ..EncodeContext::default() };
            let bytes = codec.encode(&own.view(&info.name), &context)?.to_bytes();
            size += bytes.len();
            let back = registry.decode_bytes(&bytes)?.tensor;
            if let Some(calibration) = &calibrations[tensors.len()] {
                let error = output_error(own.values(), back.values(), calibration)?.relative();
                errors.push(format!("{error:.4}"));
            }
            tensors.push(back);
        }
        let seconds = started.elapsed().as_secs_f64();
        let metrics: Vec<String> =
            model.evaluate(tensors.iter().enumerate())?.iter().map(|m| format!("{} {:.4}", m.name, m.value)).collect();
        let ratio = 4.0 * model.weight_count() as f64 / size as f64;
        println!("| {} | {ratio:.2} | {} | {} | {seconds:.1} |", codec.name(), errors.join(" "), metrics.join(", "));
    }
    Ok(())
}
