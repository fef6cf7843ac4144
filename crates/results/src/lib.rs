//! Rows of a run as they are stored, and every number derived from them.
//!
//! `reports/<name>/results.jsonl` holds one JSON object a line: [`Row`]. Rows hold raw sums, bytes and the times of all runs; ratios,
//! decibels and speeds are derived in [`derive`](mod@derive) when they are printed, and nowhere else. `run.json` beside it is [`Run`], `plans.jsonl`
//! holds [`PlanRow`]s where a run has plans.

//!
//! What every held-out sample came out as stands in a row as [`Outcomes`]; [`paired`](fn@paired) judges two rows by them.

pub mod derive;
mod outcomes;
mod paired;
mod plan;
mod recipe;
mod row;
mod row_recipe;
mod store;

pub use outcomes::Outcomes;
pub use paired::{LEVEL, Paired, holm, paired};
pub use plan::{AssignmentRow, PlanRow, SensitivityRow, append_plans, read_plans};
pub use recipe::{Code, Mode, Recipe};
pub use row::{Environment, ModelRow, Prefix, Row, Run, Status, TensorRow};
pub use store::{
    Lock, ResultsError, Stored, append, lock, read_foreign, read_rows, read_run, read_stored, replace_rows,
    write_foreign, write_run,
};
