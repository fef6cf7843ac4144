//! Tables of the seed report, measured: quality against level, and what each layer adds. Markdown on standard output.
//!
//! ```text
//! cargo run --release -p seedpress-seedlm-progressive --example progressive_layers [-- model.safetensors]
//! ```
//! Without a file: 2^16 independent N(0,1) weights (`WEIGHTS=1048576` for more). With one: every F32 tensor of at least 1024 weights.
//! Sizes are those of whole records as written; errors come from decoding them.

use std::error::Error;
use std::time::Instant;

use seedpress_codec::{AnyCodec, Codec, DType, EncodeContext, Limits, Number, RecordView, Registry, Tensor};
use seedpress_seedlm_progressive::{Config, SeedlmProgressive, register};

/// Bits per weight and relative error of a prefix.
type Prefix = (f64, f64);

/// Every prefix of a tensor, and the seconds it took to encode.
fn measure(codec: &AnyCodec, tensor: &Tensor) -> Result<(Vec<Prefix>, f64), Box<dyn Error>> {
    let start = Instant::now();
    let record = codec.encode(&tensor.view("weights"), &EncodeContext::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes = record.to_bytes();
    let registry = register(Registry::default());
    let mut prefixes: Vec<Prefix> = Vec::new();
    let mut end = record.header.to_bytes().len();
    for layer in 0..record.header.layers.len() {
        end += record.header.layer_len(layer);
        let decoded = registry.decode(&RecordView::parse(&bytes[..end])?, &mut Limits::for_input(end))?;
        let (mut error, mut total) = (0f64, 0f64);
        for (&a, &b) in tensor.values().iter().zip(decoded.tensor.values()) {
            error += (f64::from(a) - f64::from(b)).powi(2);
            total += f64::from(a).powi(2);
        }
        let error = (error / total).sqrt();
        if let Some(&(_, before)) = prefixes.last().filter(|&&(_, before)| error >= before) {
            eprintln!("layer {layer} does not lower the error of {:?}: {before} to {error}", tensor.shape());
        }
        prefixes.push((8.0 * end as f64 / tensor.values().len() as f64, error));
    }
    Ok((prefixes, seconds))
}

fn gaussian(count: usize) -> Result<Tensor, Box<dyn Error>> {
    let mut state = 20_240_229u64;
    let mut uniform = || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let values = (0..count)
        .map(|_| ((-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32)
        .collect();
    Ok(Tensor::new(vec![count / 256, 256], values, DType::F32)?)
}

fn tensors(path: Option<String>) -> Result<Vec<Tensor>, Box<dyn Error>> {
    let Some(path) = path else {
        let count = std::env::var("WEIGHTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1 << 16);
        return Ok(vec![gaussian(count)?]);
    };
    let file = std::fs::read(path)?;
    let checkpoint = safetensors::SafeTensors::deserialize(&file)?;
    let mut found = Vec::new();
    for (name, view) in checkpoint.iter() {
        let count: usize = view.shape().iter().product();
        if view.dtype() == safetensors::Dtype::F32 && count >= 1024 {
            eprintln!("{name} {:?}", view.shape());
            found.push(Tensor::from_le_bytes(DType::F32, view.shape().to_vec(), view.data())?);
        }
    }
    Ok(found)
}

/// Distance to the rate of the Gaussian rate-distortion limit, in dB.
fn gap(bits: f64, error: f64) -> f64 {
    10.0 * (error * error * 4f64.powf(bits)).log10()
}

/// Bits a weight, error and gap of every prefix of layers; and how long encoding took.
type Prefixes = (Vec<[f64; 3]>, f64);

/// Means over all tensors.
fn prefixes(codec: &AnyCodec, tensors: &[Tensor]) -> Result<Prefixes, Box<dyn Error>> {
    let weights: usize = tensors.iter().map(|tensor| tensor.values().len()).sum();
    let (mut means, mut seconds) = (Vec::new(), 0.0);
    for tensor in tensors {
        let (prefixes, time) = measure(codec, tensor)?;
        seconds += time;
        means.resize(means.len().max(prefixes.len()), [0.0; 3]);
        for ([mean_bits, mean_error, mean_gap], (bits, error)) in means.iter_mut().zip(prefixes) {
            *mean_bits += bits * tensor.values().len() as f64 / weights as f64;
            *mean_error += error / tensors.len() as f64;
            *mean_gap += gap(bits, error) / tensors.len() as f64;
        }
    }
    Ok((means, seconds))
}

/// A table over the compression levels of the seed report.
fn levels(tensors: &[Tensor]) -> Result<(), Box<dyn Error>> {
    let weights: usize = tensors.iter().map(|tensor| tensor.values().len()).sum();
    println!("## Quality against compression level ({} tensors, {weights} weights)\n", tensors.len());
    println!(
        "| level | bits per weight | ratio to f32 | relative error (mean +- std) | largest | gap to Shannon, dB |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for level in [0.1, 0.3, 0.5, 0.7, 0.9] {
        let codec = AnyCodec::new(SeedlmProgressive::new(Config { level: Number::new(level), ..Config::default() }));
        let (mut bits, mut errors, mut mean_gap) = (0.0, Vec::new(), 0.0);
        for tensor in tensors {
            let (prefixes, _) = measure(&codec, tensor)?;
            let (rate, error) = prefixes[prefixes.len() - 1];
            bits += rate * tensor.values().len() as f64 / weights as f64;
            mean_gap += gap(rate, error) / tensors.len() as f64;
            errors.push(error);
        }
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        let spread = (errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / errors.len() as f64).sqrt();
        let largest = errors.iter().copied().fold(0.0, f64::max);
        println!(
            "| {level} | {bits:.3} | {:.1}x | {mean:.4} +- {spread:.4} | {largest:.4} | {mean_gap:.2} |",
            32.0 / bits
        );
    }
    Ok(())
}

/// A table of what each layer adds.
fn layers(codec: &AnyCodec, tensors: &[Tensor]) -> Result<(), Box<dyn Error>> {
    println!("\n## What each layer adds\n");
    println!("| layers | bits per weight | relative error | improvement | bandwidth | gap to Shannon, dB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let (rows, _) = prefixes(codec, tensors)?;
    for (layer, [bits, error, gap]) in rows.iter().enumerate() {
        let better = match layer {
            0 => "-".to_owned(),
            _ => format!("{:.0} %", 100.0 * (1.0 - error / rows[layer - 1][1])),
        };
        let share = 100.0 * bits / rows[0][0];
        println!("| {} | {bits:.3} | {error:.4} | {better} | {share:.0} % | {gap:.2} |", layer + 1);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let tensors = tensors(std::env::args().nth(1))?;
    let registry = register(Registry::default());
    let Ok(name) = std::env::var("CODEC") else {
        levels(&tensors)?;
        return layers(&registry.parse("seedlm-progressive:layers=4")?, &tensors);
    };
    let codec = registry.parse(&name)?;
    let weights: usize = tensors.iter().map(|tensor| tensor.values().len()).sum();
    let (means, seconds) = prefixes(&codec, &tensors)?;
    println!("{} ({weights} weights, {:.1} k weights/s)", codec.name(), weights as f64 / seconds / 1e3);
    for [bits, error, gap] in means {
        println!("  {bits:.4} bits, mean relative error {error:.4}, relMSE {:.5}, gap {gap:.2} dB", error * error);
    }
    Ok(())
}
