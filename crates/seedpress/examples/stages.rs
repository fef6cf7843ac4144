//! What each entropy stage leaves of each codec's bytes: `stages model.safetensors ..`.
//!
//! Whole records of the tensors of 16 Ki values and more, in bits a weight, every record decoded and compared.

use safetensors::{Dtype, SafeTensors};
use seedpress_codec::{DType, EncodeContext, TensorView};

const CODECS: [&str; 9] = [
    "rtn:bits=2",
    "rtn:bits=3",
    "rtn:bits=4",
    "rtn:bits=4,group=0",
    "bitnet",
    "bitnet:scale=row,threshold=mse",
    "lloyd-max:bits=2",
    "lloyd-max:bits=3",
    "lloyd-max:bits=4",
];
const STAGES: [&str; 4] = ["", "+zstd", "+ans", "+context"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = seedpress::registry();
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let mut names = tensors.names();
        names.sort();
        println!("{path}: bits a weight with {STAGES:?}, the last against +ans");
        let mut sums = [[0usize; STAGES.len()]; CODECS.len()];
        let mut weights = 0;
        for name in names {
            let tensor = tensors.tensor(name)?;
            if tensor.dtype() != Dtype::F32 || tensor.data().len() < 4 << 14 {
                continue;
            }
            let values: Vec<f32> =
                tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let view = TensorView::new(name, tensor.shape(), &values, DType::F32)?;
            weights += values.len();
            println!("  {name} {:?}", tensor.shape());
            for (codec, sums) in CODECS.iter().zip(&mut sums) {
                let mut plain: Option<Vec<f32>> = None;
                let mut sizes = [0; STAGES.len()];
                for ((stage, sum), size) in STAGES.iter().zip(sums).zip(&mut sizes) {
                    let codec = registry.parse(&format!("{codec}{stage}"))?;
                    let record = codec.encode(&view, &EncodeContext::default())?.to_bytes();
                    let back = registry.decode_bytes(&record)?.tensor.values().to_vec();
                    assert!(plain.get_or_insert_with(|| back.clone()) == &back, "the stage changed the weights");
                    *size = record.len();
                    *sum += record.len();
                }
                line(codec, &sizes, values.len());
            }
        }
        println!("  all of {weights} weights");
        for (codec, sums) in CODECS.iter().zip(&sums) {
            line(codec, sums, weights);
        }
    }
    Ok(())
}

fn line(codec: &str, sizes: &[usize], weights: usize) {
    let bits: Vec<String> = sizes.iter().map(|&size| format!("{:.4}", 8.0 * size as f64 / weights as f64)).collect();
    println!("    {codec:32} {} {:+.2} %", bits.join(" "), 100.0 * (sizes[3] as f64 / sizes[2] as f64 - 1.0));
}
