//! `plans.jsonl` beside the rows: what plans were made of, and what they chose.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::store::{ResultsError, append_lines, io};

/// One line of `plans.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum PlanRow {
    /// One tensor alone through one codec.
    Sensitivity(SensitivityRow),
    /// What a plan does with one tensor.
    Assignment(AssignmentRow),
}

/// One tensor alone through one codec, everything else exact.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SensitivityRow {
    /// Model name.
    pub model: String,
    /// Tensor name.
    pub tensor: String,
    /// `linear`, `conv3x3`, ...
    pub layer_type: String,
    /// Canonical codec name.
    pub codec: String,
    /// Number of weights.
    pub weights: u64,
    /// Bytes of the record.
    pub bytes: u64,
    /// Sum of squared errors.
    pub squared_error: f64,
    /// Sum of squared weights.
    pub energy: f64,
    /// Divergence of the model's outputs on calibration data; `None` where it was not measured.
    pub divergence: Option<f64>,
}

/// What a plan does with one tensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AssignmentRow {
    /// Model name.
    pub model: String,
    /// Canonical name of the plan's row.
    pub plan: String,
    /// Tensor name.
    pub tensor: String,
    /// The codec that stores it.
    pub codec: String,
    /// Number of weights.
    pub weights: u64,
    /// Bytes of its record.
    pub bytes: u64,
    /// Divergence expected from this tensor alone.
    pub divergence: f64,
    /// Bytes of the whole file as planned.
    pub file_bytes: u64,
    /// The profile that stood in for measured costs, empty where they were measured.
    pub profile: String,
    /// Divergence of the whole model on calibration data.
    pub joint: Option<f64>,
    /// The same at one rate for all tensors.
    pub uniform: Option<f64>,
}

impl PlanRow {
    /// What a later row with the same identity replaces.
    fn identity(&self) -> (bool, String, String, String) {
        let (plan, [model, tensor, codec]) = match self {
            Self::Sensitivity(row) => (false, [&row.model, &row.tensor, &row.codec]),
            Self::Assignment(row) => (true, [&row.model, &row.tensor, &row.plan]),
        };
        (plan, model.clone(), tensor.clone(), codec.clone())
    }

    /// A plan by profile measures no divergence: its sensitivities do not replace those of a plan that did.
    fn knows_more_than(&self, later: &Self) -> bool {
        let divergence = |row: &Self| match row {
            Self::Sensitivity(row) => row.divergence,
            Self::Assignment(_) => None,
        };
        divergence(self).is_some() && divergence(later).is_none()
    }
}

/// Appends rows to `plans.jsonl` in `folder`.
///
/// # Errors
/// The operating system's.
pub fn append_plans(folder: &Path, rows: &[PlanRow]) -> Result<(), ResultsError> {
    append_lines(&folder.join("plans.jsonl"), rows)
}

/// All rows of `plans.jsonl`, none where there is no such file. Lines that are no rows (torn ones) are left out: a plan is made again
/// from what it needs. Of rows about the same thing the last one counts, except that a sensitivity without divergence replaces none
/// with it.
///
/// # Errors
/// A file that cannot be read.
pub fn read_plans(folder: &Path) -> Result<Vec<PlanRow>, ResultsError> {
    let path = folder.join("plans.jsonl");
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io(&path))?,
    };
    let mut rows: Vec<PlanRow> = Vec::new();
    let mut places: HashMap<_, usize> = HashMap::new();
    for line in text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let Ok(row) = serde_json::from_slice::<PlanRow>(line) else { continue };
        match places.get(&row.identity()) {
            Some(&place) if rows[place].knows_more_than(&row) => {}
            Some(&place) => rows[place] = row,
            None => {
                places.insert(row.identity(), rows.len());
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_row_about_a_thing_counts() {
        let folder = std::env::temp_dir().join(format!("seedpress-plans-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(read_plans(&folder).unwrap(), []);
        let row = |codec: &str, bytes| {
            PlanRow::Sensitivity(SensitivityRow { codec: codec.to_owned(), bytes, ..SensitivityRow::default() })
        };
        append_plans(&folder, &[row("a", 1), row("b", 2)]).unwrap();
        append_plans(&folder, &[row("a", 3), PlanRow::Assignment(AssignmentRow::default())]).unwrap();
        let mut file = OpenOptions::new().append(true).open(folder.join("plans.jsonl")).unwrap();
        file.write_all(b"{\"kind\":\"sens").unwrap();
        let rows = read_plans(&folder).unwrap();
        assert_eq!(rows[..2], [row("a", 3), row("b", 2)]);
        assert_eq!(rows.len(), 3);
        std::fs::remove_file(folder.join("plans.jsonl")).unwrap();
        let measured = SensitivityRow { divergence: Some(1.0), ..SensitivityRow::default() };
        append_plans(&folder, &[PlanRow::Sensitivity(measured.clone()), row("", 7)]).unwrap();
        assert_eq!(read_plans(&folder).unwrap(), [PlanRow::Sensitivity(measured)]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
