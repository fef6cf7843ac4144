//! The first report again: every table of the document the project started from, in its order, with measured figures beside its claims.

mod claims;
pub(crate) mod gains;

use std::path::{Path, PathBuf};

use seedpress_results::{ModelRow, Row, Status, TensorRow, derive, read_rows, read_run};

use crate::contender::Contender;
use crate::document::{Block, Cell, Document, Section, Table, Tone};
use crate::error::ReportError;
use crate::format::{fixed, per_second, seconds, significant};
use crate::prefixes::prefix_sums;
use crate::study::{Scope, Study};
use crate::sums::{Sums, mean_and_deviation};
use crate::{markdown, page};

/// Reports whose rows its tables are made of: later ones add rows that earlier ones lack.
const SOURCES: [&str; 5] = ["full", "seedlm", "30x", "30x-language", "plan"];

/// The page and the text of the first report, from the reports below `reports`.
///
/// # Errors
/// Rows that cannot be read. A report that is not there has no rows.
pub fn draw(reports: &Path) -> Result<Vec<(PathBuf, String)>, ReportError> {
    let (mut run, mut facts) = (None, Vec::new());
    let mut rows: Vec<Row> = Vec::new();
    for source in SOURCES.map(|name| reports.join(name)).into_iter().filter(|folder| folder.join("run.json").exists()) {
        let made = read_run(&source)?;
        let dirty = if made.environment.dirty { ", with local changes" } else { "" };
        facts.push((made.name.clone(), format!("rows of commit {}{dirty}", made.environment.commit)));
        run.get_or_insert(made);
        rows.extend(read_rows(&source)?);
    }
    // The same row of two runs counts once, that of the first.
    let mut seen = std::collections::BTreeSet::new();
    rows.retain(|row| seen.insert(identity(row)));
    let study = Study::new(run.unwrap_or_default(), rows, Vec::new());
    let document = document(&study, facts);
    let folder = reports.join("first");
    let navigation = "<a href=\"../index.html\">all reports</a> ";
    Ok(vec![
        (folder.join("index.html"), page::plain_page(&document, navigation)),
        (folder.join("report.md"), markdown::document(&document)),
    ])
}

fn identity(row: &Row) -> (String, String, String) {
    match row {
        Row::Tensor(row) => (row.codec.clone(), row.model.clone(), row.tensor.clone()),
        Row::Model(row) => (row.codec.clone(), row.model.clone(), format!("metric {}", row.metric)),
    }
}

fn claim(text: impl Into<String>) -> Cell {
    Cell::text(text).tone(Tone::Claim)
}

fn unmeasured() -> Cell {
    Cell::text("not measured")
}

fn document(study: &Study, facts: Vec<(String, String)>) -> Document {
    let mut sections = Vec::new();
    let mut add = |anchor: &str, title: &str, tables: Vec<Table>| {
        let mut section = Section::new(anchor, title);
        tables.into_iter().for_each(|table| section.table(table));
        sections.push(section);
    };
    add("layers", "Layer-level compression", vec![ratios(study), quality(study), speed(study)]);
    add("progressive", "Progressive encoding", vec![levels(study), layers(study)]);
    add("models", "Model-level compression", vec![models(study)]);
    add("thirty", "The 30x claim", vec![gains::gains(study), best_kept(study)]);
    add("rivals", "Comparison with the state of the art", vec![rivals(study)]);
    let text = "Tables in the order of the first report. Claims, set in italics, repeat its figures, which were never reproduced: its \
                BitNet and VPTQ were constants. All other figures come from rows that are measured here; where a method has no row yet the cell says so.";
    sections[0].blocks.insert(0, Block::Text(text.to_owned()));
    Document { title: "The first report, measured".to_owned(), facts, sections }
}

