//! Which instructions a kernel uses.

pub use seedpress_simd::Level as Path;
