//! What stands between double braces.
//!
//! - `report | model | row | field => format`: a figure; `*` for all real models, fields as in [`super::figures::figure`].
//! - `A - B`, `A / B` with two figures: `minus { A } { B }`, `over { A } { B }`.
//! - `at report | model | kind | metric | row`: the least of the metric that rows of a kind reach at the bytes of a row, straight between
//!   measured rates on two logarithms.
//! - `step report | model | step | metric | row`: as `at`, for rows whose label starts with the step; `-` where it has none on both sides.
//! - `smaller report | model | kind | row`: how many times more bytes rows of a kind take for the divergence of a row.
//! - `assert A < B`: nothing, if it holds.
//! - `wins report | metric | kind | others => all`: see [`super::count`].
//! - `where report | metric | A < B`: the models on which row A has less of it than row B, in words.
//! - `row report | row`: the row's name, if it is there.
//! - `run report | fact`: codecs, models, cells, failed, commit.
//! - `table report`: the table of the README.
//! - `rows report | model | row ; row`: every row of a model, or those named, see [`super::model_rows`].
//! - `say text`: the text.
//!
//! Formats: `.2` decimals, `g3` significant digits, `%1` percent, `x1` times, `,` an integer with commas, `/s` weights per second.

use super::count;
use super::figures::{Figures, contender, figure, is_kind, whole};
use crate::contender::Contender;
use crate::first::gains::{bytes_at, curve_of};
use crate::format::{fixed, grouped, per_second, significant};

/// The text that a query stands for.
pub(super) fn answer(query: &str, figures: &Figures) -> Result<String, String> {
    let (query, format) =
        query.rsplit_once("=>").map_or((query, "g3"), |(query, format)| (query.trim(), format.trim()));
    let (verb, rest) = query.split_once(' ').unwrap_or((query, ""));
    match verb {
        "say" => Ok(rest.to_owned()),
        "assert" => assert(rest, figures).map(|()| String::new()),
        "wins" => count::wins(rest, format, figures),
        "where" => models_where(rest, figures),
        "row" => {
            let [report, name] = parts(rest)?;
            Ok(contender(figures.study(report)?, name)?.codec.clone())
        }
        "run" => fact(rest, figures),
        "step" => {
            let [report, model, step, metric, row] = parts(rest)?;
            let study = figures.study(report)?;
            let bytes = whole(study, contender(study, row)?, model, metric)?.bytes as f64;
            let of = |contender: &Contender| contender.label.split(' ').next() == Some(step);
            let value = value_at(&curve_of(study, model, metric, &of), bytes);
            value.map_or_else(|| Ok("-".to_owned()), |value| print(value, format))
        }
        "rows" => super::model_rows::table(rest, figures),
        "table" => {
            let table = crate::tables::best_at_sizes(figures.study(rest.trim())?);
            Ok(crate::markdown::table(&table).trim_end().to_owned())
        }
        _ => print(number(query, figures)?, format),
    }
}

fn parts<const N: usize>(text: &str) -> Result<[&str; N], String> {
    let parts: Vec<&str> = text.split('|').map(str::trim).collect();
    let found = parts.len();
    parts.try_into().map_err(|_| format!("{N} parts between bars were expected, {found} found"))
}

/// The number that a query stands for.
pub(super) fn number(query: &str, figures: &Figures) -> Result<f64, String> {
    let query = query.trim();
    let (verb, rest) = query.split_once(' ').unwrap_or((query, ""));
    match verb {
        "minus" => pair(rest, figures).map(|(a, b)| a - b),
        "over" => pair(rest, figures).map(|(a, b)| a / b),
        "at" => {
            let [report, model, kind, metric, row] = parts(rest)?;
            let study = figures.study(report)?;
            let bytes = whole(study, contender(study, row)?, model, metric)?.bytes as f64;
            let curve = curve_of(study, model, metric, &|c: &Contender| is_kind(study, c, kind));
            value_at(&curve, bytes).ok_or_else(|| format!("no rows of {kind} on both sides of {bytes} bytes"))
        }
        "smaller" => {
            let [report, model, kind, row] = parts(rest)?;
            let study = figures.study(report)?;
            let own = whole(study, contender(study, row)?, model, crate::average::DIVERGENCE)?;
            let curve = curve_of(study, model, crate::average::DIVERGENCE, &|c: &Contender| is_kind(study, c, kind));
            let told = own.compressed.ok_or("the row has no divergence")?;
            let bytes = bytes_at(&curve, told).ok_or_else(|| format!("no rows of {kind} on both sides of {told}"))?;
            Ok(bytes / own.bytes as f64)
        }
        _ => match query.parse() {
            Ok(value) => Ok(value),
            Err(_) => {
                let [report, model, row, field] = parts(query)?;
                figure(figures.study(report)?, model, row, field)
            }
        },
    }
}

