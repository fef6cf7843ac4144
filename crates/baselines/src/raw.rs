//! `raw`: the source's bytes as they are, the roof row for quality and the baseline for size.
//!
//! Parameters: one byte, the element's type (0 `f32`, 1 `f16`, 2 `bf16`). One segment: the elements, little-endian.

use rayon::prelude::*;
use seedpress_codec::packing::exact_len;
use seedpress_codec::{
    Capabilities, Codec, DType, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Packing, Role,
    Segment, Symbols, TensorView,
};

use crate::cast;
use crate::codes::TASK;
use crate::no_options::NoOptions;

fn full(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 4];
    bytes.par_chunks_mut(4 * TASK).zip(values.par_chunks(TASK)).for_each(|(bytes, values)| {
        for (four, value) in bytes.chunks_exact_mut(4).zip(values) {
            four.copy_from_slice(&value.to_le_bytes());
        }
    });
    bytes
}

/// Keeps the source bytes: lossless.
#[derive(Debug, Clone)]
pub struct Raw(NoOptions);

impl Codec for Raw {
    const ID: &'static str = "raw";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "the source's own bytes (f32, f16 or bf16): lossless";
    type Config = NoOptions;

    fn new(config: NoOptions) -> Self {
        Self(config)
    }

    fn config(&self) -> &NoOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { lossless: true, local_scales: true, keeps_zeros: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let values = tensor.values();
        let (number, packing, bytes) = match tensor.dtype() {
            DType::F32 => (0, Packing::F32, full(values)),
            DType::F16 => (1, Packing::F16, cast::narrow::<half::f16>(values)),
            DType::BF16 => (2, Packing::BF16, cast::narrow::<half::bf16>(values)),
        };
        context.advance(tensor.len());
        let segment = Segment::new(Role::Raw, Symbols::floats(packing, tensor.len()).in_rows(tensor.columns()), bytes);
        Ok(Encoded::single(vec![number], vec![segment]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let [bytes] = encoded.single([Role::Raw])?;
        match encoded.params {
            [0] => {
                exact_len(bytes, out.len().saturating_mul(4)).map_err(|error| error.at(0, 0))?;
                let finite = out.par_chunks_mut(TASK).zip(bytes.par_chunks(4 * TASK)).map(|(out, bytes)| {
                    for (value, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                        *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                    }
                    out.iter().fold(true, |finite, value| finite & value.is_finite())
                });
                if finite.reduce(|| true, |a, b| a & b) {
                    Ok(())
                } else {
                    Err(DecodeError::corrupt("a value is not finite").at(0, 0))
                }
            }
            [1] => cast::widen::<half::f16>(bytes, out),
            [2] => cast::widen::<half::bf16>(bytes, out),
            _ => Err(DecodeError::corrupt("unknown element type")),
        }
    }
}
