//! From an index magnitude to binary decisions and back, and what they cost.
//!
//! `k` is split into `k >> shift` and its low bits. The high part is unary with one adaptive decision a step, up to
//! [`UNARY`] steps, then Exp-Golomb; the two top low bits are adaptive (their model depends on the high part), the others raw. A sign
//! bit, raw, follows where `k > 0`. Each *context* (scale class x quantiser) has its own set of decisions.

use seedpress_entropy::binary::{Bit, Decoder, Encoder, log2};

/// Unary steps with models of their own.
pub(crate) const UNARY: usize = 15;
/// Models of low bits for one high part: the top bit, then the second given the top.
const LOW: usize = 3;
/// First model of the escape's Exp-Golomb prefix.
const ESCAPE: usize = UNARY + (UNARY + 1) * LOW;
/// The longest Exp-Golomb prefix: no index is beyond 2^24 steps.
const PREFIX: usize = 24;
/// Models in a context.
pub(crate) const MODELS: usize = ESCAPE + PREFIX;
/// Low bits at most.
pub(crate) const MOST_SHIFT: u32 = 7;

/// The adaptive models of one context.
pub(crate) type Context = [Bit; MODELS];

/// Calls `adaptive(model, decision)` and `raw(value, width)` for the decisions of `k`, in stream order.
#[inline]
fn decisions(k: u32, shift: u32, mut adaptive: impl FnMut(usize, bool), mut raw: impl FnMut(u32, u32)) {
    let high = (k >> shift) as usize;
    let steps = high.min(UNARY);
    for step in 0..steps {
        adaptive(step, true);
    }
    if high < UNARY {
        adaptive(high, false);
    } else {
        let rest = (high - UNARY + 1) as u32;
        let width = rest.ilog2();
        for step in 0..width as usize {
            adaptive(ESCAPE + step.min(PREFIX - 1), true);
        }
        if (width as usize) < PREFIX {
            adaptive(ESCAPE + width as usize, false);
        }
        raw(rest, width);
    }
    if shift > 0 {
        let models = UNARY + steps * LOW;
        let top = k >> (shift - 1) & 1;
        adaptive(models, top == 1);
        if shift > 1 {
            adaptive(models + 1 + top as usize, k >> (shift - 2) & 1 == 1);
            raw(k, shift - 2);
        }
    }
}

/// Writes `k` and, where it is not zero, the sign.
#[inline]
pub(crate) fn write(encoder: &mut Encoder, context: &mut Context, shift: u32, k: u32, negative: bool) {
    // Both closures need the coder; a cell would cost more than writing the raw bits last, and the order is the format's.
    let encoder = std::cell::RefCell::new(encoder);
    decisions(
        k,
        shift,
        |model, decision| encoder.borrow_mut().adaptive(&mut context[model], decision),
        |value, width| encoder.borrow_mut().raw(value, width),
    );
    if k > 0 {
        encoder.into_inner().raw(u32::from(negative), 1);
    }
}

/// Reads what [`write`] wrote: magnitude and sign.
#[inline]
pub(crate) fn read(decoder: &mut Decoder<'_>, context: &mut Context, shift: u32) -> (u32, bool) {
    let mut steps = 0;
    while steps < UNARY && decoder.adaptive(&mut context[steps]) {
        steps += 1;
    }
    let mut k = steps as u32;
    if steps == UNARY {
        k += escape(decoder, context);
    }
    if shift > 0 {
        let models = UNARY + steps * LOW;
        let top = decoder.adaptive(&mut context[models]);
        k = k << 1 | u32::from(top);
        if shift > 1 {
            k = k << 1 | u32::from(decoder.adaptive(&mut context[models + 1 + usize::from(top)]));
            k = k << (shift - 2) | decoder.raw(shift - 2);
        }
    }
    let negative = k > 0 && decoder.raw(1) == 1;
    (k, negative)
}

#[cold]
fn escape(decoder: &mut Decoder<'_>, context: &mut Context) -> u32 {
    let mut width = 0;
    while width < PREFIX && decoder.adaptive(&mut context[ESCAPE + width]) {
        width += 1;
    }
    (1 << width | decoder.raw(width as u32)) - 1
}

/// How often each decision of a context fell either way.
#[derive(Debug, Clone)]
pub(crate) struct Counts([[u32; 2]; MODELS]);

impl Default for Counts {
    fn default() -> Self {
        Self([[0; 2]; MODELS])
    }
}

impl Counts {
    /// Counts the decisions of `k`, `times` over.
    pub(crate) fn add(&mut self, k: u32, times: u32, shift: u32) {
        decisions(k, shift, |model, decision| self.0[model][usize::from(decision)] += times, |_, _| {});
    }

