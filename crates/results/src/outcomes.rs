//! What every held-out sample came out as, kept with a row so that two rows can be compared sample by sample.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// More units than any data set has: a line that claims more is no row.
const MOST_UNITS: usize = 1 << 24;

/// The independent units (images, windows of text, recordings) of a figure that is a quotient of sums.
///
/// The figure is `sum(values) / sum(weights)`: hits over images, bits over bytes, divergence over frames. Values are held as 32-bit
/// floats, or as [16-bit ones](Self::coarse).
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    values: Vec<f32>,
    weights: Vec<f32>,
}

impl Outcomes {
    /// Numerator and denominator of every unit; `None` where they are of different number, not finite, or denominators sum to nothing.
    pub fn new(values: &[f64], weights: &[f64]) -> Option<Self> {
        let narrow = |list: &[f64]| list.iter().map(|&value| value as f32).collect();
        Self::checked(narrow(values), narrow(weights))
    }

    fn checked(values: Vec<f32>, weights: Vec<f32>) -> Option<Self> {
        let sound = values.len() == weights.len()
            && values.iter().chain(&weights).all(|value| value.is_finite())
            && weights.iter().all(|&weight| weight >= 0.0)
            && weights.iter().any(|&weight| weight > 0.0);
        sound.then_some(Self { values, weights })
    }

    /// The same with 8 significant bits a value (bfloat16, nearest even): half the bytes. For figures whose differences are as large as
    /// they are themselves, such as divergences from the original; rounding moves the mean of thousands by about 1e-5 of itself.
    #[must_use]
    pub fn coarse(mut self) -> Self {
        for value in &mut self.values {
            let bits = value.to_bits();
            let rounded = bits.saturating_add(0x7FFF + ((bits >> 16) & 1)) & 0xFFFF_0000;
            *value = match f32::from_bits(rounded) {
                rounded if rounded.is_finite() => rounded,
                _ => f32::from_bits(bits & 0xFFFF_0000),
            };
        }
        self
    }

    /// Number of units.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no unit; never.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numerators.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Denominators.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The figure.
    pub fn figure(&self) -> f64 {
        let sum = |list: &[f32]| list.iter().map(|&value| f64::from(value)).sum::<f64>();
        sum(&self.values) / sum(&self.weights)
    }
}

/// As it stands in a row: each list in the shortest of the forms that hold it exactly.
#[derive(Serialize, Deserialize)]
struct Packed {
    units: usize,
    values: String,
    weights: String,
}

impl Serialize for Outcomes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { values, weights } = self;
        Packed { units: values.len(), values: pack(values), weights: pack(weights) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outcomes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Packed { units, values, weights } = Packed::deserialize(deserializer)?;
        let lists = unpack(&values, units).zip(unpack(&weights, units));
        lists.and_then(|(values, weights)| Self::checked(values, weights)).ok_or_else(|| {
            serde::de::Error::custom("outcomes are `=value`, `bits:`, `bf16:` or `f32:` with base64, one a unit")
        })
    }
}

/// `=0.5` for one value throughout, `bits:` for zeros and ones (from the lowest bit of each byte), `bf16:` and `f32:` little-endian.
fn pack(list: &[f32]) -> String {
    match list {
        [first, rest @ ..] if rest.iter().all(|value| value.to_bits() == first.to_bits()) => format!("={first}"),
        _ if list.iter().all(|value| [0, 1f32.to_bits()].contains(&value.to_bits())) => {
            let byte = |bits: &[f32]| bits.iter().rev().fold(0u8, |byte, &bit| (byte << 1) | u8::from(bit == 1.0));
            format!("bits:{}", BASE64.encode(list.chunks(8).map(byte).collect::<Vec<_>>()))
        }
        _ if list.iter().all(|value| value.to_bits() & 0xFFFF == 0) => {
            let bytes: Vec<u8> = list.iter().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect();
            format!("bf16:{}", BASE64.encode(bytes))
        }
        _ => format!("f32:{}", BASE64.encode(list.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())),
    }
}

fn unpack(text: &str, units: usize) -> Option<Vec<f32>> {
    if units > MOST_UNITS {
        return None;
    }
    if let Some(value) = text.strip_prefix('=') {
        return Some(vec![value.parse().ok()?; units]);
    }
    let (form, text) = text.split_once(':')?;
    let bytes = BASE64.decode(text).ok()?;
    let list: Vec<f32> = match form {
        "bits" if bytes.len() == units.div_ceil(8) => {
            (0..units).map(|unit| f32::from(bytes[unit / 8] >> (unit % 8) & 1)).collect()
        }
        "bf16" => bytes.chunks_exact(2).map(|word| f32::from_le_bytes([0, 0, word[0], word[1]])).collect(),
        "f32" => bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect(),
        _ => return None,
    };
    (list.len() == units).then_some(list)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(values: &[f64], weights: &[f64]) -> String {
        let outcomes = Outcomes::new(values, weights).unwrap();
        let text = serde_json::to_string(&outcomes).unwrap();
        assert_eq!(serde_json::from_str::<Outcomes>(&text).unwrap(), outcomes, "{text}");
        text
    }

    #[test]
    fn every_form_comes_back_as_it_was() {
        let ones = [1.0; 9];
        let hits = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0];
        assert_eq!(text(&hits, &ones), r#"{"units":9,"values":"bits:OQE=","weights":"=1"}"#);
        assert!(text(&[0.5, 3.0, -0.0], &[1.0, 2.0, 0.0]).contains("bf16:"));
        assert!(text(&[0.1, 3.0], &[0.25, 0.25]).contains(r#""f32:zczMPQAAQEA=","weights":"=0.25""#));
        let coarse = Outcomes::new(&[0.1, 1e-9, 3e38], &[1.0; 3]).unwrap().coarse();
        for (value, exact) in coarse.values().iter().zip([0.1f64, 1e-9, 3e38]) {
            assert!((f64::from(*value) / exact - 1.0).abs() < 1.0 / 256.0, "{value} {exact}");
        }
        assert!(serde_json::to_string(&coarse).unwrap().contains("bf16:"));
    }

    #[test]
    fn what_is_no_outcome_is_refused() {
        assert!(Outcomes::new(&[1.0], &[1.0, 1.0]).is_none() && Outcomes::new(&[], &[]).is_none());
        assert!(Outcomes::new(&[f64::NAN], &[1.0]).is_none() && Outcomes::new(&[1.0], &[0.0]).is_none());
        assert!(Outcomes::new(&[1e300], &[1.0]).is_none());
        for wrong in [
            r#"{"units":9,"values":"bits:OQ==","weights":"=1"}"#,
            r#"{"units":2,"values":"f32:OQE=","weights":"=1"}"#,
            r#"{"units":2,"values":"f64:OQE=","weights":"=1"}"#,
            r#"{"units":99999999999,"values":"=1","weights":"=1"}"#,
            r#"{"units":2,"values":"=NaN","weights":"=1"}"#,
        ] {
            assert!(serde_json::from_str::<Outcomes>(wrong).is_err(), "{wrong}");
        }
    }
}
