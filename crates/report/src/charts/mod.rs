//! The pictures, one kind a file.

mod bars;
mod behaviour;
mod heatmap;
mod labels;
mod layer_types;
mod metrics;
mod parts;
mod prefixes;
mod rates;
mod scatter;
mod sensitivity;
mod shared;
mod speed;
mod trade_offs;

pub use behaviour::behaviour;
pub use heatmap::heatmap;
pub use layer_types::ratio_by_layer;
pub use metrics::metrics;
pub use parts::parts;
pub use prefixes::prefixes;
pub use rates::rates;
pub use sensitivity::sensitivity;
pub use speed::speed;
pub use trade_offs::trade_offs;