/// What is kept at each ratio, by divergence and by the models' own tasks.
fn best_kept(study: &Study) -> Table {
    let mut table = crate::tables::best_kept(study);
    let told = |model: &str, metric: &str| {
        metric == crate::average::DIVERGENCE || study.metrics(model).first().is_some_and(|first| *first == metric)
    };
    let named = |title: &str| study.model_names.iter().find(|model| study.model_title(model) == title).cloned();
    table.rows.retain(|row| named(&row[0].text).is_some_and(|model| told(&model, &row[1].text)));
    table
}

/// The row that stands for a method: the one with everything at its default, or else the first of its codec.
fn method<'a>(study: &'a Study, id: &str) -> Option<&'a Contender> {
    let mut own = study.contenders.iter().filter(|contender| contender.codec_id == id && contender.stage.is_empty());
    let first = own.clone().next();
    own.find(|contender| contender.codec == id).or(first)
}

/// The tensors of its six shapes, generated ones, that a contender was measured on.
fn six<'a>(study: &'a Study, contender: &'a Contender) -> impl Iterator<Item = &'a TensorRow> {
    let own = study.measured().filter(|row| row.codec == contender.codec && row.synthetic);
    own.filter(|row| claims::RATIOS.iter().any(|(_, shape, _)| *shape == row.shape.as_slice()))
}

fn method_note(study: &Study) -> String {
    let name = |(name, id, _): &(&str, &str, [f64; 7])| {
        format!("{name}: {}", method(study, id).map_or("not measured", |contender| contender.codec.as_str()))
    };
    format!("Its six shapes, generated weights. {}.", claims::METHODS.iter().map(name).collect::<Vec<_>>().join("; "))
}

fn ratios(study: &Study) -> Table {
    let mut columns = vec!["layer".to_owned()];
    columns.extend(claims::METHODS.iter().flat_map(|(name, ..)| [format!("#{name}"), format!("#{name}: claim")]));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new("Compression ratio by layer type", &columns).note(method_note(study));
    for (layer, shape, figures) in claims::RATIOS {
        let mut cells = vec![Cell::text(layer)];
        for ((_, id, _), figure) in claims::METHODS.iter().zip(figures) {
            let sums =
                method(study, id).map(|contender| Sums::over(six(study, contender).filter(|row| row.shape == shape)));
            let measured = sums.filter(|sums| sums.tensors > 0).map(|sums| sums.ratio());
            cells.push(measured.map_or_else(unmeasured, |ratio| Cell::number(ratio, format!("{}x", fixed(ratio, 2)))));
            cells.push(claim(format!("{figure:.1}x")));
        }
        table.rows.push(cells);
    }
    table
}

fn quality(study: &Study) -> Table {
    let columns = [
        "method",
        "#bits/weight",
        "<mean relative error",
        "#mean: claim",
        "<max",
        "#max: claim",
        "<MSE",
        "#MSE: claim",
    ];
    let mut table = Table::new("Reconstruction accuracy", &columns).note(method_note(study));
    for (name, id, [mean, deviation, largest, mse, ..]) in claims::METHODS {
        let sums = method(study, id).map(|contender| Sums::over(six(study, contender))).filter(|sums| sums.tensors > 0);
        let mut measured = vec![unmeasured(), unmeasured(), unmeasured(), unmeasured()];
        if let Some(sums) = sums {
            let (mean, deviation, largest) = sums.error_spread();
            measured = vec![
                Cell::number(sums.bits_per_weight(), fixed(sums.bits_per_weight(), 3)),
                Cell::number(mean, format!("{} ± {}", significant(mean, 3), significant(deviation, 2))),
                Cell::number(largest, significant(largest, 3)),
                Cell::number(sums.mean_squared_error(), significant(sums.mean_squared_error(), 3)),
            ];
        }
        let claims =
            [String::new(), format!("{mean:.3} ± {deviation:.3}"), format!("{largest:.3}"), format!("{mse:.3}")];
        let mut cells = vec![Cell::text(name)];
        for (cell, text) in measured.into_iter().zip(claims) {
            cells.push(cell);
            if !text.is_empty() {
                cells.push(claim(text));
            }
        }
        table.rows.push(cells);
    }
    table
}

