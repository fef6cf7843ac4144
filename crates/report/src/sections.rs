//! What the report says, in which order.

use std::collections::{BTreeMap, BTreeSet};

use crate::charts;
use crate::document::{Block, Document, Section};
use crate::study::{Scope, Study};
use crate::tables;

const DEFINITIONS: [(&str, &str); 11] = [
    (
        "bits per weight",
        "8 times all bytes written, headers and checksums included, over the number of weights. For models: bytes of the whole file.",
    ),
    ("ratio", "32 over bits per weight (against 32-bit floats); against the source: source bytes over bytes written."),
    ("relative error", "||W - W'|| / ||W||, Frobenius norm; relMSE is its square. From 1 on zeros would be as near."),
    (
        "broken",
        "less than half is kept of what lies between a model of zeros (the zeros row) and the uncompressed model, by the model's headline metric.",
    ),
    (
        "KL divergence",
        "mean over held-out samples of sum p log(p/q), p the uncompressed model's distribution and q the decoded one's; bits a byte for the language models of the zoo, nats a token for those with text of one's own, nats for others.",
    ),
    ("SNR", "-10 log10 relMSE, dB."),
    (
        "gap to Shannon",
        "10 log10(relMSE x 4^bits), dB: distance to the rate-distortion limit of a Gaussian source at the bits really spent. Weights that are not Gaussian can go below 0.",
    ),
    ("speed", "weights over the median of all timed runs. Decoding starts from the written bytes."),
    (
        "interval",
        "95 % bootstrap interval over held-out samples; where a run draws files anew, widened by the scatter of their figures.",
    ),
    (
        "small-tensor policy",
        "tensors too small to be worth a codec are stored by another one; they count in every file size and in no codec comparison.",
    ),
    ("synthetic", "generated weights; they say how near a codec is to theory, not what it does to a model."),
];

/// The report of a study.
pub(crate) fn document(study: &Study) -> Document {
    let mut sections = vec![failures(study), changes(study), overview(study)];
    sections.extend(models(study));
    sections.extend(codecs(study));
    sections.extend([
        curves(study),
        thirty(study),
        speed(study),
        size(study),
        layers(study),
        plans(study),
        progressive(study),
        trade_offs(study),
        accuracy(study),
        scatter(study),
    ]);
    let mut definitions = Section::new("definitions", "Definitions");
    definitions.blocks.push(Block::Definitions(DEFINITIONS.to_vec()));
    definitions.blocks.push(Block::Listing("Configuration of the run", study.run.config.clone()));
    sections.push(definitions);
    sections.retain(|section| !section.blocks.is_empty());
    let codecs = sections.iter().filter(|section| section.anchor.starts_with("codec-")).count();
    sections.retain(|section| section.anchor != "codecs" || codecs > 0);
    Document { title: format!("seedpress report: {}", study.run.name), facts: facts(study), sections }
}

