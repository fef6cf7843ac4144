//! What every registered codec must survive.
//!
//! The suite asks the registry what there is, so a codec is covered from the moment it is registered. A check returns the first
//! broken promise as text. `tests/every_codec.rs` runs all checks over the facade's registry; a crate of its own can run them over
//! a registry of one.
//!
//! | module | idea |
//! | --- | --- |
//! | [`inputs`] | shapes and contents that break quantisers |
//! | [`round_trip`] | shapes, data types, non-finite values, error bounds, prefixes |
//! | [`magnitudes`] | outliers, loud rows and loud columns spare the others, tiny rows come back tiny |
//! | [`determinism`] | the same bytes on any number of threads |
//! | [`hostile`] | truncations and bit flips, above and below the checksums |
//! | [`settings`] | settings beside the defaults |
//! | [`description`] | names parse back, every option has a help text |

pub mod description;
pub mod determinism;
pub mod hostile;
pub mod inputs;
pub mod magnitudes;
pub mod round_trip;
pub mod settings;

/// The first broken promise, as text.
pub type Verdict = Result<(), String>;

/// Says which promise broke on which input.
fn broken(what: impl std::fmt::Display, input: &str) -> String {
    format!("{input}: {what}")
}
