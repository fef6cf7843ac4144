//! `raw`: the source's bytes as they are, the roof row for quality and the baseline for size.
//!
//! Parameters: one byte, the element's type (0 `f32`, 1 `f16`, 2 `bf16`). One segment: the elements, little-endian.

use seedpress_codec::packing::exact_len;
use seedpress_codec::{
    Capabilities, Codec, DType, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Packing, Role,
    Segment, Symbols, Tensor, TensorView,
};

use crate::{NoOptions, cast};

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
        Capabilities { lossless: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let (number, packing) = match tensor.dtype() {
            DType::F32 => (0, Packing::F32),
            DType::F16 => (1, Packing::F16),
            DType::BF16 => (2, Packing::BF16),
        };
        let bytes = Tensor::new(tensor.shape().to_vec(), tensor.values().to_vec(), tensor.dtype())
            .map_err(|error| EncodeError::Internal(error.to_string()))?
            .to_le_bytes();
        context.advance(tensor.len());
        let segment = Segment::new(Role::Raw, Symbols::floats(packing, tensor.len()), bytes);
        Ok(Encoded::single(vec![number], vec![segment]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let [bytes] = crate::segments(encoded)?;
        match encoded.params {
            [0] => {
                exact_len(bytes, out.len().saturating_mul(4)).map_err(|error| error.at(0, 0))?;
                for (value, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                    *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
                if out.iter().any(|value| !value.is_finite()) {
                    return Err(DecodeError::corrupt("a value is not finite").at(0, 0));
                }
                Ok(())
            }
            [1] => cast::widen::<half::f16>(bytes, out),
            [2] => cast::widen::<half::bf16>(bytes, out),
            _ => Err(DecodeError::corrupt("unknown element type")),
        }
    }
}
