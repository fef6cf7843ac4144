//! Which codec a tensor gets, or why it is kept as it is.

use std::sync::Arc;

use seedpress_checkpoint::TensorInfo;
use seedpress_codec::AnyCodec;
use wildmatch::WildMatch;

use crate::bounded::Bounded;
use crate::error::PressError;

/// Why a tensor is kept as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kept {
    /// Few weights, or rank 0 or 1: see [`SmallTensors`].
    Small,
    /// It holds no weights, or none of a type that is coded: integers, booleans, 64-bit floats.
    NoWeights,
    /// The caller left it out.
    LeftOut,
    /// More axes than a record has.
    Rank,
    /// Coding would have made it larger.
    Larger,
    /// Scales of another tensor's weights.
    Scales,
    /// No rate of the codec is within the error asked for.
    Error,
}

impl Kept {
    /// In words, for tables.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Small => "small or a vector",
            Self::NoWeights => "no weights",
            Self::LeftOut => "left out",
            Self::Rank => "too many axes",
            Self::Larger => "larger when coded",
            Self::Scales => "scales of weights",
            Self::Error => "no rate within the error",
        }
    }
}

/// What to do with a tensor.
#[derive(Debug, Clone, Copy)]
pub enum Treatment<'a> {
    /// Compress it.
    Code(&'a AnyCodec),
    /// Compress it at the lowest rate that is good enough.
    Within(&'a Arc<Bounded>),
    /// Keep it as it is.
    Keep(Kept),
}

/// Says what to do with each tensor of weights. Others are kept without asking.
pub trait Assign: Sync {
    /// What to do with this one.
    ///
    /// # Errors
    /// [`PressError::Assignment`] where nothing is said about it.
    fn treat(&self, tensor: &TensorInfo) -> Result<Treatment<'_>, PressError>;
}

/// Small tensors are few bytes and sensitive: biases, norms, scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallTensors {
    /// Tensors with fewer weights, and those of rank 0 and 1, are kept as they are; 0 keeps none.
    pub below: usize,
}

impl Default for SmallTensors {
    fn default() -> Self {
        Self { below: 1024 }
    }
}

impl SmallTensors {
    /// Whether a tensor is kept as it is.
    pub fn keeps(self, shape: &[usize]) -> bool {
        let weights = shape.iter().fold(1usize, |product, &dim| product.saturating_mul(dim));
        self.below > 0 && (shape.len() <= 1 || weights < self.below)
    }
}

/// Names, with `*` and `?`: what is included, of that what is excluded.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    include: Vec<(String, WildMatch)>,
    exclude: Vec<(String, WildMatch)>,
}

impl Patterns {
    /// Patterns. No `include` includes everything.
    pub fn new(include: &[String], exclude: &[String]) -> Self {
        let matchers = |texts: &[String]| texts.iter().map(|text| (text.clone(), WildMatch::new(text))).collect();
        Self { include: matchers(include), exclude: matchers(exclude) }
    }

    /// Whether a name is in.
    pub fn admit(&self, name: &str) -> bool {
        let any = |list: &[(String, WildMatch)]| list.iter().any(|(_, pattern)| pattern.matches(name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Fails where a pattern matches none of the names: it is misspelt.
    ///
    /// # Errors
    /// [`PressError::Assignment`], naming the pattern.
    pub fn check<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Result<(), PressError> {
        for (text, pattern) in self.include.iter().chain(&self.exclude) {
            if !names.clone().any(|name| pattern.matches(name)) {
                return Err(PressError::Assignment(format!("no tensor matches `{text}`")));
            }
        }
        Ok(())
    }
}

/// One codec for every tensor that is not small.
#[derive(Debug, Clone)]
pub struct Uniform {
    /// The codec.
    pub codec: AnyCodec,
    /// What is kept for its size.
    pub small: SmallTensors,
    /// What the codec is for; the rest is kept.
    pub patterns: Patterns,
}

impl Uniform {
    /// A codec under the default policy, for every tensor.
    pub fn new(codec: AnyCodec) -> Self {
        Self { codec, small: SmallTensors::default(), patterns: Patterns::default() }
    }
}

impl Assign for Uniform {
    fn treat(&self, tensor: &TensorInfo) -> Result<Treatment<'_>, PressError> {
        Ok(if !self.patterns.admit(&tensor.name) {
            Treatment::Keep(Kept::LeftOut)
        } else if self.small.keeps(&tensor.shape) {
            Treatment::Keep(Kept::Small)
        } else {
            Treatment::Code(&self.codec)
        })
    }
}
