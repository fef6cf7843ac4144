//! `f16` and `bf16`: casts, rounding to nearest even.
//!
//! A value beyond the target's range becomes its largest finite value (65504 for `f16`), and one below its smallest subnormal
//! becomes zero: that is what the cast costs, so no scale comes to its help. No parameters; one segment of little-endian elements.

use half::{bf16, f16};
use rayon::prelude::*;
use seedpress_codec::packing::exact_len;
use seedpress_codec::{
    Capabilities, Codec, DType, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Packing, Role,
    Segment, Symbols, TensorView,
};

use crate::NoOptions;

/// Elements a parallel task works on.
const TASK: usize = 1 << 15;

pub(crate) trait Half: Send + Sync {
    fn narrow(value: f32) -> u16;
    fn widen(bits: u16) -> f32;
}

impl Half for f16 {
    fn narrow(value: f32) -> u16 {
        f16::from_f32(DType::F16.round(value)).to_bits()
    }

    fn widen(bits: u16) -> f32 {
        f16::from_bits(bits).to_f32()
    }
}

impl Half for bf16 {
    fn narrow(value: f32) -> u16 {
        bf16::from_f32(DType::BF16.round(value)).to_bits()
    }

    fn widen(bits: u16) -> f32 {
        bf16::from_bits(bits).to_f32()
    }
}

fn narrow<H: Half>(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 2];
    bytes.par_chunks_mut(2 * TASK).zip(values.par_chunks(TASK)).for_each(|(bytes, values)| {
        for (pair, &value) in bytes.chunks_exact_mut(2).zip(values) {
            pair.copy_from_slice(&H::narrow(value).to_le_bytes());
        }
    });
    bytes
}

pub(crate) fn widen<H: Half>(bytes: &[u8], out: &mut [f32]) -> Result<(), DecodeError> {
    exact_len(bytes, out.len().saturating_mul(2)).map_err(|error| error.at(0, 0))?;
    let finite = out.par_chunks_mut(TASK).zip(bytes.par_chunks(2 * TASK)).map(|(out, bytes)| {
        for (value, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
            *value = H::widen(u16::from_le_bytes([pair[0], pair[1]]));
        }
        out.iter().all(|value| value.is_finite())
    });
    if finite.reduce(|| true, |a, b| a & b) {
        Ok(())
    } else {
        Err(DecodeError::corrupt("a value is not finite").at(0, 0))
    }
}

macro_rules! cast {
    ($name:ident, $half:ty, $id:literal, $packing:expr, $summary:literal) => {
        #[doc = $summary]
        #[derive(Debug, Clone)]
        pub struct $name(NoOptions);

        impl Codec for $name {
            const ID: &'static str = $id;
            const FORMAT: u32 = 1;
            const SUMMARY: &'static str = $summary;
            type Config = NoOptions;

            fn new(config: NoOptions) -> Self {
                Self(config)
            }

            fn config(&self) -> &NoOptions {
                &self.0
            }

            fn capabilities(&self) -> Capabilities {
                Capabilities::default()
            }

            fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
                let bytes = narrow::<$half>(tensor.values());
                context.advance(tensor.len());
                let symbols = Symbols::floats($packing, tensor.len());
                Ok(Encoded::single(Vec::new(), vec![Segment::new(Role::Raw, symbols, bytes)]))
            }

            fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
                let [bytes] = crate::segments(encoded)?;
                if !encoded.params.is_empty() {
                    return Err(DecodeError::corrupt("parameters where none are expected"));
                }
                widen::<$half>(bytes, out)
            }
        }
    };
}

cast!(F16, f16, "f16", Packing::F16, "a cast to IEEE binary16, saturating at 65504");
cast!(Bf16, bf16, "bf16", Packing::BF16, "a cast to bfloat16, rounding to nearest even");
