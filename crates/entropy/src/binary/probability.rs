//! Adaptive probabilities: counters that learn from the decisions they predict.

/// Denominator of probabilities: 2^16.
const ONE: u32 = 1 << 16;
/// No probability is nearer to 0 or 1 than this over 2^16.
const MARGIN: u32 = 16;

/// The adaptive probability of one kind of decision: 22 bits of probability that it is `true`, 10 bits of count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bit(u32);

impl Default for Bit {
    fn default() -> Self {
        Self::new(ONE / 2, 0)
    }
}

/// `2^16 / (n + 2)`: how far the `n`-th observation moves the estimate.
static STEP: [u16; Bit::WINDOW as usize - 1] = {
    let mut table = [0; Bit::WINDOW as usize - 1];
    let mut n = 0;
    while n < table.len() {
        table[n] = (ONE / (n as u32 + 2)) as u16;
        n += 1;
    }
    table
};

impl Bit {
    /// The window's length in decisions.
    pub const WINDOW: u32 = 640;

    /// A probability (over 2^16, that the decision is `true`) that weighs as much as `count` observations.
    pub const fn new(probability: u32, count: u32) -> Self {
        let limit = Self::WINDOW - 2;
        let count = if count > limit { limit } else { count };
        let probability = if probability < MARGIN {
            MARGIN
        } else if probability > ONE - MARGIN {
            ONE - MARGIN
        } else {
            probability
        };
        Self(probability << 16 | count)
    }

    /// The probability of `true` over 2^16, away from 0 and 1.
    #[inline]
    pub fn probability(self) -> u32 {
        (self.0 >> 16).clamp(MARGIN, ONE - MARGIN)
    }

    /// Learns from a decision.
    #[inline]
    pub fn update(&mut self, decision: bool) {
        let count = self.0 & 1023;
        let estimate = (self.0 >> 10) as i32;
        let target = if decision { (1 << 22) - 1 } else { 0 };
        let step = i32::from(STEP[(count as usize).min(STEP.len() - 1)]);
        // 22 bits times 15 bits: the product needs 64 bits before the shift.
        let moved = estimate + ((i64::from(target - estimate) * i64::from(step)) >> 16) as i32;
        self.0 = (moved as u32) << 10 | (count + u32::from(count < Self::WINDOW - 2));
    }
}
