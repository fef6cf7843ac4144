//! Rows of a run as they are stored, and every number derived from them.
//!
//! `reports/<name>/results.jsonl` holds one JSON object a line: [`Row`]. Rows hold raw sums, bytes and the times of all runs; ratios,
//! decibels and speeds are derived in [`derive`] when they are printed, and nowhere else. `run.json` beside it is [`Run`], `plans.jsonl`
//! holds [`PlanRow`]s where a run has plans.

pub mod derive;
mod plan;
mod row;
mod store;

pub use plan::{AssignmentRow, PlanRow, SensitivityRow, append_plans, read_plans};
pub use row::{Environment, ModelRow, Prefix, Row, Run, Status, TensorRow};
pub use store::{Lock, ResultsError, Stored, append, lock, read_rows, read_run, read_stored, replace_rows, write_run};
