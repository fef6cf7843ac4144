//! The codecs a plan may choose from, each at one rate or several.
//!
//! A ladder is written as codec names with blanks between: `trellis`, `trellis q8_0`, `ecsq:bits=2 ecsq:bits=4 rtn:bits=3+ans`. A
//! codec that targets a rate and is named without one stands for [`RATES`] of them (for whole rates only: 1 to 8). Rungs that differ
//! in nothing but a fractional `bits` form one family, and every rate between them may be used.

use seedpress_codec::{AnyCodec, ConfigError, Registry};

use crate::rate::{Rate, STEPS, options_of, with_rate, without_rate};

/// Bits a weight that a codec of any fractional rate is measured at: about half an octave apart.
pub const RATES: [f64; 8] = [0.5, 0.8, 1.2, 1.8, 2.6, 3.7, 5.2, 7.3];

/// Bits a weight that no codec exceeds.
const MOST_BITS: f64 = 16.0;

/// One choice for a tensor.
#[derive(Debug, Clone)]
pub struct Rung {
    /// The codec with all its options.
    pub codec: AnyCodec,
    /// The family and the rate in it, where any rate between rungs may be used.
    pub rate: Option<Rate>,
}

/// What a plan may choose from.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// As it was written.
    pub text: String,
    /// Every choice measured.
    pub rungs: Vec<Rung>,
}

impl Ladder {
    /// Reads a ladder.
    ///
    /// # Errors
    /// An empty one, and whatever [`Registry::parse`] says of a name.
    pub fn parse(text: &str, registry: &Registry) -> Result<Self, ConfigError> {
        let mut rungs: Vec<Rung> = Vec::new();
        for name in text.split_whitespace() {
            let codec = registry.parse(name)?;
            let legal = Legal::of(&codec, registry)?;
            let fractional = legal.kind == Kind::Fractional;
            let rates: Vec<f64> = match (names_rate(name), legal.kind) {
                (false, Kind::Fractional) => RATES.into_iter().filter(|bits| legal.holds(*bits)).collect(),
                (false, Kind::Whole) => legal.whole(),
                _ => Vec::new(),
            };
            let mut add = |codec: AnyCodec| {
                let bits = codec.options()["bits"].as_f64().filter(|_| fractional);
                let rate = bits.map(|bits| Rate { family: without_rate(&codec.name()), bits });
                if rungs.iter().all(|rung| rung.codec.name() != codec.name()) {
                    rungs.push(Rung { codec, rate });
                }
            };
            if rates.is_empty() {
                add(codec);
            } else {
                for bits in rates {
                    add(with_rate(&without_rate(name), bits, registry)?);
                }
            }
        }
        if rungs.is_empty() {
            return Err(ConfigError::new("the ladder is empty: name codecs, such as `trellis` or `trellis q8_0`"));
        }
        Ok(Self { text: text.split_whitespace().collect::<Vec<_>>().join(" "), rungs })
    }

    /// Whether any rung uses input statistics: all of them are then compared by the errors of layers' outputs.
    pub(crate) fn is_calibrated(&self) -> bool {
        self.rungs.iter().any(|rung| rung.codec.capabilities().uses_calibration)
    }
}

/// What a codec allows as its `bits`.
struct Legal {
    kind: Kind,
    lowest: Option<f64>,
    highest: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Any number, which the codec aims at.
    Fractional,
    /// Whole bits.
    Whole,
    /// No such option, or one that something else decides.
    None,
}

impl Legal {
    fn of(codec: &AnyCodec, registry: &Registry) -> Result<Self, ConfigError> {
        let schema = registry.codec(codec.id())?.schema()["properties"]["bits"].clone();
        let kind = match schema["type"].as_str() {
            Some("number") if codec.capabilities().targets_bits => Kind::Fractional,
            Some("integer") => Kind::Whole,
            _ => Kind::None,
        };
        Ok(Self { kind, lowest: schema["minimum"].as_f64(), highest: schema["maximum"].as_f64() })
    }

