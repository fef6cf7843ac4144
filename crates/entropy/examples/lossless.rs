//! Lossless sizes and speeds on the tensors of safetensors files, one thread: `lossless model.safetensors ..`.
//!
//! Tensors of 16 Ki values and more, each by itself, as binary32, cast to bfloat16 and to binary16. Columns: share of the raw bytes
//! and MB/s of raw bytes encoding and decoding, for the stages and zstd -19. The fastest of `RUNS` (7) runs of each tensor counts
//! (one of zstd's encoder), which a busy machine distorts least. `STAGES` names what to measure, separated by commas.

use std::time::Instant;

use half::{bf16, f16};
use safetensors::SafeTensors;
use seedpress_codec::{Layer, LayerView, Limits, Packing, Registry, Role, Segment, SegmentView, Symbols};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let only: Vec<String> = std::env::var("STAGES").map_or_else(
        |_| vec!["planes+ans".into(), "context".into(), "zstd -19".into()],
        |names| names.split(',').map(String::from).collect(),
    );
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let mut names = tensors.names();
        names.sort();
        for packing in [Packing::F32, Packing::BF16, Packing::F16] {
            let segments: Vec<Segment> = names
                .iter()
                .filter_map(|name| tensors.tensor(name).ok())
                .filter(|tensor| tensor.dtype() == safetensors::Dtype::F32 && tensor.data().len() >= 4 << 14)
                .map(|tensor| {
                    let count = tensor.data().len() / 4;
                    let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                    let bytes: Vec<u8> = match packing {
                        Packing::BF16 => values.flat_map(|v| bf16::from_f32(v).to_le_bytes()).collect(),
                        Packing::F16 => values.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect(),
                        _ => tensor.data().to_vec(),
                    };
                    let row = count / tensor.shape().first().copied().unwrap_or(1).max(1);
                    Segment::new(Role::Raw, Symbols::floats(packing, count).in_rows(row), bytes)
                })
                .collect();
            measure(&path, packing, &segments, &only)?;
        }
    }
    Ok(())
}

fn measure(
    path: &str,
    packing: Packing,
    segments: &[Segment],
    only: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let registry = seedpress_entropy::register(Registry::default());
    let most = std::env::var("RUNS").map_or(Ok(7), |runs| runs.parse())?;
    let raw: usize = segments.iter().map(|segment| segment.bytes.len()).sum();
    print!("{path} {packing:?} raw {raw}");
    for name in only {
        let (mut size, mut encode, mut decode) = (0, 0.0, 0.0);
        for segment in segments {
            let runs = if name.starts_with("zstd") { 1 } else { most };
            let layer = Layer { segments: vec![segment.clone()] };
            let (coded, seconds) = fastest(runs, || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
                Ok(match name.as_str() {
                    "zstd -19" => zstd::bulk::compress(&segment.bytes, 19)?,
                    _ => registry.stage(name)?.encode(&layer)?.remove(0),
                })
            })?;
            size += coded.len();
            encode += seconds;
            let (back, seconds) = fastest(most, || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
                let view = LayerView { segments: vec![SegmentView { role: Role::Raw, bytes: &coded }] };
                Ok(match name.as_str() {
                    "zstd -19" => zstd::bulk::decompress(&coded, segment.bytes.len())?,
                    _ => registry.stage(name)?.decode(1, &view, &mut Limits::new(1 << 32))?.remove(0),
                })
            })?;
            decode += seconds;
            assert!(back == segment.bytes, "{name} lost something");
        }
        let speed = |seconds: f64| raw as f64 / seconds / 1e6;
        print!(" | {name} {size} ({:.4}) {:.0}/{:.0}", size as f64 / raw as f64, speed(encode), speed(decode));
    }
    println!();
    Ok(())
}

/// The result and the time of the fastest run.
fn fastest<T, E>(runs: usize, mut job: impl FnMut() -> Result<T, E>) -> Result<(T, f64), E> {
    let start = Instant::now();
    let mut result = job()?;
    let mut best = start.elapsed().as_secs_f64();
    for _ in 1..runs {
        let start = Instant::now();
        result = job()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok((result, best))
}
