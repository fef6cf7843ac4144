//! Blocks into weights: the types whose codes are numbers. Layouts are those of `ggml-common.h`; the order of the operations is that of
//! the `gguf` package, so that values are equal to the last bit.

use half::f16;

/// Fills the weights of one block from its bytes; both have the lengths of their type.
pub(super) type Dequantise = fn(&[u8], &mut [f32]);

pub(crate) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

pub(crate) fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

pub(crate) fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The code of weight `index` of 32: the low halves of 16 bytes, then their high halves.
fn nibble(bytes: &[u8], index: usize) -> u8 {
    bytes[index % 16] >> (index / 16 * 4) & 15
}

pub(super) fn q4_0(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (index, weight) in weights.iter_mut().enumerate() {
        *weight = d * (f32::from(nibble(&block[2..], index)) - 8.0);
    }
}

pub(super) fn q4_1(block: &[u8], weights: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for (index, weight) in weights.iter_mut().enumerate() {
        *weight = d * f32::from(nibble(&block[4..], index)) + m;
    }
}

pub(super) fn q5_0(block: &[u8], weights: &mut [f32]) {
    let (d, high) = (half_at(block, 0), u32_at(block, 2));
    for (index, weight) in weights.iter_mut().enumerate() {
        let code = nibble(&block[6..], index) | ((high >> index & 1) as u8) << 4;
        *weight = d * (f32::from(code) - 16.0);
    }
}

pub(super) fn q5_1(block: &[u8], weights: &mut [f32]) {
    let (d, m, high) = (half_at(block, 0), half_at(block, 2), u32_at(block, 4));
    for (index, weight) in weights.iter_mut().enumerate() {
        let code = nibble(&block[8..], index) | ((high >> index & 1) as u8) << 4;
        *weight = d * f32::from(code) + m;
    }
}

pub(super) fn q8_0(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (weight, &code) in weights.iter_mut().zip(&block[2..]) {
        *weight = f32::from(code as i8) * d;
    }
}

/// 16 scales and minima of four bits, 64 bytes of 2-bit codes, `d`, `dmin`.
pub(super) fn q2_k(block: &[u8], weights: &mut [f32]) {
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for (index, weight) in weights.iter_mut().enumerate() {
        let scale = block[index / 16];
        let code = block[16 + index / 128 * 32 + index % 32] >> (index % 128 / 32 * 2) & 3;
        *weight = d * f32::from(scale & 15) * f32::from(code) - dmin * f32::from(scale >> 4);
    }
}

/// 32 bytes of third bits, 64 of low two bits, 12 of sixteen 6-bit scales, `d`.
pub(super) fn q3_k(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 108);
    let packed = &block[96..108];
    let scale = |s: usize| {
        let low = packed[s % 8] >> (s / 8 * 4) & 15;
        let high = packed[8 + s % 4] >> (s / 4 * 2) & 3;
        d * (f32::from(low | high << 4) - 32.0)
    };
    for (s, weights) in weights.chunks_exact_mut(16).enumerate() {
        let step = scale(s);
        for (i, weight) in weights.iter_mut().enumerate() {
            let index = s * 16 + i;
            let low = block[32 + index / 128 * 32 + index % 32] >> (index % 128 / 32 * 2) & 3;
            // A bit that is not set takes four off.
            let high = block[index % 32] >> (index / 32) & 1;
            *weight = step * (f32::from(low) - f32::from((high ^ 1) << 2));
        }
    }
}

/// The 6-bit scale and minimum of sub-block `s` of eight, in twelve bytes.
fn scale_and_minimum(bytes: &[u8], s: usize) -> (f32, f32) {
    let (scale, minimum) = if s < 4 {
        (bytes[s] & 63, bytes[s + 4] & 63)
    } else {
        ((bytes[s + 4] & 15) | (bytes[s - 4] >> 6) << 4, (bytes[s + 4] >> 4) | (bytes[s] >> 6) << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

/// `d`, `dmin`, 12 bytes of scales and minima, then codes: of sub-blocks in pairs, the even one in the low halves.
fn k_affine(block: &[u8], nibbles: &[u8], weights: &mut [f32], fifth: impl Fn(usize, usize) -> u8) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for (s, weights) in weights.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], s);
        let (step, shift) = (d * scale, dmin * minimum);
        for (i, weight) in weights.iter_mut().enumerate() {
            let code = nibbles[s / 2 * 32 + i] >> (s % 2 * 4) & 15 | fifth(s, i) << 4;
            *weight = step * f32::from(code) - shift;
        }
    }
}

