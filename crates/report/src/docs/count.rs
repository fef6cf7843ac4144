//! Claims of order, counted: in how many comparisons at equal bytes a kind of rows is the best.

use std::collections::BTreeMap;

use seedpress_results::{Status, TensorRow};

use super::figures::{Figures, is_kind};

/// Tensors of fewer weights say more about headers than about codecs.
const LEAST_WEIGHTS: u64 = 16_384;

/// Bytes and loss.
type Figure = (u64, f64);

/// `report | metric | kind | others`: over models (over tensors for `weight error`) and rows of the kind: how often no row of the others with
/// as many bytes or fewer has as good a figure. Comparisons without such a row do not count. `all`, `most` and `any` are what must be true;
/// `count` asks for nothing.
pub(super) fn wins(text: &str, wanted: &str, figures: &Figures) -> Result<String, String> {
    let parts: Vec<&str> = text.split('|').map(str::trim).collect();
    let [report, metric, kind, others] = parts[..] else {
        return Err("four parts between bars were expected".to_owned());
    };
    let study = figures.study(report)?;
    // Subject and rivals by what they are compared on: bytes and loss.
    let mut groups: BTreeMap<(String, String), (Vec<Figure>, Vec<Figure>)> = BTreeMap::new();
    for contender in &study.contenders {
        let (own, rival) = (is_kind(study, contender, kind), is_kind(study, contender, others));
        if !own && !rival {
            continue;
        }
        let mut add = |model: &str, tensor: &str, bytes: u64, loss: f64| {
            let entry = groups.entry((model.to_owned(), tensor.to_owned())).or_default();
            // What is of both kinds is the subject, not its own rival.
            if own { entry.0.push((bytes, loss)) } else { entry.1.push((bytes, loss)) }
        };
        if metric == "weight error" {
            let counts =
                |row: &&TensorRow| row.codec == contender.codec && !row.synthetic && row.weights > LEAST_WEIGHTS;
            for row in study.measured().filter(counts) {
                add(&row.model, &row.tensor, row.bytes, row.relative_mse());
            }
        } else {
            let rows = study.models.iter().filter(|row| row.codec == contender.codec && row.metric == metric);
            for row in rows.filter(|row| row.status == Status::Ok) {
                let value = row.compressed.unwrap_or(f64::NAN);
                add(&row.model, "", row.bytes, if row.higher_is_better { -value } else { value });
            }
        }
    }
    let (mut won, mut all) = (0, 0);
    for (subjects, rivals) in groups.values() {
        for (bytes, loss) in subjects {
            let mut fits = rivals.iter().filter(|rival| rival.0 <= *bytes).peekable();
            if fits.peek().is_some() {
                all += 1;
                won += usize::from(fits.all(|rival| *loss < rival.1));
            }
        }
    }
    let holds = match wanted {
        "all" => all > 0 && won == all,
        "most" => 2 * won > all,
        "any" => won > 0,
        "count" => all > 0,
        other => return Err(format!("`{other}` is none of all, most, any, count")),
    };
    if holds { Ok(format!("{won} of {all}")) } else { Err(format!("the rows do not support it: {won} of {all}")) }
}
