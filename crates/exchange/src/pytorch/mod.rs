//! PyTorch's `.pt`, `.pth` and `.bin`: a pickle that describes tensors, and their values beside it.
//!
//! | written by | layout |
//! | --- | --- |
//! | PyTorch since 1.6 | a zip, nothing compressed: `NAME/data.pkl` describes, `NAME/data/KEY` holds the values of a storage |
//! | PyTorch from 0.1.10 to 1.5, or `_use_new_zipfile_serialization=False` | five pickles in a row (magic number, protocol, system, objects, storage keys), then each storage: its length as i64 and its values |
//!
//! A pickle is a program, and Python runs whatever it names. Here [`pickle`] builds an inert tree: a name of a class is kept as text,
//! a call as the names of what would be called with what. Nothing is looked up, imported or executed, and [`tensors`] knows the few
//! calls that mean "a tensor".

mod open;
mod pickle;
mod tensors;

pub use open::PyTorch;
