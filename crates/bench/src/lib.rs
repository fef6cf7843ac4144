//! The measuring harness: an experiment in TOML, its matrix, a resumable runner, comparison of two runs.
//!
//! It knows no concrete codec; it sees a [`Registry`](seedpress_codec::Registry). Rows land in `results.jsonl` as cells finish
//! (see `seedpress-results`); charts and tables are drawn from them elsewhere.
//!
//! | module | idea |
//! | --- | --- |
//! | [`config`] | a checked experiment, every mistake found at once |
//! | [`source`] | models: tensors with hashes, one loaded at a time |
//! | [`matrix`] | cells and their keys |
//! | [`filter`] | `--only` |
//! | `measure` | one cell: encode, decode from the written bytes, measure |
//! | [`planning`] | rows whose codecs a plan chooses |
//! | `plan_code` | what such rows may choose from |
//! | [`runner`] | all cells: resume, failures as rows |
//! | `stored` | rows of a run in its folder |
//! | `records` | what a row stores for each tensor: plans, statistics, the cache |
//! | `cell`, `whole` | one codec on one tensor, and on a whole model with its evaluation |
//! | `draws` | how far an encoder's figures scatter |
//! | [`foreign`] | rows of other people's programs |
//! | [`progress`] | how far a run is |
//! | [`compare`] | what changed between two runs |
//! | [`summary`] | a short table of a run |

pub mod cache;
mod cell;
pub mod compare;
pub mod config;
mod draws;
mod environment;
mod error;
pub mod filter;
pub mod foreign;
mod key;
pub mod matrix;
mod measure;
mod memory;
mod plan_code;
pub mod planning;
pub mod progress;
mod records;
pub mod runner;
pub mod source;
mod stored;
pub mod summary;
mod whole;
