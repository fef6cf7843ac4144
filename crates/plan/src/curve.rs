//! Between the measured rates: the choices a tensor really has.
//!
//! Over the rates of one family the bytes written are close to linear in the rate asked for, and the divergence to exponential (it is
//! quadratic in the weights' error, which halves with every bit). Candidates between two rungs are interpolated so, a thirty-second of
//! a bit apart; what the search then encodes is measured, not interpolated.

use seedpress_codec::{AnyCodec, ConfigError, Registry};

use crate::ladder::Rung;
use crate::rate::{STEPS, with_rate};

/// Below any divergence that matters, so that logarithms exist.
const LEAST: f64 = 1e-12;

/// One way to store one tensor, with what it is expected to take and cost.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The codec.
    pub codec: AnyCodec,
    /// Its name: computed once.
    pub name: String,
    /// Bytes of the record.
    pub bytes: u64,
    /// Divergence expected.
    pub cost: f64,
}

/// Bits asked for, bytes written, divergence.
type Measured = (f64, u64, f64);

/// The candidates of a tensor from what was measured at each rung: `(bytes, cost)`.
///
/// # Errors
/// None in practice: every rate lies between two legal ones.
pub(crate) fn candidates(
    rungs: &[Rung],
    measured: &[(u64, f64)],
    registry: &Registry,
) -> Result<Vec<Candidate>, ConfigError> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut families: Vec<(&str, Vec<Measured>)> = Vec::new();
    for (rung, &(bytes, cost)) in rungs.iter().zip(measured) {
        let (codec, name) = (rung.codec.clone(), rung.codec.name());
        found.push(Candidate { codec, name, bytes, cost });
        let Some(rate) = &rung.rate else { continue };
        let point = (rate.bits, bytes, cost);
        match families.iter_mut().find(|(family, _)| *family == rate.family) {
            Some((_, points)) => points.push(point),
            None => families.push((&rate.family, vec![point])),
        }
    }
    for (family, mut points) in families {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        for pair in points.windows(2) {
            let [(low, low_bytes, low_cost), (high, high_bytes, high_cost)] = [pair[0], pair[1]];
            let first = (low * STEPS).floor() as i64 + 1;
            for bits in (first..).map(|step| step as f64 / STEPS).take_while(|bits| *bits < high) {
                let place = (bits - low) / (high - low);
                let bytes = low_bytes as f64 + place * (high_bytes as f64 - low_bytes as f64);
                let (from, to) = (low_cost.max(LEAST).ln(), high_cost.max(LEAST).ln());
                let codec = with_rate(family, bits, registry)?;
                let name = codec.name();
                found.push(Candidate {
                    codec,
                    name,
                    bytes: bytes.round() as u64,
                    cost: (from + place * (to - from)).exp(),
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::Ladder;

    #[test]
    fn between_rungs_bytes_are_linear_and_costs_exponential() {
        let registry = seedpress::registry();
        let ladder = Ladder::parse("q8_0 trellis:bits=2 trellis:bits=4", &registry).unwrap();
        let found = candidates(&ladder.rungs, &[(900, 0.5), (200, 16.0), (400, 1.0)], &registry).unwrap();
        assert_eq!(found.len(), 3 + 63);
        // 3 bits are the default.
        let middle = found.iter().find(|candidate| candidate.name == "trellis").unwrap();
        assert_eq!(middle.bytes, 300);
        assert!((middle.cost - 4.0).abs() < 1e-12);
    }
}
