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

pub use accuracy::accuracy;
pub use changes::changes;
pub use codec::codec;
pub use layer_types::layer_types;
pub use model::model;
pub use outcomes::{failures, success};
pub use overview::{best_at_sizes, overview};
pub use plans::plans;
pub use prefixes::prefixes;
pub use scatter::scatter;
pub use speeds::speeds;
pub use thirty::{best_kept, steps, thirty};
