//! What layers cost: every prefix of `trellis-progressive` against `trellis` at the same bytes, in decibels.
//!
//! `cargo run --release -p seedpress-trellis --example layers -- [log2 weights] [sources] [bits] [layers] [effort]`

use seedpress_codec::{DType, EncodeContext, RecordView, Registry, Tensor};

#[path = "gap.rs"]
#[allow(dead_code)]
mod gap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let log_count: u32 = arguments.next().map_or(Ok(18), |a| a.parse())?;
    let sources = arguments.next().unwrap_or_else(|| "normal,laplace".into());
    let bits = arguments.next().unwrap_or_else(|| "3.2".into());
    let layers = arguments.next().unwrap_or_else(|| "3".into());
    let effort = arguments.next().unwrap_or_else(|| "default".into());
    let registry = seedpress_trellis::register(Registry::default());
    println!("| source | bits of prefix | relMSE | relMSE of one layer | loss dB |\n| --- | --- | --- | --- | --- |");
    for source in sources.split(',') {
        let values = gap::draw(source, 1 << log_count);
        let tensor = Tensor::new(vec![1 << (log_count / 2), 1 << log_count.div_ceil(2)], values, DType::F32)?;
        let count = tensor.values().len() as f64;
        let relative = |bytes: &[u8]| -> Result<f64, Box<dyn std::error::Error>> {
            let back = registry.decode_bytes(bytes)?.tensor;
            let pairs = tensor.values().iter().zip(back.values());
            let error: f64 = pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
            Ok(error / tensor.values().iter().map(|&a| f64::from(a).powi(2)).sum::<f64>())
        };
        let encode = |name: String| -> Result<Vec<u8>, Box<dyn std::error::Error>> {
            Ok(registry.parse(&name)?.encode(&tensor.view("t"), &EncodeContext::default())?.to_bytes())
        };
        let whole = encode(format!("trellis-progressive:bits={bits},layers={layers},effort={effort}"))?;
        let header = RecordView::parse(&whole)?.header;
        let all: usize = (0..header.layers.len()).map(|layer| header.layer_len(layer)).sum();
        let mut end = whole.len() - all;
        for layer in 0..header.layers.len() {
            end += header.layer_len(layer);
            let rate = end as f64 * 8.0 / count;
            let layered = relative(&whole[..end])?;
            let single = encode(format!("trellis:bits={rate:.4},effort={effort}"))?;
            let difference = single.len() as f64 * 8.0 / count - rate;
            let one = relative(&single)?;
            println!(
                "| {source} | {rate:.3} | {layered:.5} | {one:.5} | {:.2} |",
                10.0 * (layered / one).log10() - 6.0206 * difference
            );
        }
    }
    Ok(())
}
