//! `f16` and `bf16`: casts, rounding to nearest even.
//!
//! A value beyond the target's range becomes its largest finite value (65504 for `f16`), and one below its smallest subnormal
//! becomes zero: that is what the cast costs, so no scale comes to its help. No parameters; one segment of little-endian elements.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use rayon::prelude::*;
use seedpress_codec::packing::exact_len;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Packing, Role, Segment,
    Symbols, TensorView,
};

use crate::codes::{TASK, within};
use crate::no_options::NoOptions;

/// Elements converted at a time: whole slices have hardware instructions, and these stay in the first cache.
const STEP: usize = 1 << 10;

pub(crate) trait Half: Send + Sync {
    /// Narrows finite values, saturating. At most [`STEP`] of them.
    fn narrow(values: &[f32], bits: &mut [u16]);
    fn widen(bits: &[u16], values: &mut [f32]);
}

impl Half for f16 {
    fn narrow(values: &[f32], bits: &mut [u16]) {
        let mut limited = [0f32; STEP];
        for (limited, &value) in limited.iter_mut().zip(values) {
            *limited = within(value, -65504.0, 65504.0);
        }
        bits.reinterpret_cast_mut::<f16>().convert_from_f32_slice(&limited[..values.len()]);
    }

    fn widen(bits: &[u16], values: &mut [f32]) {
        bits.reinterpret_cast::<f16>().convert_to_f32_slice(values);
    }
}

impl Half for bf16 {
    fn narrow(values: &[f32], bits: &mut [u16]) {
        for (bits, value) in bits.iter_mut().zip(values) {
            // The upper half, rounded to nearest even; what would become infinite stays the largest finite value.
            let (magnitude, sign) = (value.to_bits() & 0x7FFF_FFFF, (value.to_bits() >> 16) as u16 & 0x8000);
            let rounded = (magnitude + 0x7FFF + (magnitude >> 16 & 1)) >> 16;
            *bits = rounded.min(0x7F7F) as u16 | sign;
        }
    }

    fn widen(bits: &[u16], values: &mut [f32]) {
        for (value, &bits) in values.iter_mut().zip(bits) {
            *value = f32::from_bits(u32::from(bits) << 16);
        }
    }
}

pub(crate) fn narrow<H: Half>(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 2];
    bytes.par_chunks_mut(2 * TASK).zip(values.par_chunks(TASK)).for_each(|(bytes, values)| {
        let mut bits = [0u16; STEP];
        for (bytes, values) in bytes.chunks_mut(2 * STEP).zip(values.chunks(STEP)) {
            H::narrow(values, &mut bits[..values.len()]);
            for (pair, bits) in bytes.chunks_exact_mut(2).zip(bits) {
                pair.copy_from_slice(&bits.to_le_bytes());
            }
        }
    });
    bytes
}

pub(crate) fn widen<H: Half>(bytes: &[u8], out: &mut [f32]) -> Result<(), DecodeError> {
    exact_len(bytes, out.len().saturating_mul(2)).map_err(|error| error.at(0, 0))?;
    let finite = out.par_chunks_mut(TASK).zip(bytes.par_chunks(2 * TASK)).map(|(out, bytes)| {
        let mut bits = [0u16; STEP];
        for (out, bytes) in out.chunks_mut(STEP).zip(bytes.chunks(2 * STEP)) {
            for (bits, pair) in bits.iter_mut().zip(bytes.chunks_exact(2)) {
                *bits = u16::from_le_bytes([pair[0], pair[1]]);
            }
            H::widen(&bits[..out.len()], out);
        }
        out.iter().fold(true, |finite, value| finite & value.is_finite())
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
                Capabilities { local_scales: true, keeps_zeros: true, ..Capabilities::default() }
            }

            fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
                let bytes = narrow::<$half>(tensor.values());
                context.advance(tensor.len());
                let symbols = Symbols::floats($packing, tensor.len()).in_rows(tensor.columns());
                Ok(Encoded::single(Vec::new(), vec![Segment::new(Role::Raw, symbols, bytes)]))
            }

            fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
                let [bytes] = encoded.single([Role::Raw])?;
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
