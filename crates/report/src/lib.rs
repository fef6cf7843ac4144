//! Tables, charts and pages drawn from stored results.
//!
//! `render` reads `results.jsonl` and `run.json` and writes beside them `index.html` (one self-contained page), `report.md`,
//! `charts/*.svg` and `summary.csv`. Where `previous.csv` lies beside them, the `summary.csv` of the release before, the report says what
//! changed since. Nothing is measured and no codec is known here: the same rows give the same bytes.

mod average;
mod canvas;
mod charts;
mod contender;
mod csv;
mod docs;
mod document;
mod error;
mod first;
mod format;
mod judge;
mod markdown;
mod page;
mod palette;
mod prefixes;
mod refresh;
mod render;
mod sections;
mod study;
mod style;
mod sums;
mod tables;

pub use error::{DocsError, ReportError};
pub use first::draw as draw_first;
pub use refresh::refresh;
pub use render::{Rendered, draw, render, results_table};
