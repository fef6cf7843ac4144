//! The same bytes on any number of threads.

use seedpress_codec::float_mode::in_another_mode;
use seedpress_codec::{AnyCodec, DType, EncodeContext, Registry, Tensor};

use crate::{Verdict, broken, inputs};

/// Encodes and decodes with subnormal numbers flushed to zero and rounding toward zero, in the calling thread and those of its pool, and
/// compares bits.
///
/// # Errors
/// The first broken promise.
pub fn any_float_mode(registry: &Registry, codec: &AnyCodec) -> Verdict {
    let scales = [1.0f32, 1e-40];
    for scale in scales {
        let values: Vec<f32> = inputs::gaussian(17 * 40, 4).iter().map(|v| v * scale).collect();
        let tensor = Tensor::new(vec![17, 40], values, DType::F32).map_err(|error| error.to_string())?;
        let through = || -> Result<(Vec<u8>, Vec<u32>), String> {
            let record =
                codec.encode(&tensor.view("w"), &EncodeContext::default()).map_err(|error| error.to_string())?;
            let bytes = record.to_bytes();
            let decoded = registry.decode_bytes(&bytes).map_err(|error| error.to_string())?;
            Ok((bytes, decoded.tensor.values().iter().map(|v| v.to_bits()).collect()))
        };
        let usual = through()?;
        let other = in_another_mode(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().map_err(|error| error.to_string())?;
            pool.install(through)
        })?;
        if usual != other {
            return Err(format!("weights of {scale:e}: bytes or values depend on the mode of floating point"));
        }
    }
    Ok(())
}

/// Encodes and decodes in pools of one and of three threads and compares bits.
///
/// # Errors
/// The first broken promise.
pub fn any_thread_count(registry: &Registry, codec: &AnyCodec) -> Verdict {
    let mut all = inputs::shapes();
    all.extend(inputs::contents());
    // The large ones: only those are split over threads.
    all.sort_by_key(|input| std::cmp::Reverse(input.tensor.values().len()));
    let results: Vec<Vec<(Vec<u8>, Vec<u32>)>> = [1, 3]
        .into_iter()
        .map(|threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| error.to_string())?;
            pool.install(|| {
                all.iter()
                    .take(6)
                    .map(|input| {
                        let view = input.tensor.view("w");
                        let record =
                            codec.encode(&view, &EncodeContext::default()).map_err(|e| broken(e, &input.name))?;
                        let bytes = record.to_bytes();
                        let decoded = registry.decode_bytes(&bytes).map_err(|e| broken(e, &input.name))?;
                        Ok((bytes, decoded.tensor.values().iter().map(|v| v.to_bits()).collect()))
                    })
                    .collect::<Result<Vec<_>, String>>()
            })
        })
        .collect::<Result<_, String>>()?;
    for (index, (one, three)) in results[0].iter().zip(&results[1]).enumerate() {
        if one.0 != three.0 {
            return Err(broken("the bytes depend on the number of threads", &all[index].name));
        }
        if one.1 != three.1 {
            return Err(broken("the decoded weights depend on the number of threads", &all[index].name));
        }
    }
    Ok(())
}
