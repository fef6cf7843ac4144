//! The same bytes on any number of threads.

use seedpress_codec::{AnyCodec, EncodeContext, Registry};

use crate::{Verdict, broken, inputs};

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
