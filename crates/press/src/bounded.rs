//! The lowest rate of a codec at which a tensor is within an error.
//!
//! Rates are tried, not predicted: each trial encodes the tensor, decodes the bytes and measures. A bit a weight halves an error nearly
//! everywhere, so the first trials go where that rule says, and later ones halve what is left between a rate that failed and one that did
//! not. Three to five trials are usual.

use seedpress_codec::AnyCodec;

use crate::error::PressError;

/// Trials that go where the rule says; a tensor that needs more follows another one.
const PREDICTED: usize = 4;

/// A codec at several rates, and the largest error that a tensor may have.
#[derive(Debug, Clone)]
pub struct Bounded {
    name: String,
    rates: Vec<(f64, AnyCodec)>,
    error: f64,
}

impl Bounded {
    /// A codec's rates in bits a weight, lowest first, and an error as [`RowErrors::judged`](crate::RowErrors::judged) has it. `name` is the codec's without a rate.
    ///
    /// # Panics
    /// Where there is no rate, or they are not in order.
    pub fn new(name: &str, rates: Vec<(f64, AnyCodec)>, error: f64) -> Self {
        assert!(!rates.is_empty() && rates.is_sorted_by(|a, b| a.0 < b.0), "rates in ascending order");
        Self { name: name.to_owned(), rates, error }
    }

    /// `trellis, error at most 0.1`
    pub fn name(&self) -> String {
        format!("{}, error at most {}", self.name, self.error)
    }

    /// Everything that decides which bytes are written.
    pub(crate) fn key(&self) -> String {
        let codec = self.codec();
        let rates: Vec<f64> = self.rates.iter().map(|(bits, _)| *bits).collect();
        format!("{} within {:?} of {rates:?} {:?}", self.name, self.error, codec.code())
    }

    /// Any of its codecs: they differ in their rate alone.
    pub(crate) fn codec(&self) -> &AnyCodec {
        &self.rates[0].1
    }

    /// The lowest rate that is good enough, by the errors that `attempt` measures, and what it made there; `None` where no rate is.
    pub(crate) fn search<T>(
        &self,
        mut attempt: impl FnMut(&AnyCodec) -> Result<(T, f64), PressError>,
    ) -> Result<Option<(f64, T)>, PressError> {
        // All rates below `low` fail, the one at `high` and all above are good enough.
        let (mut low, mut high) = (0, self.rates.len());
        let mut found = None;
        // A Gaussian source at this rate has the error asked for.
        let mut wanted = -libm::log2(self.error);
        for trial in 0.. {
            if low == high {
                break;
            }
            let place = match trial < PREDICTED {
                true => self.rates.partition_point(|(bits, _)| *bits < wanted).clamp(low, high - 1),
                false => low + (high - low) / 2,
            };
            let (bits, codec) = &self.rates[place];
            let (made, error) = attempt(codec)?;
            if error <= self.error {
                high = place;
                found = Some((*bits, made));
            } else {
                low = place + 1;
            }
            // An error of 0 asks for the lowest rate, one without bound for the highest.
            wanted = bits + libm::log2(error / self.error);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOWEST: f64 = 4.0 / 32.0;

    fn bounded(error: f64) -> Bounded {
        let registry = seedpress::registry();
        let rates = (4..=384).map(|step| f64::from(step) / 32.0);
        let rates = rates.map(|bits| (bits, registry.parse(&format!("ecsq:bits={bits}")).unwrap()));
        Bounded::new("ecsq", rates.collect(), error)
    }

    /// The rate found and the number of trials, for an error at each rate in steps.
    fn find(asked: f64, error: impl Fn(f64) -> f64) -> (Option<f64>, usize) {
        let mut trials = 0;
        let found = bounded(asked).search(|codec| {
            trials += 1;
            Ok(((), error(codec.options()["bits"].as_f64().unwrap())))
        });
        (found.unwrap().map(|(bits, ())| bits), trials)
    }

    #[test]
    fn the_lowest_rate_that_is_good_enough_in_few_trials() {
        let steps = |bits: f64| (bits * 32.0).ceil() / 32.0;
        for error in [0.9, 0.5, 0.1, 0.037, 0.001] {
            // Gaussian, and 1.5 dB worse; a codec whose scales cost half a bit.
            for shift in [0.0, 0.25, 0.5] {
                let (found, trials) = find(error, |bits| (shift - bits).exp2());
                assert_eq!(found, Some(steps(shift - error.log2()).max(LOWEST)), "{error} {shift}");
                assert!(trials <= 4, "{error} {shift}: {trials} trials");
            }
            // Another slope altogether.
            let (found, trials) = find(error, |bits| (-0.3 * bits).exp2());
            let expected = steps(-error.log2() / 0.3);
            assert_eq!(found, Some(expected.max(LOWEST)).filter(|bits| *bits <= 12.0), "{error}");
            assert!(trials <= PREDICTED + 9, "{error}: {trials} trials");
        }
    }

    #[test]
    fn errors_without_a_rate_and_rates_without_an_error() {
        assert_eq!(find(0.1, |_| 0.0).0, Some(LOWEST));
        assert_eq!(find(0.0, |_| 0.0).0, Some(LOWEST));
        assert_eq!(find(0.1, |_| 0.2).0, None);
        assert_eq!(find(0.1, |_| f64::INFINITY).0, None);
        assert_eq!(find(0.1, |_| f64::NAN).0, None);
        assert_eq!(find(0.0, |bits| if bits < 12.0 { (-bits).exp2() } else { 0.0 }).0, Some(12.0));
    }
}
