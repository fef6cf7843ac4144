//! The options of codecs that have none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// For codecs with nothing to choose.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoOptions {}
