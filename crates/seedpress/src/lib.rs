//! The facade: every built-in codec and stage, registered explicitly.
//!
//! ```
//! let registry = seedpress::registry();
//! assert!(registry.codec("no-such-codec").is_err());
//! ```

pub use seedpress_codec as codec;
pub use seedpress_codec::Registry;

/// A registry with every built-in codec and stage. A new codec crate is one dependency and one line here.
#[must_use]
pub fn registry() -> Registry {
    let crates = [
        seedpress_baselines::register,
        seedpress_bitnet::register,
        seedpress_bitshift::register,
        seedpress_entropy::register,
        seedpress_gptq::register,
        seedpress_hqq::register,
        seedpress_hybrid::register,
        seedpress_learned_basis::register,
        seedpress_scalar::register,
        seedpress_seedlm_legacy::register,
        seedpress_seedlm_paper::register,
        seedpress_seedlm_progressive::register,
        seedpress_trellis::register,
        seedpress_vptq::register,
    ];
    crates.into_iter().fold(Registry::default(), |registry, register| register(registry))
}
