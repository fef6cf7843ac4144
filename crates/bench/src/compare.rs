//! What changed between two runs.

use std::collections::BTreeMap;

use seedpress_results::{Row, Status};

/// One figure that two runs share.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// `codec on model/tensor`, or `codec on model`.
    pub cell: String,
    /// Which figure.
    pub figure: String,
    /// In the first run.
    pub before: f64,
    /// In the second run.
    pub after: f64,
    /// Whether the second run is worse. Speeds are noise-prone: they are shown and never worse.
    pub worse: bool,
}

/// The comparison of two runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Cells both runs have.
    pub shared: usize,
    /// Cells of the first run only.
    pub only_before: usize,
    /// Cells of the second run only.
    pub only_after: usize,
    /// Figures that moved by more than the threshold.
    pub changes: Vec<Change>,
}

struct Figure {
    value: f64,
    /// `None` for figures that are shown and not judged.
    higher_is_better: Option<bool>,
}

type Figures = BTreeMap<String, Figure>;

fn figures(rows: &[Row]) -> BTreeMap<String, Figures> {
    let mut cells: BTreeMap<String, Figures> = BTreeMap::new();
    for row in rows {
        let (cell, list) = match row {
            Row::Tensor(row) => {
                let mut list = vec![("failed", f64::from(u8::from(row.status == Status::Failed)), Some(false))];
                if row.status == Status::Ok {
                    list.push(("bytes", row.bytes as f64, Some(false)));
                    list.push(("relative error", row.relative_error(), Some(false)));
                    list.extend(row.encode_speed().map(|speed| ("encode weights/s", speed, None)));
                    list.extend(row.decode_speed().map(|speed| ("decode weights/s", speed, None)));
                }
                (format!("{} on {}/{}", row.codec, row.model, row.tensor), list)
            }
            Row::Model(row) => {
                let mut list = vec![("failed", f64::from(u8::from(row.status == Status::Failed)), Some(false))];
                if row.status == Status::Ok {
                    list.push(("bytes", row.bytes as f64, Some(false)));
                    list.extend(row.compressed.map(|value| (row.metric.as_str(), value, Some(row.higher_is_better))));
                }
                (format!("{} on {}", row.codec, row.model), list)
            }
        };
        let place = cells.entry(cell).or_default();
        for (name, value, higher_is_better) in list {
            place.insert(name.to_owned(), Figure { value, higher_is_better });
        }
    }
    cells
}

/// Compares two runs' rows; `threshold` is relative (0.05 is five per cent).
pub fn compare(before: &[Row], after: &[Row], threshold: f64) -> Comparison {
    let (before, after) = (figures(before), figures(after));
    let mut comparison = Comparison {
        only_after: after.keys().filter(|cell| !before.contains_key(*cell)).count(),
        ..Comparison::default()
    };
    for (cell, old) in &before {
        let Some(new) = after.get(cell) else {
            comparison.only_before += 1;
            continue;
        };
        comparison.shared += 1;
        for (name, old) in old {
            let Some(new) = new.get(name) else { continue };
            let scale = old.value.abs().max(new.value.abs());
            if (new.value - old.value).abs() <= threshold * scale {
                continue;
            }
            comparison.changes.push(Change {
                cell: cell.clone(),
                figure: name.clone(),
                before: old.value,
                after: new.value,
                worse: old.higher_is_better.is_some_and(|higher| (new.value < old.value) == higher),
            });
        }
    }
    comparison
}

impl Comparison {
    /// Whether any judged figure got worse.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.worse)
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shared, only_before, only_after, changes } = self;
        writeln!(f, "{shared} cells in both runs, {only_before} only in the first, {only_after} only in the second")?;
        for change in changes {
            let ratio = 100.0 * (change.after / change.before - 1.0);
            let percent = if ratio.is_finite() { format!(" ({ratio:+.1} %)") } else { String::new() };
            let verdict = if change.worse { "WORSE  " } else { "       " };
            writeln!(
                f,
                "{verdict}{}: {} {:.6} -> {:.6}{percent}",
                change.cell, change.figure, change.before, change.after
            )?;
        }
        if changes.is_empty() {
            writeln!(f, "nothing moved by more than the threshold")?;
        }
        Ok(())
    }
}
