//! Shapes, data types, non-finite values, error bounds, prefixes.

use seedpress_codec::{AnyCodec, EncodeContext, Limits, RecordView, Registry, Tensor};

use crate::{Verdict, broken, inputs};

/// Encodes, serialises, and decodes from a fresh copy of the bytes.
fn through_bytes(registry: &Registry, codec: &AnyCodec, tensor: &Tensor) -> Result<(Vec<u8>, Tensor), String> {
    let record = codec.encode(&tensor.view("w"), &EncodeContext::default()).map_err(|error| error.to_string())?;
    let bytes = record.to_bytes();
    let decoded = registry.decode_bytes(&bytes).map_err(|error| error.to_string())?;
    if decoded.layers != decoded.layers_total {
        return Err("a whole record decoded from some of its layers only".into());
    }
    Ok((bytes, decoded.tensor))
}

fn squared_error(a: &Tensor, b: &Tensor) -> f64 {
    a.values().iter().zip(b.values()).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum()
}

fn energy(tensor: &Tensor) -> f64 {
    tensor.values().iter().map(|&x| f64::from(x).powi(2)).sum()
}

/// Every shape and content decodes to its own shape and type, no worse than zeros would be; zeros stay zeros; lossless means equal.
///
/// # Errors
/// The first broken promise.
pub fn every_input(registry: &Registry, codec: &AnyCodec) -> Verdict {
    for input in inputs::shapes().into_iter().chain(inputs::contents()) {
        let tensor = &input.tensor;
        let (_, decoded) = through_bytes(registry, codec, tensor).map_err(|error| broken(error, &input.name))?;
        if decoded.shape() != tensor.shape() || decoded.dtype() != tensor.dtype() {
            return Err(broken("shape or data type changed", &input.name));
        }
        if let Some(bad) = decoded.values().iter().position(|v| !v.is_finite()) {
            return Err(broken(format!("weight {bad} is not finite any more"), &input.name));
        }
        let (error, energy) = (squared_error(tensor, &decoded), energy(tensor));
        if error > energy * (1.0 + 1e-9) {
            return Err(broken(
                format!("squared error {error:e} is worse than storing zeros ({energy:e})"),
                &input.name,
            ));
        }
        if codec.capabilities().lossless && error != 0.0 {
            return Err(broken(format!("declared lossless, squared error {error:e}"), &input.name));
        }
    }
    Ok(())
}

/// NaN and infinity come back bit for bit, and do not spoil their neighbours.
///
/// # Errors
/// The first broken promise.
pub fn non_finite_values(registry: &Registry, codec: &AnyCodec) -> Verdict {
    for input in inputs::non_finite() {
        let (_, decoded) = through_bytes(registry, codec, &input.tensor).map_err(|error| broken(error, &input.name))?;
        for (index, (&before, &after)) in input.tensor.values().iter().zip(decoded.values()).enumerate() {
            let kept = if before.is_finite() { after.is_finite() } else { before.to_bits() == after.to_bits() };
            if !kept {
                return Err(broken(format!("weight {index} went from {before} to {after}"), &input.name));
            }
        }
    }
    Ok(())
}

/// Every prefix of layers decodes from cut bytes, and no layer makes things worse.
///
/// # Errors
/// The first broken promise.
pub fn every_prefix(registry: &Registry, codec: &AnyCodec) -> Verdict {
    for input in inputs::shapes() {
        let tensor = &input.tensor;
        let (bytes, _) = through_bytes(registry, codec, tensor).map_err(|error| broken(error, &input.name))?;
        let view = RecordView::parse(&bytes).map_err(|error| broken(error, &input.name))?;
        let layers = view.header.layers.len();
        if layers > 1 && !codec.capabilities().progressive {
            return Err(broken("several layers, but not declared progressive", &input.name));
        }
        let mut end = view.header.to_bytes().len();
        let mut last = f64::INFINITY;
        for layer in 0..layers {
            end += view.header.layer_len(layer);
            let mut limits = Limits::for_input(end);
            let decoded = RecordView::parse(&bytes[..end])
                .and_then(|prefix| registry.decode(&prefix, &mut limits))
                .map_err(|error| broken(format!("prefix of {} layers: {error}", layer + 1), &input.name))?;
            let error = squared_error(tensor, &decoded.tensor);
            if decoded.layers != layer + 1 || error > last * (1.0 + 1e-6) + 1e-12 {
                return Err(broken(
                    format!("layer {layer} raised the squared error from {last} to {error}"),
                    &input.name,
                ));
            }
            last = error;
        }
    }
    Ok(())
}
