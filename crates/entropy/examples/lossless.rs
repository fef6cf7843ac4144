//! Lossless sizes and speeds on the tensors of safetensors files, one thread: `lossless model.safetensors ..`.
//!
//! Tensors of 16 Ki values and more, each by itself, as binary32, cast to bfloat16 and to binary16. Columns: share of the raw bytes
//! and MB/s of raw bytes encoding and decoding (the fastest of five) for the stages and plain zstd -19.

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
    let raw: usize = segments.iter().map(|segment| segment.bytes.len()).sum();
    print!("{path} {packing:?} raw {raw}");
    for name in only {
        let (mut size, mut encode, mut decode) = (0, f64::MAX, f64::MAX);
        for _ in 0..if name.starts_with("zstd") { 1 } else { 5 } {
            let start = Instant::now();
            let coded: Vec<Vec<u8>> = if name == "zstd -19" {
                segments.iter().map(|s| zstd::bulk::compress(&s.bytes, 19)).collect::<Result<_, _>>()?
            } else {
                registry.stage(name)?.encode(&Layer { segments: segments.to_vec() })?
            };
            encode = encode.min(start.elapsed().as_secs_f64());
            size = coded.iter().map(Vec::len).sum();
            let start = Instant::now();
            let back = if name == "zstd -19" {
                coded
                    .iter()
                    .zip(segments)
                    .map(|(c, s)| zstd::bulk::decompress(c, s.bytes.len()))
                    .collect::<Result<_, _>>()?
            } else {
                let views = coded.iter().map(|bytes| SegmentView { role: Role::Raw, bytes }).collect();
                registry.stage(name)?.decode(&LayerView { segments: views }, &mut Limits::new(1 << 32))?
            };
            decode = decode.min(start.elapsed().as_secs_f64());
            assert!(back.iter().zip(segments).all(|(back, segment)| *back == segment.bytes), "{name} lost something");
        }
        let speed = |seconds: f64| raw as f64 / seconds / 1e6;
        print!(" | {name} {size} ({:.4}) {:.0}/{:.0}", size as f64 / raw as f64, speed(encode), speed(decode));
    }
    println!();
    Ok(())
}
