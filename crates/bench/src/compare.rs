//! What changed between two runs: sizes and errors as they are, metrics by the paired test, speeds in a summary.

use std::collections::{BTreeMap, BTreeSet};

use seedpress_results::{LEVEL, ModelRow, Paired, Row, Status, TensorRow, holm};

/// How a figure of the second run is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Better than the first run's.
    Better,
    /// Worse.
    Worse,
    /// It moved, and whether by chance is open: a metric whose outcomes were not kept, and whose intervals overlap.
    Open,
}

/// One figure that two runs share and that moved.
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
    /// How it is judged.
    pub verdict: Verdict,
    /// The paired comparison of a metric, its p-value adjusted for all metrics that were compared (Holm).
    pub paired: Option<Paired>,
}

/// Speeds of many cells, as ratios of the second run to the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Speeds {
    /// `encode` or `decode`, of all codecs or of one.
    pub what: String,
    /// Cells that have the speed in both runs.
    pub cells: usize,
    /// Geometric mean of the ratios: above 1 the second run is faster.
    pub mean: f64,
    /// The smallest and the largest ratio.
    pub range: [f64; 2],
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
    /// Figures both runs have, speeds apart: without any there is nothing to compare.
    pub figures: usize,
    /// Metrics that were judged by the paired test.
    pub tested: usize,
    /// Shared cells whose bytes other code made in the second run, or code of unknown revision in one of them.
    pub other_code: usize,
    /// Figures that moved: sizes and errors by more than the threshold, metrics detectably.
    pub changes: Vec<Change>,
    /// Speeds: first all cells, then the codecs whose mean moved by more than the threshold.
    pub speeds: Vec<Speeds>,
}

/// The rows of a cell.
#[derive(Default)]
struct Cell<'a> {
    tensor: Option<&'a TensorRow>,
    models: Vec<&'a ModelRow>,
}

impl Cell<'_> {
    fn failed(&self) -> bool {
        self.tensor.is_some_and(|row| row.status == Status::Failed)
            || self.models.iter().any(|row| row.status == Status::Failed)
    }

    fn code(&self) -> Option<&seedpress_results::Code> {
        self.tensor.map(|row| &row.code).or_else(|| self.models.first().map(|row| &row.code))
    }

    /// Figures that chance has no part in, less being better.
    fn exact(&self) -> Vec<(&'static str, f64)> {
        let mut list = vec![("failed", f64::from(u8::from(self.failed())))];
        if !self.failed() {
            list.extend(
                self.tensor
                    .iter()
                    .flat_map(|row| [("bytes", row.bytes as f64), ("relative error", row.relative_error())]),
            );
            list.extend(self.models.first().map(|row| ("bytes", row.bytes as f64)));
        }
        list
    }
}

fn cells(rows: &[Row]) -> BTreeMap<String, Cell<'_>> {
    let mut cells: BTreeMap<String, Cell<'_>> = BTreeMap::new();
    for row in rows {
        match row {
            Row::Tensor(row) => {
                cells.entry(format!("{} on {}/{}", row.codec, row.model, row.tensor)).or_default().tensor = Some(row);
            }
            Row::Model(row) => cells.entry(format!("{} on {}", row.codec, row.model)).or_default().models.push(row),
        }
    }
    cells
}

/// Compares two runs' rows; `threshold` is relative (0.05 is five per cent) and holds for sizes, errors, speeds and metrics whose outcomes
/// were not kept. Metrics whose outcomes both runs kept are judged by the paired test alone.
pub fn compare(before: &[Row], after: &[Row], threshold: f64) -> Comparison {
    let (before, after) = (cells(before), cells(after));
    let mut comparison = Comparison {
        only_after: after.keys().filter(|cell| !before.contains_key(*cell)).count(),
        ..Comparison::default()
    };
    let mut tests = Vec::new();
    for (name, old) in &before {
        let Some(new) = after.get(name) else {
            comparison.only_before += 1;
            continue;
        };
        comparison.shared += 1;
        let same_code = old.code() == new.code() && old.code().is_some_and(|code| !code.is_unknown());
        comparison.other_code += usize::from(!same_code);
        exact(&mut comparison, name, (old, new), threshold);
        metrics(&mut comparison, &mut tests, name, (old, new), threshold);
    }
    judge(&mut comparison, tests);
    comparison.changes.sort_by(|a, b| a.cell.cmp(&b.cell));
    comparison.speeds = speeds(&before, &after, threshold);
    comparison
}

fn moved(before: f64, after: f64, threshold: f64) -> bool {
    (after - before).abs() > threshold * before.abs().max(after.abs())
}

fn exact(comparison: &mut Comparison, cell: &str, (old, new): (&Cell<'_>, &Cell<'_>), threshold: f64) {
    // Two failures say nothing of each other.
    if old.failed() && new.failed() {
        return;
    }
    let after = new.exact();
    for (figure, before) in old.exact() {
        let Some(&(_, after)) = after.iter().find(|(name, _)| *name == figure) else { continue };
        comparison.figures += 1;
        if moved(before, after, threshold) {
            let verdict = if after > before { Verdict::Worse } else { Verdict::Better };
            let (cell, figure) = (cell.to_owned(), figure.to_owned());
            comparison.changes.push(Change { cell, figure, before, after, verdict, paired: None });
        }
    }
}