/// A curve's metric at so many bytes, straight between measured points on two logarithms.
fn value_at(curve: &[(f64, f64)], bytes: f64) -> Option<f64> {
    let pair = curve.windows(2).find(|pair| (pair[0].0..=pair[1].0).contains(&bytes))?;
    let part = (bytes / pair[0].0).ln() / (pair[1].0 / pair[0].0).ln();
    Some((pair[0].1.ln() + part * (pair[1].1 / pair[0].1).ln()).exp())
}

/// `{ A } { B }`.
fn pair(text: &str, figures: &Figures) -> Result<(f64, f64), String> {
    let inner = |text: &str| text.trim().strip_prefix('{').map(str::to_owned);
    let (a, b) = text.split_once('}').ok_or("two figures in braces were expected")?;
    let b = b.trim().strip_suffix('}').ok_or("two figures in braces were expected")?;
    let (a, b) = inner(a).zip(inner(b)).ok_or("two figures in braces were expected")?;
    Ok((number(&a, figures)?, number(&b, figures)?))
}

fn assert(claim: &str, figures: &Figures) -> Result<(), String> {
    let split = [" <= ", " >= ", " < ", " > "].into_iter().find_map(|sign| Some((sign, claim.split_once(sign)?)));
    let (sign, (a, b)) = split.ok_or("a claim has one of < <= > >= with blanks around it")?;
    let (a, b) = (number(a, figures)?, number(b, figures)?);
    let holds = match sign.trim() {
        "<" => a < b,
        "<=" => a <= b,
        ">" => a > b,
        _ => a >= b,
    };
    if holds { Ok(()) } else { Err(format!("the rows do not support it: {a} and {b}")) }
}

/// What prose calls a model of the zoo.
fn spoken(model: &str) -> &str {
    match model {
        "fashion-mlp" => "the MLP",
        "fashion-cnn" => "the CNN",
        "sotu-transformer" => "the transformer",
        "sotu-lstm" => "the LSTM",
        other => other,
    }
}

/// The models on which a comparison of two rows holds: `every model`, `no model`, or their names.
fn models_where(text: &str, figures: &Figures) -> Result<String, String> {
    let [report, metric, claim] = parts(text)?;
    let study = figures.study(report)?;
    let (a, b) = claim.split_once(" < ").ok_or("a comparison is of the form A < B")?;
    let value = |row: &str, model: &str| figure(study, model, row, metric);
    let (mut holds, mut count) = (Vec::new(), 0);
    let judged = |model: &&String| !study.is_synthetic(model) && study.metrics(model).contains(&metric);
    for model in study.model_names.iter().filter(judged) {
        count += 1;
        if value(a, model)? < value(b, model)? {
            holds.push(spoken(model));
        }
    }
    Ok(match holds.as_slice() {
        [] => "no model".to_owned(),
        all if all.len() == count => "every model".to_owned(),
        [one] => (*one).to_owned(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    })
}

fn fact(text: &str, figures: &Figures) -> Result<String, String> {
    let [report, name] = parts(text)?;
    let study = figures.study(report)?;
    let thousands = |value: u64| print(value as f64, ",");
    match name {
        "codecs" => Ok(study.contenders.len().to_string()),
        "models" => Ok(study.model_names.len().to_string()),
        "cells" => thousands(study.run.cells),
        "failed" => Ok(if study.run.failed == 0 { "none".to_owned() } else { study.run.failed.to_string() }),
        "commit" => Ok(study.run.environment.commit.chars().take(10).collect()),
        other => Err(format!("no fact `{other}`")),
    }
}

fn print(value: f64, format: &str) -> Result<String, String> {
    let digits = |text: &str| text.parse::<usize>().map_err(|_| format!("no format `{format}`"));
    if !value.is_finite() {
        return Err("the figure is not finite".to_owned());
    }
    match format.split_at_checked(1) {
        Some((".", rest)) => Ok(fixed(value, digits(rest)?)),
        Some(("g", rest)) => Ok(significant(value, digits(rest)? as i32)),
        Some(("%", rest)) => Ok(format!("{} %", fixed(100.0 * value, digits(rest)?))),
        Some(("x", rest)) => Ok(format!("{}x", fixed(value, digits(rest)?))),
        Some(("/", "s")) => Ok(per_second(value)),
        Some((",", "")) => Ok(grouped(value)),
        _ => Err(format!("no format `{format}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_print() {
        let printed: Vec<String> = [(0.894, "%1"), (31.24, "x0"), (0.01234, "g2"), (5723.0, ","), (4.7e6, "/s")]
            .into_iter()
            .map(|(value, format)| print(value, format).unwrap_or_default())
            .collect();
        assert_eq!(printed, ["89.4 %", "31x", "0.012", "5,723", "4.70 M"]);
        assert!(print(1.0, "?").is_err() && print(f64::NAN, "g3").is_err());
    }

    #[test]
    fn curves_are_read_between_their_points() {
        let curve = [(100.0, 1.0), (400.0, 0.01)];
        assert!((value_at(&curve, 200.0).unwrap_or(0.0) - 0.1).abs() < 1e-12);
        assert_eq!(value_at(&curve, 500.0), None);
    }
}
