//! What was done with every tensor.

use std::collections::BTreeMap;

use crate::assign::Kept;
use crate::errors::RowErrors;

/// What became of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Compressed by the codec of this name, or by one of several rates ([`Bounded::name`](crate::Bounded::name)).
    Coded(String),
    /// Kept as it is.
    Kept(Kept),
    /// Stored once, under the name of this tensor.
    Same(usize),
}

/// One tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSummary {
    /// Its name.
    pub name: String,
    /// Data type at the source.
    pub dtype: String,
    /// Number of weights, or of whatever it holds.
    pub elements: u64,
    /// Bytes at the source.
    pub source_bytes: u64,
    /// Bytes in the file, its line of the index apart.
    pub stored_bytes: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Errors of what decodes, where that was looked at.
    pub errors: Option<RowErrors>,
    /// Bits a weight that were chosen for it, where they were.
    pub rate: Option<f64>,
    /// Whether its codec would have used statistics of inputs, and had none.
    pub unguided: bool,
    /// Rows of inputs its statistics are of, where it was calibrated.
    pub rows: Option<u64>,
    /// Rows that reached the tensor itself, where others stood in for them.
    pub scarce: Option<u64>,
}

/// A compressed checkpoint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Every tensor, in order.
    pub tensors: Vec<TensorSummary>,
    /// Length of the file, where one was written.
    pub file_bytes: u64,
    /// Bytes of the source, with its own index or header.
    pub source_bytes: u64,
    /// Tensors taken up from work that was killed.
    pub reused: usize,
}

/// A line of the table: what, tensors, bytes at the source, bytes in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `rtn:bits=3`, `kept: no weights`, ...
    pub what: String,
    /// Tensors.
    pub tensors: usize,
    /// Elements of them.
    pub elements: u64,
    /// Bytes at the source.
    pub source_bytes: u64,
    /// Bytes in the file.
    pub stored_bytes: u64,
}

impl Summary {
    /// Tensors by what became of them: codecs by name, then what was kept by reason.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<(u8, String), Group> = BTreeMap::new();
        for tensor in &self.tensors {
            let key = match &tensor.outcome {
                Outcome::Coded(codec) => (0, codec.clone()),
                Outcome::Same(_) => (1, "same as another".to_owned()),
                Outcome::Kept(kept) => {
                    let what = match kept {
                        // `F64`, `C64` and what may come: they are numbers, but of a type that no codec is given.
                        Kept::NoWeights if tensor.dtype.starts_with(['F', 'C']) => {
                            format!("kept: a type that is not coded ({})", tensor.dtype)
                        }
                        Kept::NoWeights => format!("kept: {} ({})", kept.reason(), tensor.dtype),
                        _ => format!("kept: {}", kept.reason()),
                    };
                    (2, what)
                }
            };
            let group = groups.entry(key.clone()).or_insert_with(|| Group {
                what: key.1,
                tensors: 0,
                elements: 0,
                source_bytes: 0,
                stored_bytes: 0,
            });
            group.tensors += 1;
            group.elements += tensor.elements;
            group.source_bytes += tensor.source_bytes;
            group.stored_bytes += tensor.stored_bytes;
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        let sum = |of: fn(&TensorSummary) -> u64| self.tensors.iter().map(of).sum::<u64>();
        groups.push(Group {
            what: "names, shapes, index".to_owned(),
            tensors: 0,
            elements: 0,
            source_bytes: self.source_bytes.saturating_sub(sum(|tensor| tensor.source_bytes)),
            stored_bytes: self.file_bytes.saturating_sub(sum(|tensor| tensor.stored_bytes)),
        });
        groups
    }
}
