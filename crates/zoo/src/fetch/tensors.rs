//! What a file of another format holds.

use std::collections::BTreeMap;

/// Shape and values by name.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;
