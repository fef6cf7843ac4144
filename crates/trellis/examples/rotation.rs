//! Where rotating pays: the error of every matrix of the embedded models with and without, at equal bytes.
//!
//! `cargo run --release -p seedpress-trellis --example rotation -- [rates] [options]`, for instance `-- 2,3 hessian=full,`. With
//! calibration it is the error of the layer's output. One line a model and rate: tensors that gain by more than 1 %, that lose by more
//! than 1 %, the mean change in dB (negative: rotating is better), the best and the worst tensor.

use seedpress_calibration::output_error;
use seedpress_codec::{EncodeContext, InputStatistics, Registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rates = arguments.next().unwrap_or_else(|| "1.07,2,3,4".into());
    let options = arguments.next().unwrap_or_default();
    let registry = seedpress_trellis::register(Registry::default());
    println!(
        "| model | bits | tensors | gain | lose | mean dB | best | worst |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for name in ["fashion-mlp", "fashion-cnn", "sotu-transformer", "sotu-lstm", "silero-vad"] {
        let model = seedpress_zoo::load(name)?;
        let calibrations = if options.contains("hessian") { seedpress_zoo::calibration(name)? } else { Vec::new() };
        for bits in rates.split(',') {
            let mut changes: Vec<(f64, String)> = Vec::new();
            for (place, info) in model.tensors().iter().enumerate() {
                let own = model.load(place)?;
                if own.shape().len() < 2 || own.values().len() < 1 << 14 {
                    continue;
                }
                let calibration = calibrations.get(place).and_then(Option::as_ref);
                let context = EncodeContext { calibration, ..EncodeContext::default() };
                let mut outcome = [(0, 0.0); 2];
                for (rotation, outcome) in ["none", "hadamard"].into_iter().zip(&mut outcome) {
                    let codec = registry.parse(&format!("trellis:{options}bits={bits},rotation={rotation}"))?;
                    let bytes = codec.encode(&own.view(&info.name), &context)?.to_bytes();
                    let back = registry.decode_bytes(&bytes)?.tensor;
                    *outcome = (bytes.len(), error(calibration, own.values(), back.values()));
                }
                // Targets are met to within thousandths of a bit; what is left is put right at 6.02 dB a bit.
                let more = (outcome[1].0 as f64 - outcome[0].0 as f64) * 8.0 / own.values().len() as f64;
                changes.push((10.0 * (outcome[1].1 / outcome[0].1).log10() + 6.02 * more, info.name.clone()));
            }
            changes.sort_by(|a, b| a.0.total_cmp(&b.0));
            let gain = changes.iter().filter(|change| change.0 < -0.043).count();
            let lose = changes.iter().filter(|change| change.0 > 0.043).count();
            let mean = changes.iter().map(|change| change.0).sum::<f64>() / changes.len() as f64;
            let said = |change: &(f64, String)| format!("{:+.2} {}", change.0, change.1);
            let (best, worst) = (said(&changes[0]), said(&changes[changes.len() - 1]));
            println!("| {name} | {bits} | {} | {gain} | {lose} | {mean:+.2} | {best} | {worst} |", changes.len());
        }
    }
    Ok(())
}

/// The squared error of weights, or of the layer's output.
fn error(calibration: Option<&InputStatistics>, weights: &[f32], decoded: &[f32]) -> f64 {
    match calibration.map(|calibration| output_error(weights, decoded, calibration)) {
        Some(Ok(output)) => output.error,
        _ => weights.iter().zip(decoded).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum(),
    }
}
