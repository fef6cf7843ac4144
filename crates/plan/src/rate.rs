//! Families of codecs that differ in their rate alone, by name.

use seedpress_codec::{AnyCodec, ConfigError, Registry};

/// Steps a bit between rungs.
pub(crate) const STEPS: f64 = 32.0;

/// A place in a family of fractional rates.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// The codec's name without the rate.
    pub family: String,
    /// Bits a weight asked for.
    pub bits: f64,
}

pub(crate) fn options_of(name: &str) -> impl Iterator<Item = &str> {
    let rest = name.split_once('+').map_or(name, |(rest, _)| rest);
    rest.split_once(':').map_or("", |(_, options)| options).split(',').filter(|option| !option.is_empty())
}

/// `id:key=value+stage` without its `bits`.
pub(crate) fn without_rate(name: &str) -> String {
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
pub(crate) fn with_rate(family: &str, bits: f64, registry: &Registry) -> Result<AnyCodec, ConfigError> {
    let (rest, stage) = family.split_once('+').map_or((family, None), |(rest, stage)| (rest, Some(stage)));
    let separator = if rest.contains(':') { ',' } else { ':' };
    // Integers stay integers: an option of whole bits takes no decimal point.
    let bits = (bits * 1000.0).round() / 1000.0;
    let name = format!("{rest}{separator}bits={bits}");
    registry.parse(&stage.map_or(name.clone(), |stage| format!("{name}+{stage}")))
}