    fn holds(&self, bits: f64) -> bool {
        self.lowest.is_none_or(|low| bits >= low) && self.highest.is_none_or(|high| bits <= high)
    }

    fn whole(&self) -> Vec<f64> {
        (1..=8).map(f64::from).filter(|bits| self.holds(*bits)).collect()
    }
}

/// Every rate of a codec that is named without one, lowest first: whole bits, or steps of a 32nd of a bit. Empty for a codec that has no
/// rate to choose.
///
/// # Errors
/// A name that says its rate, and whatever [`Registry::parse`] says of it.
pub fn rates(name: &str, registry: &Registry) -> Result<Vec<(f64, AnyCodec)>, ConfigError> {
    let codec = registry.parse(name)?;
    if names_rate(name) {
        return Err(ConfigError::new(format!("`{name}` names its rate: leave `bits` out where it is to be chosen")));
    }
    let legal = Legal::of(&codec, registry)?;
    let rates: Vec<f64> = match legal.kind {
        Kind::Whole => legal.whole(),
        Kind::Fractional => {
            let steps = (legal.highest.unwrap_or(MOST_BITS) * STEPS) as u32;
            (1..=steps).map(|step| f64::from(step) / STEPS).filter(|bits| legal.holds(*bits)).collect()
        }
        Kind::None => Vec::new(),
    };
    rates.into_iter().map(|bits| Ok((bits, with_rate(name, bits, registry)?))).collect()
}

fn names_rate(name: &str) -> bool {
    options_of(name).any(|option| option.starts_with("bits="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let ladder = Ladder::parse(text, &seedpress::registry()).unwrap();
        ladder.rungs.iter().map(|rung| rung.codec.name()).collect()
    }

    #[test]
    fn a_bare_codec_stands_for_its_rates() {
        let trellis = Ladder::parse("trellis:effort=fast", &seedpress::registry()).unwrap();
        assert_eq!(trellis.rungs.len(), RATES.len());
        assert!(trellis.rungs.iter().all(|rung| rung.rate.as_ref().unwrap().family == "trellis:effort=fast"));
        assert_eq!(names("ecsq:bits=2  q8_0 ecsq:bits=2.0"), ["ecsq", "q8_0"]);
        assert_eq!(names("rtn+ans")[0], "rtn:bits=2+ans");
        let fixed = Ladder::parse("rtn+ans q8_0", &seedpress::registry()).unwrap();
        assert!(fixed.rungs.iter().all(|rung| rung.rate.is_none()));
    }

    #[test]
    fn every_rate_of_a_codec_in_order() {
        let registry = seedpress::registry();
        let of = |name: &str| rates(name, &registry).unwrap();
        let names: Vec<String> = of("rtn:group=32+zstd").into_iter().map(|(_, codec)| codec.name()).collect();
        assert_eq!((names.len(), names[0].as_str()), (7, "rtn:bits=2,group=32+zstd"));
        let trellis = of("trellis");
        assert!(trellis.windows(2).all(|pair| pair[1].0 - pair[0].0 == 1.0 / STEPS));
        assert!((trellis[0].0, trellis[trellis.len() - 1].0) == (0.125, 12.0));
        assert_eq!(of("q8_0").len() + of("trellis:slope=0.1").len() + of("raw").len(), 0);
        assert!(rates("rtn:bits=3", &registry).unwrap_err().message.contains("leave `bits` out"));
    }

    #[test]
    fn wrong_names_are_errors() {
        let wrong = |text: &str| Ladder::parse(text, &seedpress::registry()).unwrap_err().message;
        assert!(wrong(" ").contains("empty"));
        assert!(wrong("trelis").contains("legal values are"));
        assert!(wrong("trellis:bits=99").contains("legal values are 0.1 to 12"));
    }
}