fn speed(study: &Study) -> Table {
    let columns = ["method", "<mean time", "#time: claim", "#weights/s", "#weights/s: claim"];
    let mut table = Table::new("Compression speed", &columns).note(method_note(study));
    for (name, id, [.., time, deviation, rate]) in claims::METHODS {
        let sums = method(study, id).map(|contender| Sums::over(six(study, contender))).filter(|sums| sums.tensors > 0);
        let (mut times, mut speeds) = (unmeasured(), unmeasured());
        if let Some(sums) = &sums
            && let Some(speed) = sums.encode_speed()
        {
            let (mean, deviation) = mean_and_deviation(&sums.encode_times);
            times = Cell::number(mean, format!("{} ± {}", seconds(mean), seconds(deviation)));
            speeds = Cell::number(speed, per_second(speed));
        }
        let time = claim(format!("{time} ± {deviation} s"));
        table.rows.push(vec![Cell::text(name), times, time, speeds, claim(per_second(rate))]);
    }
    table
}

fn levels(study: &Study) -> Table {
    let columns = ["#level", "<relative error", "#error: claim", "#ratio", "#ratio: claim", "use case: claim"];
    let mut table = Table::new("Quality against compression level", &columns).note(
        "seedlm-progressive over the real weights of the run that has its levels; mean and deviation over tensors.",
    );
    for (level, error, deviation, ratio, purpose) in claims::LEVELS {
        let at = |contender: &&Contender| {
            let own = contender.options.get("level").and_then(serde_json::Value::as_f64);
            contender.codec_id == "seedlm-progressive" && own.is_some_and(|own| (own - level).abs() < 1e-6)
        };
        let sums =
            study.contenders.iter().find(at).map(|contender| {
                Sums::over(study.measured().filter(|row| row.codec == contender.codec && !row.synthetic))
            });
        let (mut measured, mut size) = (unmeasured(), unmeasured());
        if let Some(sums) = sums.filter(|sums| sums.tensors > 0) {
            let (mean, spread, _) = sums.error_spread();
            measured = Cell::number(mean, format!("{} ± {}", significant(mean, 3), significant(spread, 2)));
            size = Cell::number(sums.ratio(), format!("{}x", fixed(sums.ratio(), 2)));
        }
        let level = Cell::number(level, fixed(level, 1));
        let error = claim(format!("{error:.3} ± {deviation:.3}"));
        table.rows.push(vec![level, measured, error, size, claim(format!("{ratio:.1}x")), claim(purpose)]);
    }
    table
}

fn layers(study: &Study) -> Table {
    let columns = [
        "layers",
        "<relative error",
        "#error: claim",
        "#improvement",
        "#improvement: claim",
        "#bandwidth",
        "#bandwidth: claim",
    ];
    let mut table = Table::new("Enhancement layers", &columns);
    let curves = prefix_sums(study, Scope::Real);
    let own = curves.iter().filter(|(contender, _)| contender.codec_id == "seedlm-progressive");
    let longest = own.max_by_key(|(_, curve)| curve.len().min(claims::LAYERS.len()));
    table.note = longest.map_or_else(String::new, |(contender, _)| {
        format!(
            "{} over real weights; bandwidth is bytes read so far against those of the first layer.",
            contender.codec
        )
    });
    for (index, (name, error, gain, width)) in claims::LAYERS.into_iter().enumerate() {
        let (mut measured, mut better, mut bytes) = (unmeasured(), unmeasured(), unmeasured());
        if let Some((_, curve)) = longest
            && let Some((bits, mse)) = curve.get(index)
        {
            measured = Cell::number(mse.sqrt(), significant(mse.sqrt(), 3));
            let before = index.checked_sub(1).map(|before| 1.0 - (mse / curve[before].1).sqrt());
            better = Cell::optional(before, |part| format!("{} %", fixed(100.0 * part, 0)));
            bytes = Cell::number(bits / curve[0].0, format!("{} %", fixed(100.0 * bits / curve[0].0, 0)));
        }
        let error = claim(format!("{error:.3}"));
        table.rows.push(vec![Cell::text(name), measured, error, better, claim(gain), bytes, claim(width)]);
    }
    table
}