fn facts(study: &Study) -> Vec<(String, String)> {
    let run = &study.run;
    let place = &run.environment;
    let state = if run.complete { "complete" } else { "INCOMPLETE" };
    let dirty = if place.dirty { ", with local changes" } else { "" };
    let facts = [
        (
            "matrix",
            format!(
                "{} codecs, {} models, {} cells, {} failed, {state}",
                study.contenders.len(),
                study.model_names.len(),
                run.cells,
                run.failed
            ),
        ),
        ("processor", format!("{}, {} cores, {}", place.cpu, place.cores, place.features.join(" "))),
        (
            "build",
            format!("seedpress {} {}, {}, commit {}{dirty}", place.version, place.profile, place.rustc, place.commit),
        ),
        ("system", place.os.clone()),
    ];
    let later = later_commits(study);
    let facts = facts.into_iter().chain((!later.is_empty()).then_some(("added later", later)));
    facts.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Cells that were measured at other commits than the run's own, by commit.
fn later_commits(study: &Study) -> String {
    let tensors = study.tensors.iter().filter_map(|row| Some((row.commit.as_deref()?, &row.key)));
    let models = study.models.iter().filter_map(|row| Some((row.commit.as_deref()?, &row.key)));
    let mut cells: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for (commit, key) in tensors.chain(models) {
        cells.entry(commit).or_default().insert(key);
    }
    cells
        .into_iter()
        .map(|(commit, keys)| match commit.strip_suffix('+') {
            Some(commit) => format!("{} cells of commit {commit}, with local changes", keys.len()),
            None => format!("{} cells of commit {commit}", keys.len()),
        })
        .collect::<Vec<_>>()
        .join("; ")
}

fn curves(study: &Study) -> Section {
    let mut section = Section::new("frontier", "Bits against error");
    for scope in [Scope::Real, Scope::Gaussian] {
        section.chart(charts::rates(study, scope, false));
        section.chart(charts::rates(study, scope, true));
    }
    section
}

fn overview(study: &Study) -> Section {
    let mut section = Section::new("overview", "All rows");
    section.chart(charts::behaviour(study));
    section.table(tables::overview(study));
    section
}

/// One section a model, which links can name.
fn models(study: &Study) -> Vec<Section> {
    let mut sections = vec![Section::new("models", "Models")];
    sections[0]
        .blocks
        .push(Block::Text("Every row on each model, lossless rows first, then from many bits to few.".to_owned()));
    for model in &study.model_names {
        let mut section = Section::part(&format!("model-{model}"), &study.model_title(model));
        for chart in charts::metrics(study, model) {
            section.chart(Some(chart));
        }
        section.table(tables::model(study, model));
        sections.push(section);
    }
    sections
}

/// One section a codec, which links can name.
fn codecs(study: &Study) -> Vec<Section> {
    let mut sections = vec![Section::new("codecs", "Codecs")];
    sections[0].blocks.push(Block::Text("Every row of each codec on each model.".to_owned()));
    let mut seen = BTreeSet::new();
    for contender in study.contenders.iter().filter(|contender| seen.insert(&contender.codec_id)) {
        let mut section = Section::part(&format!("codec-{}", contender.codec_id), &contender.codec_id);
        section.table(tables::codec(study, &contender.codec_id));
        sections.push(section);
    }
    for section in &mut sections {
        section.page_only = true;
    }
    sections
}

/// What the release before had otherwise.
fn changes(study: &Study) -> Section {
    let mut section = Section::new("changes", "What changed");
    if let Some(previous) = &study.previous {
        let table = tables::changes(study, previous).table;
        if table.rows.is_empty() {
            section.blocks.push(Block::Text(table.note));
        } else {
            section.table(table);
        }
    }
    section
}

fn thirty(study: &Study) -> Section {
    let mut section = Section::new("thirty", "How far to 30x");
    section.table(tables::best_kept(study));
    section.table(tables::steps(study));
    for model in &study.model_names {
        section.table(tables::thirty(study, model));
    }
    section
}

/// Real weights, or synthetic ones where a run has no others.
fn main_scope(study: &Study) -> Scope {
    if study.measured().any(|row| !row.synthetic) { Scope::Real } else { Scope::Gaussian }
}

fn speed(study: &Study) -> Section {
    let mut section = Section::new("speed", "Speed");
    let scope = main_scope(study);
    section.chart(charts::speed(study, scope, false));
    section.chart(charts::speed(study, scope, true));
    section.table(tables::speeds(study, scope));
    section
}

fn size(study: &Study) -> Section {
    let mut section = Section::new("bytes", "Where the bytes go");
    section.chart(charts::parts(study, main_scope(study)));
    section.chart(charts::ratio_by_layer(study, main_scope(study)));
    section.table(tables::layer_types(study, false));
    section.table(tables::layer_types(study, true));
    section
}

fn layers(study: &Study) -> Section {
    let mut section = Section::new("layers", "Error of each layer");
    for model in study.model_names.iter().filter(|model| !study.is_synthetic(model)) {
        section.chart(charts::heatmap(study, model));
    }
    section
}

fn plans(study: &Study) -> Section {
    let mut section = Section::new("plans", "Plans and sensitivity");
    for model in &study.model_names {
        section.chart(charts::sensitivity(study, model));
        section.table(tables::plans(study, model));
    }
    section
}

fn progressive(study: &Study) -> Section {
    let mut section = Section::new("progressive", "Progressive codecs");
    for scope in [Scope::Real, Scope::Gaussian] {
        section.chart(charts::prefixes(study, scope));
        section.table(tables::prefixes(study, scope));
    }
    section
}

fn trade_offs(study: &Study) -> Section {
    let mut section = Section::new("trade-offs", "Quality against speed");
    for chart in charts::trade_offs(study) {
        section.chart(Some(chart));
    }
    section
}

fn accuracy(study: &Study) -> Section {
    let mut section = Section::new("accuracy", "Accuracy");
    section.table(tables::accuracy(study, Scope::Real));
    section.table(tables::accuracy(study, Scope::Gaussian));
    section
}

fn scatter(study: &Study) -> Section {
    let mut section = Section::new("scatter", "Scatter of encoders");
    section.table(tables::scatter(study));
    section
}

fn failures(study: &Study) -> Section {
    let mut section = Section::new("failures", "What failed");
    let broken = tables::failures(study);
    if !broken.rows.is_empty() {
        section.warning(format!("{} cells failed or are broken.", broken.rows.len()));
    }
    if broken.rows.is_empty() {
        section.blocks.push(Block::Text("Every tensor round-tripped, and no row is broken.".to_owned()));
    }
    section.table(broken);
    section.table(tables::success(study));
    section
}