pub(super) fn q4_k(block: &[u8], weights: &mut [f32]) {
    k_affine(block, &block[16..], weights, |_, _| 0);
}

pub(super) fn q5_k(block: &[u8], weights: &mut [f32]) {
    k_affine(block, &block[48..], weights, |s, i| block[16 + i] >> s & 1);
}

/// 128 bytes of low four bits, 64 of upper two, 16 scales, `d`.
pub(super) fn q6_k(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 208);
    for (s, weights) in weights.chunks_exact_mut(16).enumerate() {
        let step = d * f32::from(block[192 + s] as i8);
        for (i, weight) in weights.iter_mut().enumerate() {
            let index = s * 16 + i;
            let (half, place) = (index / 128, index % 128);
            let low = block[half * 64 + place % 64] >> (place / 64 * 4) & 15;
            let high = block[128 + half * 32 + place % 32] >> (place / 32 * 2) & 3;
            *weight = step * (f32::from(low | high << 4) - 32.0);
        }
    }
}

const POWERS_OF_THREE: [u8; 5] = [1, 3, 9, 27, 81];

/// Runs of 32, 16 and 4 bytes that hold 5, 5 and 4 ternary digits each, then `d`.
pub(super) fn tq1_0(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 52);
    let mut weights = weights.iter_mut();
    for (start, bytes, digits) in [(0, 32, 5), (32, 16, 5), (48, 4, 4)] {
        for power in &POWERS_OF_THREE[..digits] {
            for (&byte, weight) in block[start..start + bytes].iter().zip(&mut weights) {
                let digit = (u16::from(byte.wrapping_mul(*power)) * 3) >> 8;
                *weight = d * (f32::from(digit) - 1.0);
            }
        }
    }
}

pub(super) fn tq2_0(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 64);
    for (index, weight) in weights.iter_mut().enumerate() {
        let code = block[index / 128 * 32 + index % 32] >> (index % 128 / 32 * 2) & 3;
        *weight = d * (f32::from(code) - 1.0);
    }
}

/// Twice the values of a 4-bit float of two exponent bits and one of mantissa.
const E2M1_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// An exponent byte, then codes.
pub(super) fn mxfp4(block: &[u8], weights: &mut [f32]) {
    let exponent = u32::from(block[0]);
    // Half of 2^(e - 127), because the values are doubled; below 2 that is subnormal.
    let scale = f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 });
    for (index, weight) in weights.iter_mut().enumerate() {
        *weight = scale * f32::from(E2M1_DOUBLED[usize::from(nibble(&block[1..], index))]);
    }
}

/// Half of an unsigned float of four exponent bits and three of mantissa.
fn half_of_ue4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    match byte {
        0 | 0x7F => 0.0,
        _ if exponent == 0 => mantissa / 512.0 * 0.5,
        _ => (1.0 + mantissa / 8.0) * f32::from_bits(((exponent - 7 + 127) as u32) << 23) * 0.5,
    }
}

/// Four scales, then 8 bytes of codes for each 16 weights.
pub(super) fn nvfp4(block: &[u8], weights: &mut [f32]) {
    for (s, weights) in weights.chunks_exact_mut(16).enumerate() {
        let scale = half_of_ue4m3(block[s]);
        for (i, weight) in weights.iter_mut().enumerate() {
            let code = block[4 + s * 8 + i % 8] >> (i / 8 * 4) & 15;
            *weight = scale * f32::from(E2M1_DOUBLED[usize::from(code)]);
        }
    }
}

/// `d`, then a bit a weight: plus or minus `d`.
pub(super) fn q1_0(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (index, weight) in weights.iter_mut().enumerate() {
        *weight = if block[2 + index / 8] >> (index % 8) & 1 == 1 { d } else { -d };
    }
}

/// `d`, then two bits a weight, code 1 is zero.
pub(super) fn q2_0(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (index, weight) in weights.iter_mut().enumerate() {
        let code = block[2 + index / 4] >> (index % 4 * 2) & 3;
        *weight = d * (f32::from(code) - 1.0);
    }
}