fn models(study: &Study) -> Table {
    let columns = [
        "model",
        "method",
        "#weights",
        "<time",
        "#time: claim",
        "#ratio",
        "#ratio: claim",
        "#success",
        "#success: claim",
    ];
    let mut table = Table::new("Full model compression", &columns).note(
        "Whole files. Success: tensors that were encoded and decoded. The large layer is that of the fetched model crepe-full.",
    );
    for (name, word, id, claimed) in claims::MODELS {
        let contender = method(study, id);
        let row: Option<&ModelRow> = contender.and_then(|contender| {
            let own = study.models.iter().filter(|row| row.codec == contender.codec && row.status == Status::Ok);
            own.filter(|row| row.model.contains(word)).min_by_key(|row| row.model.len())
        });
        let claims = claimed.map_or(["-".to_owned(), "-".to_owned(), "-".to_owned()], |(time, ratio, success)| {
            [seconds(time), format!("{ratio:.1}x"), success.to_owned()]
        });
        let mut measured = [unmeasured(), unmeasured(), unmeasured(), unmeasured()];
        let mut title = name.to_owned();
        if let Some(row) = row {
            let done = 100.0 * row.tensors_ok as f64 / row.tensors.max(1) as f64;
            title = format!("{name} ({})", row.model);
            measured = [
                Cell::number(row.weights as f64, row.weights.to_string()),
                Cell::optional(derive::median(&row.encode_seconds), seconds),
                Cell::number(row.ratio(), format!("{}x", fixed(row.ratio(), 2))),
                Cell::number(done, format!("{} %", fixed(done, 0))),
            ];
        }
        let [weights, time, ratio, success] = measured;
        let [time_claim, ratio_claim, success_claim] = claims.map(claim);
        let codec = Cell::text(contender.map_or(id, |contender| contender.codec.as_str()));
        table.rows.push(vec![
            Cell::text(title),
            codec,
            weights,
            time,
            time_claim,
            ratio,
            ratio_claim,
            success,
            success_claim,
        ]);
    }
    table
}

fn rivals(study: &Study) -> Table {
    let columns = [
        "method",
        "#ratio",
        "#ratio: claim",
        "#accuracy preserved",
        "#accuracy: claim",
        "#encode weights/s",
        "#speed: claim",
    ];
    let mut table = Table::new("Compression ratio against accuracy", &columns).note(
        "Least and most over the method's rows on the classifiers: ratio of whole files, accuracy over that of the uncompressed model.",
    );
    for (name, ids, ratio, accuracy, speed) in claims::RIVALS {
        let own = |codec: &str| study.contenders.iter().any(|c| c.codec == codec && ids.contains(&c.codec_id.as_str()));
        let rows: Vec<&ModelRow> = study
            .models
            .iter()
            .filter(|row| row.metric == "accuracy" && row.status == Status::Ok && own(&row.codec))
            .collect();
        let range = |values: Vec<f64>, print: &dyn Fn(f64) -> String| {
            let (low, high) =
                values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
            if values.is_empty() {
                unmeasured()
            } else {
                Cell::number(low, format!("{} to {}", print(low), print(high)))
            }
        };
        let kept = rows.iter().filter_map(|row| Some(100.0 * row.compressed? / row.baseline?)).collect();
        let fast = rows.iter().filter_map(|row| crate::sums::speed(row.weights, &row.encode_seconds)).collect();
        table.rows.push(vec![
            Cell::text(name),
            range(rows.iter().map(|row| row.ratio()).collect(), &|ratio| format!("{}x", fixed(ratio, 1))),
            claim(ratio),
            range(kept, &|part| format!("{} %", fixed(part, 1))),
            claim(accuracy),
            range(fast, &per_second),
            claim(speed),
        ]);
    }
    table
}