    /// Adds another count.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, more) in self.0.iter_mut().zip(&other.0) {
            own[0] += more[0];
            own[1] += more[1];
        }
    }

    /// Observations of a model.
    pub(crate) fn total(&self, model: usize) -> u32 {
        self.0[model][0].saturating_add(self.0[model][1])
    }

    /// The estimated probability of `true` over 2^16.
    pub(crate) fn probability(&self, model: usize) -> u32 {
        let [no, yes] = self.0[model].map(u64::from);
        (((2 * yes + 1) << 16) / (2 * (no + yes) + 2)).clamp(16, 65520) as u32
    }

    /// The cost in bits of either outcome of every model.
    fn bits(&self) -> [[f64; 2]; MODELS] {
        std::array::from_fn(|model| {
            let yes = f64::from(self.probability(model)) / 65536.0;
            [-log2(1.0 - yes), -log2(yes)]
        })
    }

    /// The cost in bits of coding what was counted, signs and raw bits apart, with models that learn as they go.
    pub(crate) fn adaptive_bits(&self) -> f64 {
        let bits = self.bits();
        let learning = |total: u32| if total > 0 { 0.5 * log2(f64::from(total) + 1.0) + 0.5 } else { 0.0 };
        (0..MODELS)
            .map(|m| {
                f64::from(self.0[m][0]) * bits[m][0] + f64::from(self.0[m][1]) * bits[m][1] + learning(self.total(m))
            })
            .sum()
    }

    /// The cost in bits of every magnitude below `costs.len()`, sign included.
    pub(crate) fn costs(&self, shift: u32, costs: &mut [f32]) {
        let bits = self.bits();
        for (k, cost) in costs.iter_mut().enumerate() {
            let sum = std::cell::Cell::new(f64::from(u32::from(k > 0)));
            decisions(
                k as u32,
                shift,
                |model, decision| sum.set(sum.get() + bits[model][usize::from(decision)]),
                |_, width| sum.set(sum.get() + f64::from(width)),
            );
            *cost = sum.get() as f32;
        }
    }
}

/// Raw bits of `k`, sign included.
pub(crate) fn raw_bits(k: u32, shift: u32) -> u32 {
    let mut sum = u32::from(k > 0);
    decisions(k, shift, |_, _| {}, |_, width| sum += width);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_magnitude_round_trips_at_every_shift() {
        let magnitudes: Vec<u32> = (0..300).chain((9..24).map(|bit| (1 << bit) + 5)).collect();
        for shift in 0..=MOST_SHIFT {
            let (mut encoder, mut context) = (Encoder::new(), [Bit::default(); MODELS]);
            for &k in &magnitudes {
                write(&mut encoder, &mut context, shift, k, k % 3 == 1);
            }
            let bytes = encoder.finish();
            let (mut decoder, mut context) = (Decoder::new(&bytes), [Bit::default(); MODELS]);
            for &k in &magnitudes {
                assert_eq!(read(&mut decoder, &mut context, shift), (k, k % 3 == 1), "shift {shift}");
            }
            decoder.finish().unwrap();
        }
    }

    #[test]
    fn costs_agree_with_written_lengths() {
        let mut counts = Counts::default();
        let histogram = [(0u32, 6000u32), (1, 2500), (2, 900), (3, 300), (7, 20)];
        for (k, times) in histogram {
            counts.add(k, times, 0);
        }
        let mut costs = [0f32; 16];
        counts.costs(0, &mut costs);
        let predicted: f64 = histogram.iter().map(|&(k, times)| f64::from(costs[k as usize]) * f64::from(times)).sum();
        let mut remaining = histogram;
        let (mut encoder, mut context) = (Encoder::new(), [Bit::default(); MODELS]);
        let mut pick = 0usize;
        while remaining.iter().any(|&(_, times)| times > 0) {
            // A fixed interleaving in proportion to the counts left.
            pick = (pick * 7919 + 13) % remaining.iter().map(|&(_, times)| times as usize).sum::<usize>();
            let mut at = pick;
            let slot = remaining.iter().position(|&(_, times)| {
                let here = at < times as usize;
                at = at.wrapping_sub(times as usize);
                here
            });
            let slot = slot.unwrap();
            remaining[slot].1 -= 1;
            write(&mut encoder, &mut context, 0, remaining[slot].0, false);
        }
        let size = encoder.finish().len() as f64 * 8.0;
        assert!((size / predicted - 1.0).abs() < 0.02, "{size} against {predicted}");
    }
}
