//! Truncations and bit flips, above and below the checksums.

use std::panic::{AssertUnwindSafe, catch_unwind};

use seedpress_codec::{
    AnyCodec, DType, DecodeError, EncodeContext, EncodedView, Layer, Limits, Registry, Stage, Tensor,
};

use crate::{Verdict, broken, inputs};

/// What a hostile stream may ask for in these tests.
const BUDGET: u64 = 16 << 20;

fn guarded<T>(what: &str, decode: impl FnOnce() -> Result<T, DecodeError>) -> Result<Result<T, DecodeError>, String> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        format!("panic on {what}: {text}")
    })
}

/// Every truncation of a record is an error or a shorter prefix of the right shape; every single-bit flip is an error.
///
/// # Errors
/// The first broken promise.
pub fn record_bytes(registry: &Registry, codec: &AnyCodec) -> Verdict {
    let input = inputs::tiny();
    let record =
        codec.encode(&input.tensor.view("w"), &EncodeContext::default()).map_err(|error| broken(error, &input.name))?;
    let bytes = record.to_bytes();
    for len in 0..bytes.len() {
        if let Ok(decoded) = guarded(&format!("the first {len} bytes"), || registry.decode_bytes(&bytes[..len]))?
            && (decoded.layers >= decoded.layers_total || decoded.tensor.shape() != input.tensor.shape())
        {
            return Err(format!("the first {len} of {} bytes decode as if complete", bytes.len()));
        }
    }
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        if guarded(&format!("bit {bit} flipped"), || registry.decode_bytes(&flipped))?.is_ok() {
            return Err(format!("nobody noticed that bit {bit} was flipped"));
        }
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    Ok(())
}

/// A stream as owned bytes, so that it can be damaged.
#[derive(Clone)]
struct Stream {
    params: Vec<u8>,
    layers: Vec<Layer>,
}

impl Stream {
    /// Every byte string of the stream: the parameters, then each segment.
    fn parts(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        let segments =
            self.layers.iter_mut().flat_map(|layer| layer.segments.iter_mut().map(|segment| &mut segment.bytes));
        std::iter::once(&mut self.params).chain(segments)
    }

    fn decode(&self, registry: &Registry, id: &str, shape: &[usize]) -> Result<Vec<f32>, DecodeError> {
        let mut out = vec![0f32; shape.iter().product()];
        let entry = registry.codec(id).map_err(|_| DecodeError::corrupt("not registered"))?;
        let layers = self.layers.iter().map(Layer::view).collect();
        let view = EncodedView::new(entry.format, shape, &self.params, layers).with_decoders(registry.decoders());
        entry.decode_raw(&view, &mut out, &mut Limits::new(BUDGET))?;
        Ok(out)
    }
}

/// Runs every damaged version of a stream through `decode`.
fn damage(stream: &Stream, mut decode: impl FnMut(&Stream, &str) -> Verdict) -> Verdict {
    let count = stream.clone().parts().count();
    for part in 0..count {
        let len = stream.clone().parts().nth(part).map_or(0, |bytes| bytes.len());
        let mut edit = |what: String, edit: &dyn Fn(&mut Vec<u8>)| {
            let mut damaged = stream.clone();
            if let Some(bytes) = damaged.parts().nth(part) {
                edit(bytes);
            }
            decode(&damaged, &what)
        };
        for bit in 0..len * 8 {
            edit(format!("part {part}, bit {bit} flipped"), &|bytes| bytes[bit / 8] ^= 1 << (bit % 8))?;
        }
        for byte in 0..len {
            edit(format!("part {part}, cut to {byte} bytes"), &|bytes| bytes.truncate(byte))?;
            edit(format!("part {part}, byte {byte} set to 255"), &|bytes| bytes[byte] = 255)?;
            edit(format!("part {part}, byte {byte} set to 0"), &|bytes| bytes[byte] = 0)?;
        }
        edit(format!("part {part}, 1000 bytes appended"), &|bytes| bytes.extend([0xA5; 1000]))?;
        edit(format!("part {part}, all ones"), &|bytes| bytes.fill(0xFF))?;
        edit(format!("part {part}, all zeros"), &|bytes| bytes.fill(0))?;
    }
    for layer in 0..stream.layers.len() {
        for segment in 0..stream.layers[layer].segments.len() {
            let mut damaged = stream.clone();
            damaged.layers[layer].segments.remove(segment);
            decode(&damaged, &format!("layer {layer} without segment {segment}"))?;
        }
        let mut damaged = stream.clone();
        damaged.layers.push(stream.layers[layer].clone());
        decode(&damaged, &format!("layer {layer} once more at the end"))?;
    }
    Ok(())
}

