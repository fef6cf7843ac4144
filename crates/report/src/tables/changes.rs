//! What changed since the release before, where `previous.csv` (its `summary.csv`) lies beside the rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{Cell, Table, Tone};
use crate::format::{fixed, significant};
use crate::study::Study;

/// A figure of one run.
#[derive(Debug, Clone, Copy)]
struct Figure {
    bytes: u64,
    value: f64,
    interval: [f64; 2],
}

/// By codec, model and metric.
type Figures = BTreeMap<(String, String, String), Figure>;

/// Size that a file may change by without a word.
const WORTH_SAYING: f64 = 0.01;

/// What this run has otherwise than the release before.
pub(crate) struct Changes {
    /// Figures whose intervals do not touch, and files whose size changed.
    pub table: Table,
    /// Figures that are better, and those that are worse.
    pub judged: [usize; 2],
    /// Rows that the release before did not have.
    pub added: usize,
}

/// Figures that differ between the release before and this run.
pub(crate) fn changes(study: &Study, previous: &str) -> Changes {
    let (before, after) = (read(previous), now(study));
    let mut table = Table::new(
        "Changed since the release before",
        &["codec", "model", "metric", "judgement", "#before [95 %] → after [95 %]", "#bytes"],
    );
    let (mut same, mut judged) = (0, [0, 0]);
    for (key, new) in &after {
        let Some(old) = before.get(key) else { continue };
        let apart = old.interval[1] < new.interval[0] || new.interval[1] < old.interval[0];
        let grown = new.bytes as f64 / old.bytes as f64 - 1.0;
        if !apart && grown.abs() < WORTH_SAYING {
            same += 1;
            continue;
        }
        let more = study.models.iter().any(|row| row.model == key.1 && row.metric == key.2 && row.higher_is_better);
        if apart {
            judged[usize::from((new.value > old.value) != more)] += 1;
        }
        let verdict = match (apart, (new.value > old.value) == more) {
            (false, _) => Cell::text("no detectable difference"),
            (true, true) => Cell::text("better").tone(Tone::Good),
            (true, false) => Cell::text("worse").tone(Tone::Bad),
        };
        let print = |figure: &Figure| {
            let [low, high] = figure.interval.map(|end| significant(end, 3));
            format!("{} [{low}, {high}]", significant(figure.value, 3))
        };
        table.rows.push(vec![
            Cell::text(&key.0),
            Cell::text(&key.1),
            Cell::text(&key.2),
            verdict,
            Cell::number(new.value / old.value, format!("{} → {}", print(old), print(new))),
            Cell::number(grown, format!("{} → {} ({} %)", old.bytes, new.bytes, fixed(100.0 * grown, 2))),
        ]);
    }
    let names = |figures: &Figures| figures.keys().map(|key| key.0.clone()).collect::<BTreeSet<String>>();
    let (old, new) = (names(&before), names(&after));
    let list = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        let only: Vec<&str> = one.difference(other).map(String::as_str).collect();
        if only.is_empty() { "none".to_owned() } else { only.join(", ") }
    };
    table.note = format!(
        "Judged by 95 % intervals that do not touch. {same} more figures show no detectable difference and files within {} % of their size. New rows: {}. \
         Rows gone: {}.",
        100.0 * WORTH_SAYING,
        list(&new, &old),
        list(&old, &new)
    );
    Changes { table, judged, added: new.difference(&old).count() }
}

fn now(study: &Study) -> Figures {
    let rows = study.models.iter().filter(|row| !row.metric.is_empty());
    let figure = |row: &seedpress_results::ModelRow| {
        let key = (row.codec.clone(), row.model.clone(), row.metric.clone());
        Some((key, Figure { bytes: row.bytes, value: row.compressed?, interval: row.interval? }))
    };
    rows.filter_map(figure).collect()
}

/// Reads a `summary.csv`: columns by their headings, lines that lack a figure left out.
fn read(csv: &str) -> Figures {
    let mut lines = csv.lines();
    let headings = split(lines.next().unwrap_or_default());
    let column = |name: &str| headings.iter().position(|heading| heading == name);
    let wanted = ["codec", "model", "metric", "bytes", "compressed", "low", "high"].map(column);
    let figure = |line: &str| {
        let fields = split(line);
        let get = |place: usize| fields.get(wanted[place]?).filter(|field| !field.is_empty()).cloned();
        let number = |place: usize| get(place)?.parse::<f64>().ok();
        let figure = Figure { bytes: get(3)?.parse().ok()?, value: number(4)?, interval: [number(5)?, number(6)?] };
        Some(((get(0)?, get(1)?, get(2)?), figure))
    };
    lines.filter_map(figure).collect()
}

/// The fields of a line; quotes as [`crate::csv`] writes them.
fn split(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_are_one() {
        assert_eq!(split("a,\"b,\"\"c\",,d"), ["a", "b,\"c", "", "d"]);
        let figures =
            read("codec,x,model,metric,bytes,compressed,low,high\n\"a:b,c\",,m,KL,5,.1,.05,.2\nbad,,m,KL,,,,\n");
        assert_eq!(figures.len(), 1);
        assert_eq!(figures[&("a:b,c".into(), "m".into(), "KL".into())].bytes, 5);
    }
}
