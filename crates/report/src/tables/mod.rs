//! The tables, one kind a file.

mod accuracy;
mod cells;
mod changes;
mod codec;
mod layer_types;
mod model;
mod outcomes;
mod overview;
mod plans;
mod prefixes;
mod scatter;
mod speeds;
mod thirty;

pub(crate) use accuracy::accuracy;
pub(crate) use changes::changes;
pub(crate) use codec::codec;
pub(crate) use layer_types::layer_types;
pub(crate) use model::model;
pub(crate) use outcomes::{failures, success};
pub(crate) use overview::{best_at_sizes, overview};
pub(crate) use plans::plans;
pub(crate) use prefixes::prefixes;
pub(crate) use scatter::scatter;
pub(crate) use speeds::speeds;
pub(crate) use thirty::{best_kept, steps, thirty};
