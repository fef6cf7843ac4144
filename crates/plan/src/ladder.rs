//! The codecs a plan may choose from, each at one rate or several.
//!
//! A ladder is written as codec names with blanks between: `trellis`, `trellis q8_0`, `ecsq:bits=2 ecsq:bits=4 rtn:bits=3+ans`. A
//! codec that targets a rate and is named without one stands for [`RATES`] of them (for whole rates only: 1 to 8). Rungs that differ
//! in nothing but a fractional `bits` form one family, and every rate between them may be used.

use seedpress_codec::{AnyCodec, ConfigError, Registry};

/// Bits a weight that a codec of any fractional rate is measured at: about half an octave apart.
pub const RATES: [f64; 8] = [0.5, 0.8, 1.2, 1.8, 2.6, 3.7, 5.2, 7.3];

/// One choice for a tensor.
#[derive(Debug, Clone)]
pub struct Rung {
    /// The codec with all its options.
    pub codec: AnyCodec,
    /// The family and the rate in it, where any rate between rungs may be used.
    pub rate: Option<Rate>,
}

/// A place in a family of fractional rates.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// The codec's name without the rate.
    pub family: String,
    /// Bits a weight asked for.
    pub bits: f64,
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
            let given = options_of(name).any(|option| option.starts_with("bits="));
            let schema = registry.codec(codec.id())?.schema()["properties"]["bits"].clone();
            let range = |key: &str| schema[key].as_f64();
            let legal = |bits: &f64| {
                range("minimum").is_none_or(|low| *bits >= low) && range("maximum").is_none_or(|high| *bits <= high)
            };
            let fractional = schema["type"] == "number" && codec.capabilities().targets_bits;
            let rates: Vec<f64> = match (given, fractional, schema["type"] == "integer") {
                (false, true, _) => RATES.into_iter().filter(legal).collect(),
                (false, _, true) => (1..=8).map(f64::from).filter(legal).collect(),
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

fn options_of(name: &str) -> impl Iterator<Item = &str> {
    let rest = name.split_once('+').map_or(name, |(rest, _)| rest);
    rest.split_once(':').map_or("", |(_, options)| options).split(',').filter(|option| !option.is_empty())
}

/// `id:key=value+stage` without its `bits`.
fn without_rate(name: &str) -> String {
    let (rest, stage) = name.split_once('+').map_or((name, None), |(rest, stage)| (rest, Some(stage)));
    let id = rest.split_once(':').map_or(rest, |(id, _)| id);
    let options: Vec<&str> = options_of(name).filter(|option| !option.starts_with("bits=")).collect();
    let mut family = id.to_owned();
    if !options.is_empty() {
        family = format!("{family}:{}", options.join(","));
    }
    stage.map_or(family.clone(), |stage| format!("{family}+{stage}"))
}

/// The codec of a family at a rate, rounded to thousandths of a bit.
///
/// # Errors
/// A rate the codec does not allow.
pub fn with_rate(family: &str, bits: f64, registry: &Registry) -> Result<AnyCodec, ConfigError> {
    let (rest, stage) = family.split_once('+').map_or((family, None), |(rest, stage)| (rest, Some(stage)));
    let separator = if rest.contains(':') { ',' } else { ':' };
    // Integers stay integers: an option of whole bits takes no decimal point.
    let bits = (bits * 1000.0).round() / 1000.0;
    let name = format!("{rest}{separator}bits={bits}");
    registry.parse(&stage.map_or(name.clone(), |stage| format!("{name}+{stage}")))
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
    fn wrong_names_are_errors() {
        let wrong = |text: &str| Ladder::parse(text, &seedpress::registry()).unwrap_err().message;
        assert!(wrong(" ").contains("empty"));
        assert!(wrong("trelis").contains("legal values are"));
        assert!(wrong("trellis:bits=99").contains("legal values are 0.1 to 12"));
    }
}
