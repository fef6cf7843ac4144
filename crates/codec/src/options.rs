//! Option types that cannot hold an illegal value: a configuration that parsed is one that works.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An integer in `MIN..=MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Int<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// The value, if it is in range.
    pub const fn new(value: i64) -> Option<Self> {
        if value >= MIN && value <= MAX { Some(Self(value)) } else { None }
    }

    /// A value known to be in range: for defaults; out of range does not compile in a `const` and panics elsewhere.
    pub const fn of(value: i64) -> Self {
        assert!(value >= MIN && value <= MAX, "default outside its own range");
        Self(value)
    }

    /// The value.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The value as `usize` (0 where the range reaches below zero and the value is negative).
    pub const fn size(self) -> usize {
        if self.0 < 0 { 0 } else { self.0 as usize }
    }
}

impl<const MIN: i64, const MAX: i64> Serialize for Int<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Int<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = i64::deserialize(deserializer)?;
        Self::new(value)
            .ok_or_else(|| de::Error::custom(format!("{value} is out of range: legal values are {MIN} to {MAX}")))
    }
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Int<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Int_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A finite number in `MIN/1000 ..= MAX/1000`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Number<const MIN: i64, const MAX: i64>(f64);

impl<const MIN: i64, const MAX: i64> Number<MIN, MAX> {
    /// The smallest legal value.
    pub const LOWEST: f64 = MIN as f64 / 1000.0;
    /// The largest legal value.
    pub const HIGHEST: f64 = MAX as f64 / 1000.0;

    /// The value, if it is in range.
    pub const fn new(value: f64) -> Option<Self> {
        if value >= Self::LOWEST && value <= Self::HIGHEST { Some(Self(value)) } else { None }
    }

    /// A value known to be in range: for defaults; out of range does not compile in a `const` and panics elsewhere.
    pub const fn of(value: f64) -> Self {
        assert!(value >= Self::LOWEST && value <= Self::HIGHEST, "default outside its own range");
        Self(value)
    }

    /// The value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl<const MIN: i64, const MAX: i64> Serialize for Number<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| {
            let (lowest, highest) = (Self::LOWEST, Self::HIGHEST);
            de::Error::custom(format!("{value} is out of range: legal values are {lowest} to {highest}"))
        })
    }
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Number<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Number_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": Self::LOWEST, "maximum": Self::HIGHEST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_values_do_not_parse() {
        assert_eq!(serde_json::from_str::<Int<1, 8>>("3").unwrap().get(), 3);
        let message = serde_json::from_str::<Int<1, 8>>("9").unwrap_err().to_string();
        assert!(message.contains("legal values are 1 to 8"), "{message}");
        assert_eq!(serde_json::from_str::<Number<500, 8000>>("1.067").unwrap().get(), 1.067);
        assert!(serde_json::from_str::<Number<500, 8000>>("0.4").is_err());
    }
}
