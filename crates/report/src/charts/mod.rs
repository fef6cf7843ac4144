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

pub(crate) use behaviour::behaviour;
pub(crate) use heatmap::heatmap;
pub(crate) use layer_types::ratio_by_layer;
pub(crate) use metrics::metrics;
pub(crate) use parts::parts;
pub(crate) use prefixes::prefixes;
pub(crate) use rates::rates;
pub(crate) use sensitivity::sensitivity;
pub(crate) use speed::speed;
pub(crate) use trade_offs::trade_offs;