/// The codec's own decoder, fed with damaged bytes that no checksum guards: an error or as many values as the shape says.
///
/// # Errors
/// The first broken promise.
pub fn below_the_checksums(registry: &Registry, codec: &AnyCodec) -> Verdict {
    let input = inputs::tiny();
    let encoded = codec
        .encode_raw(&input.tensor.view("w"), &EncodeContext::default())
        .map_err(|error| broken(error, &input.name))?;
    let stream = Stream { params: encoded.params, layers: encoded.layers };
    damage(&stream, |damaged, what| {
        guarded(what, || damaged.decode(registry, codec.id(), input.tensor.shape())).map(|_| ())
    })?;
    // A header may lie about the shape, too.
    for shape in [vec![], vec![1], vec![66], vec![67], vec![6, 12], vec![5, 11], vec![1000, 1000], vec![2, 3, 11]] {
        guarded(&format!("shape {shape:?}"), || stream.decode(registry, codec.id(), &shape))?.ok();
    }
    Ok(())
}

/// Records of about a kilobyte at most, whose headers lie about the shape, with checksums that are right; and what each is.
///
/// # Errors
/// The first broken promise.
pub fn short_records(codec: &AnyCodec) -> Result<Vec<(String, Vec<u8>)>, String> {
    let zeros = inputs::Input {
        name: "zeros".to_owned(),
        tensor: Tensor::new(vec![256, 256], vec![0.0; 1 << 16], DType::F32).map_err(|error| error.to_string())?,
    };
    let mut records = Vec::new();
    for input in [inputs::tiny(), zeros] {
        let record = codec
            .encode(&input.tensor.view("w"), &EncodeContext::default())
            .map_err(|error| broken(error, &input.name))?;
        let shapes: [&[usize]; 6] =
            [&[1 << 22], &[2048, 2048], &[1, 1 << 22], &[1 << 22, 1], &[1 << 40], &[usize::MAX]];
        for shape in shapes.into_iter().chain([input.tensor.shape()]) {
            let mut lie = record.clone();
            lie.header.shape = shape.to_vec();
            let bytes = lie.to_bytes();
            if bytes.len() < 1200 {
                records.push((format!("{} as {shape:?}", input.name), bytes));
            }
        }
    }
    Ok(records)
}

/// Decodes a record that may be anything: an error or a tensor, never a panic.
///
/// # Errors
/// A panic.
pub fn decodes_or_fails(registry: &Registry, what: &str, bytes: &[u8]) -> Verdict {
    guarded(what, || registry.decode_bytes(bytes)).map(|_| ())
}

/// The stage's decoder, fed with damaged bytes of this codec's segments: an error or bytes within the budget.
///
/// # Errors
/// The first broken promise.
pub fn stage_below_the_checksums(codec: &AnyCodec, stage: &dyn Stage) -> Verdict {
    let input = inputs::tiny();
    let encoded = codec
        .encode_raw(&input.tensor.view("w"), &EncodeContext::default())
        .map_err(|error| broken(error, &input.name))?;
    for layer in encoded.layers {
        let coded = stage.encode(&layer).map_err(|error| error.to_string())?;
        let mut staged = layer.clone();
        for (segment, bytes) in staged.segments.iter_mut().zip(coded) {
            segment.bytes = bytes;
        }
        let restored =
            guarded("an undamaged layer", || stage.decode(stage.format(), &staged.view(), &mut Limits::new(BUDGET)))?
                .map_err(|e| e.to_string())?;
        for (index, (segment, bytes)) in layer.segments.iter().zip(&restored).enumerate() {
            if segment.bytes != *bytes {
                return Err(format!("segment {index} is not restored exactly"));
            }
        }
        let stream = Stream { params: Vec::new(), layers: vec![staged] };
        damage(&stream, |damaged, what| {
            let Some(layer) = damaged.layers.first() else { return Ok(()) };
            guarded(what, || stage.decode(stage.format(), &layer.view(), &mut Limits::new(BUDGET))).map(|_| ())
        })?;
    }
    Ok(())
}
