//! Where a transform pays: the error of every matrix of the embedded models with each, at equal bytes.
//!
//! `cargo run --release -p seedpress-trellis --example transform -- [rates] [options] [models] [part of a name]`, for instance
//! `-- 2,3 hessian=full,`. With calibration it is the error of the layer's output. One line a tensor and rate: the change in dB against no
//! transform (negative: better).

use seedpress_calibration::output_error;
use seedpress_codec::{EncodeContext, InputStatistics, Registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rates = arguments.next().unwrap_or_else(|| "2,3".into());
    let options = arguments.next().unwrap_or_default();
    let models =
        arguments.next().unwrap_or_else(|| "fashion-mlp,fashion-cnn,sotu-transformer,sotu-lstm,silero-vad".into());
    let part = arguments.next().unwrap_or_default();
    let registry = seedpress_trellis::register(Registry::default());
    println!("| model | tensor | shape | bits | dct | klt | auto |\n| --- | --- | --- | --- | --- | --- | --- |");
    for name in models.split(',') {
        let model = seedpress_zoo::load(name)?;
        let calibrations = if options.contains("hessian") { seedpress_zoo::calibration(name)? } else { Vec::new() };
        for bits in rates.split(',') {
            for (place, info) in model.tensors().iter().enumerate() {
                let own = model.load(place)?;
                if !info.name.contains(&part) || own.shape().len() < 2 || own.values().len() < 1 << 12 {
                    continue;
                }
                let calibration = calibrations.get(place).and_then(Option::as_ref);
                let context = EncodeContext { calibration, ..EncodeContext::default() };
                let outcome = |transform: &str| -> Result<(f64, f64), Box<dyn std::error::Error>> {
                    let codec = registry.parse(&format!("trellis:{options}bits={bits},transform={transform}"))?;
                    let bytes = codec.encode(&own.view(&info.name), &context)?.to_bytes();
                    let back = registry.decode_bytes(&bytes)?.tensor;
                    let rate = bytes.len() as f64 * 8.0 / own.values().len() as f64;
                    Ok((rate, error(calibration, own.values(), back.values())))
                };
                let plain = outcome("none")?;
                print!("| {name} | {} | {:?} | {bits} |", info.name, own.shape());
                for transform in ["dct", "klt", "auto"] {
                    let with = outcome(transform)?;
                    // Targets are met to within thousandths of a bit; what is left is put right at 6.02 dB a bit.
                    print!(" {:+.2} |", 10.0 * (with.1 / plain.1).log10() + 6.02 * (with.0 - plain.0));
                }
                println!();
            }
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
