//! Which codec and how many bits for which tensor, so that a model of a given size keeps as much as it can.
//!
//! ```text
//! ladder       the codecs to choose from, each at several rates
//! sensitivity  each tensor alone through each rung: bytes written, divergence caused
//! allocate     the choice of one rung a tensor with the least sum of divergences that fits a size
//! search       the same against real files, then corrected by what the whole model does
//! ```
//!
//! Divergence is measured on calibration data, never on the data that evaluates a model; a model without such data gets a [`Profile`]:
//! relative squared errors weighed by what layers of a kind were measured to be worth, near one rate for all. Allocation over measured rate-distortion
//! points is the method of Y. Shoham, A. Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE Trans. ASSP 36
//! (9), 1988.
//!
//! | module | idea |
//! | --- | --- |
//! | [`subject`] | a model as the planner sees it |
//! | [`ladder`] | what may be chosen |
//! | `sensitivity` | what each choice costs, measured once and kept |
//! | `profile` | what it costs where nothing can be measured |
//! | `allocate` | the best choice for a budget |
//! | `rate`, `curve` | families of codecs that differ in their rate, and choices between the measured rates |
//! | `allocation` | a choice for every tensor, with the file and the answers that it really makes |
//! | `search`, `fit`, `refine` | the plan for a size: exact files, joint divergence, refinement |
//! | [`options`] | a plan as a row of an experiment |
//! | [`waterfill`], [`gradient`] | the same where costs are known as quadratic forms: no encoding at all |
//! | [`file`](mod@file) | a plan as TOML that people edit |

mod allocate;
mod allocation;
mod curve;
mod error;
pub mod file;
mod fit;
pub mod gradient;
pub mod ladder;
pub mod options;
mod plan;
mod profile;
mod rate;
mod refine;
mod search;
mod sensitivity;
pub mod subject;
pub mod waterfill;

pub use error::PlanError;
pub use file::PlanFile;
pub use ladder::Ladder;
pub use options::Options;
pub use plan::{Assignment, Plan, Target};
pub use profile::Profile;
pub use search::{VERSION, plan};
pub use sensitivity::Sensitivity;
pub use subject::{Context, Part, Store, Subject};
