//! What rate to search for: a number of bits, or the one at which a bit saves a given share of the error.

use seedpress_entropy::binary::log2;

/// What a search aims at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Bits per weight, all that is written included.
    Bits(f64),
    /// The rate at which one more bit for the tensor would lower its relative error by `2^-slope`: equal slopes share a number of
    /// bits among tensors so that the sum of their relative errors is least.
    Slope(f64),
}

/// Where a search for a slope starts, in bits per weight.
pub(crate) const FIRST_SLOPE_BITS: f64 = 1.5;

/// Octaves of slope that end the search for it.
const SLOPE_TOLERANCE: f64 = 0.03;
/// Rates that are tried for a slope at most.
const MOST_ROUNDS: usize = 8;
/// By how many octaves the slope falls with every bit, by theory.
const OCTAVES_PER_BIT: f64 = 2.0;

/// The rate on trial, where it follows from a slope.
pub(super) struct RateTrial {
    /// Bits per weight.
    pub bits: f64,
    target: Target,
    round: usize,
    /// The rate before and by how many octaves its slope missed.
    last: Option<(f64, f64)>,
}

impl RateTrial {
    pub(super) fn new(target: Target) -> Self {
        let bits = match target {
            Target::Bits(bits) => bits,
            Target::Slope(_) => FIRST_SLOPE_BITS,
        };
        Self { bits, target, round: 0, last: None }
    }

    /// Whether the relative error a bit saves at this rate is the one aimed at; otherwise moves the rate.
    pub(super) fn settles(&mut self, saved: f64) -> bool {
        let Target::Slope(slope) = self.target else { return true };
        let miss = log2(saved.max(1e-300)) + slope;
        self.round += 1;
        if miss.abs() < SLOPE_TOLERANCE || self.round == MOST_ROUNDS {
            return true;
        }
        let per_bit = match self.last {
            Some((bits, before)) if (bits - self.bits).abs() > 1e-6 => {
                ((before - miss) / (self.bits - bits)).clamp(1.5, 6.0)
            }
            _ => OCTAVES_PER_BIT,
        };
        self.last = Some((self.bits, miss));
        let moved = (self.bits + miss / per_bit).clamp(0.05, 12.0);
        let stuck = moved == self.bits;
        self.bits = moved;
        stuck
    }
}