fn metrics(
    comparison: &mut Comparison,
    tests: &mut Vec<(Change, Paired)>,
    cell: &str,
    (old, new): (&Cell<'_>, &Cell<'_>),
    threshold: f64,
) {
    for row in &old.models {
        let Some(other) = new.models.iter().find(|other| other.metric == row.metric) else { continue };
        let (Some(before), Some(after)) = (row.compressed, other.compressed) else { continue };
        comparison.figures += 1;
        let better = (after > before) == row.higher_is_better;
        let verdict = if better { Verdict::Better } else { Verdict::Worse };
        let mut change =
            Change { cell: cell.to_owned(), figure: row.metric.clone(), before, after, verdict, paired: None };
        if let Some(paired) = other.paired_with(row) {
            tests.push((change, paired));
        } else if moved(before, after, threshold) {
            let apart = match (row.interval, other.interval) {
                (Some([low, high]), Some([least, most])) => high < least || most < low,
                _ => false,
            };
            change.verdict = if apart { verdict } else { Verdict::Open };
            comparison.changes.push(change);
        }
    }
}

/// Keeps the metrics that differ detectably, all of them considered.
fn judge(comparison: &mut Comparison, tests: Vec<(Change, Paired)>) {
    comparison.tested = tests.len();
    let adjusted = holm(&tests.iter().map(|(_, paired)| paired.p).collect::<Vec<_>>());
    for ((change, paired), p) in tests.into_iter().zip(adjusted) {
        if p < LEVEL {
            comparison.changes.push(Change { paired: Some(Paired { p, ..paired }), ..change });
        }
    }
}

fn speeds(before: &BTreeMap<String, Cell<'_>>, after: &BTreeMap<String, Cell<'_>>, threshold: f64) -> Vec<Speeds> {
    let pairs: Vec<(&TensorRow, &TensorRow)> =
        before.iter().filter_map(|(name, old)| Some((old.tensor?, after.get(name)?.tensor?))).collect();
    let codecs: BTreeSet<&str> = pairs.iter().map(|(row, _)| row.codec.as_str()).collect();
    type Speed = fn(&TensorRow) -> Option<f64>;
    let kinds: [(&str, Speed); 2] = [("encode", TensorRow::encode_speed), ("decode", TensorRow::decode_speed)];
    let mut list = Vec::new();
    for (kind, speed) in kinds {
        let of = |codec: Option<&str>| {
            let chosen = pairs.iter().filter(|(row, _)| codec.is_none_or(|codec| row.codec == codec));
            let ratios: Vec<f64> = chosen.filter_map(|(old, new)| Some(speed(new)? / speed(old)?)).collect();
            let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
            let range = ratios.iter().fold([f64::INFINITY, 0.0], |[low, high]: [f64; 2], &r| [low.min(r), high.max(r)]);
            let what = codec.map_or_else(|| kind.to_owned(), |codec| format!("{kind} {codec}"));
            (!ratios.is_empty()).then_some(Speeds { what, cells: ratios.len(), mean, range })
        };
        list.extend(of(None));
        let far = |speeds: &Speeds| moved(1.0, speeds.mean, threshold);
        list.extend(codecs.iter().filter_map(|&codec| of(Some(codec))).filter(far));
    }
    list
}

impl Comparison {
    /// Whether any judged figure got worse.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.verdict == Verdict::Worse)
    }

    /// Whether there was anything to compare.
    pub fn is_empty(&self) -> bool {
        self.figures == 0
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shared, only_before, only_after, tested, .. } = self;
        writeln!(f, "{shared} cells in both runs, {only_before} only in the first, {only_after} only in the second")?;
        writeln!(f, "{} figures compared, {tested} of them by the paired test", self.figures)?;
        if self.other_code > 0 {
            let count = self.other_code;
            writeln!(f, "{count} of these cells are of other or unknown revisions of the code that made their bytes")?;
        }
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        if self.changes.is_empty() {
            writeln!(f, "nothing moved: no size or error by more than the threshold, no metric detectably")?;
        }
        for Speeds { what, cells, mean, range: [low, high] } in &self.speeds {
            writeln!(
                f,
                "speed   {what}: {mean:.2} times as fast in the mean of {cells} cells ({low:.2} to {high:.2})"
            )?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cell, figure, before, after, .. } = self;
        let verdict = match self.verdict {
            Verdict::Worse => "WORSE  ",
            Verdict::Better => "better ",
            Verdict::Open => "open   ",
        };
        write!(f, "{verdict} {cell}: {figure} {before:.6} -> {after:.6}")?;
        let ratio = 100.0 * (after / before - 1.0);
        if ratio.is_finite() {
            write!(f, " ({ratio:+.1} %)")?;
        }
        if let Some(Paired { interval: [low, high], p, .. }) = self.paired {
            write!(f, ", 95 % of the difference {low:+.2e} to {high:+.2e}, p = {p:.1e}")?;
        }
        if self.verdict == Verdict::Open {
            write!(f, ", intervals overlap and outcomes were not kept")?;
        }
        Ok(())
    }
}
