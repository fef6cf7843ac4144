//! What tests, benches and examples share. It depends on nothing, so that every crate can have it among its `[dev-dependencies]`; nothing
//! that is shipped does.
//!
//! | module | idea |
//! | --- | --- |
//! | [`noise`] | seeded numbers, the same on every machine |
//! | [`allocator`] | an allocator that counts what hostile bytes cost |
//! | [`golden`] | golden files as bytes, floats and bit patterns |

pub mod allocator;
pub mod golden;
pub mod noise;

pub use noise::Noise;
