//! The nodes of a pickle's tree.

/// The number of a node.
pub(crate) type Id = usize;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, little-endian.
    Long(Vec<u8>),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function: module and name.
    Global(String, String),
    /// What a call would have made.
    Object {
        /// What would have been called.
        class: Id,
        /// With what: a tuple.
        arguments: Id,
        /// What would have been set on it afterwards.
        state: Option<Id>,
    },
    /// Something kept outside the pickle, described by a tuple.
    Persistent(Id),
}

/// A pickle's tree.
#[derive(Debug, Clone)]
pub(crate) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}
