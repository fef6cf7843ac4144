//! A plan as a row of an experiment.
//!
//! `codec = "plan"` in a `[[codec]]` table is no codec: it stands for whatever the plan chooses for each tensor. Its options are read
//! and printed like a codec's, so lists expand to rows and the canonical name is `plan:bits=2.0`.

use schemars::JsonSchema;
use seedpress_codec::{
    AnyCodec, Capabilities, Codec, ConfigError, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int,
    Limits, Number, Registry, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::ladder::Ladder;
use crate::plan::Target;
use crate::profile::Profile;

/// Options of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Bits per weight of the whole file: headers, index and kept tensors included.
    pub bits: Number<50, 16_000>,
    /// Instead of `bits`: the size of the file that this codec makes, such as `trellis:bits=3`.
    pub like: String,
    /// The codecs to choose from, with blanks between; a codec without a rate stands for several.
    pub ladder: String,
    /// What a choice costs: `measured` (on calibration data; by a guessed profile where there is none), or by the profile `transformer`,
    /// `cnn`, `recurrent` or `embedding`.
    pub costs: Costs,
    /// Rounds of correction by what the whole model does.
    pub rounds: Int<0, 20>,
}

/// Where costs come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Costs {
    /// The divergence of the model's outputs on calibration data.
    #[default]
    Measured,
    /// [`Profile::Transformer`].
    Transformer,
    /// [`Profile::Cnn`].
    Cnn,
    /// [`Profile::Recurrent`].
    Recurrent,
    /// [`Profile::Embedding`].
    Embedding,
}

impl Costs {
    /// The profile, if one was named.
    pub fn profile(self) -> Option<Profile> {
        match self {
            Self::Measured => None,
            Self::Transformer => Some(Profile::Transformer),
            Self::Cnn => Some(Profile::Cnn),
            Self::Recurrent => Some(Profile::Recurrent),
            Self::Embedding => Some(Profile::Embedding),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bits: Number::of(3.0),
            like: String::new(),
            ladder: "trellis".to_owned(),
            costs: Costs::Measured,
            rounds: Int::of(3),
        }
    }
}

impl Options {
    /// The options of a row, if it is a plan.
    pub fn of(row: &AnyCodec) -> Option<Self> {
        (row.id() == PlanRow::ID).then(|| serde_json::from_value(row.options()).unwrap_or_default())
    }

    /// The ladder.
    ///
    /// # Errors
    /// As [`Ladder::parse`].
    pub fn ladder(&self, registry: &Registry) -> Result<Ladder, ConfigError> {
        Ladder::parse(&self.ladder, registry)
    }

    /// The size to reach.
    ///
    /// # Errors
    /// A codec to be like that is none.
    pub fn target(&self, registry: &Registry) -> Result<Target, ConfigError> {
        if self.like.is_empty() {
            return Ok(Target::Bits(self.bits.get()));
        }
        Ok(Target::Like(registry.parse(&self.like)?))
    }

    /// Checks what types cannot: the names of codecs.
    ///
    /// # Errors
    /// Naming the option and what would be legal.
    pub fn check(&self, registry: &Registry) -> Result<(), ConfigError> {
        let named = |key: &str, error: ConfigError| ConfigError::new(format!("`{key}` of a plan: {}", error.message));
        let ladder = self.ladder(registry).map_err(|error| named("ladder", error))?;
        let target = self.target(registry).map_err(|error| named("like", error))?;
        let nested = |codec: &AnyCodec| codec.id() == PlanRow::ID;
        if ladder.rungs.iter().any(|rung| nested(&rung.codec))
            || matches!(target, Target::Like(codec) if nested(&codec))
        {
            return Err(ConfigError::new("a plan chooses among codecs, not among plans"));
        }
        Ok(())
    }
}

/// The row itself: it has options and a name, and encodes nothing.
#[derive(Debug, Clone)]
pub struct PlanRow(Options);

impl Codec for PlanRow {
    const ID: &'static str = "plan";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "no codec: for each tensor what a plan chooses from a ladder of codecs";
    type Config = Options;

    fn new(config: Options) -> Self {
        Self(config)
    }

    fn config(&self) -> &Options {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_bits: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, _: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let why = "a plan encodes nothing itself: it needs the whole model".to_owned();
        Err(EncodeError::UnsupportedInput { tensor: tensor.name().to_owned(), why })
    }

    fn decode(_: &EncodedView<'_>, _: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        Err(DecodeError::corrupt("no stream is written by a plan"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_and_read_like_a_codec() {
        let registry = seedpress::registry().with::<PlanRow>();
        let row = registry.parse("plan:like=q8_0,costs=cnn").unwrap();
        assert_eq!(row.name(), "plan:costs=cnn,like=q8_0");
        let options = Options::of(&row).unwrap();
        assert_eq!(options.costs.profile(), Some(Profile::Cnn));
        assert!(options.check(&registry).is_ok());
        assert!(registry.parse("plan:costs=cmn").unwrap_err().message.contains("`recurrent`"));
        assert!(registry.parse("plan:bits=0.01").is_err());
        let wrong = |text: &str| Options::of(&registry.parse(text).unwrap()).unwrap().check(&registry).unwrap_err();
        assert!(wrong("plan:ladder=q9_0").message.contains("unknown codec `q9_0`"));
        assert!(wrong("plan:ladder=plan").message.contains("not among plans"));
        assert!(Options::of(&registry.parse("q8_0").unwrap()).is_none());
    }
}
