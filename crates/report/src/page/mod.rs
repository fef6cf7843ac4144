//! One self-contained page: no request leaves it. Above, what scripts compute for a choice of models, metric and size; below, every table
//! of the report as plain HTML, which needs no script but for sorting.

mod blocks;
mod data;

use std::fmt::Write as _;

use crate::document::{Block, Document, Section};
use crate::format::escape_markup as escape;
use crate::study::Study;
use crate::style::{chart_rules, dark_rules};

const STYLES: [&str; 3] = [include_str!("base.css"), include_str!("tables.css"), include_str!("explore.css")];

/// In the order in which they build upon each other.
const SCRIPTS: [&str; 10] = [
    include_str!("format.js"),
    include_str!("data.js"),
    include_str!("state.js"),
    include_str!("plot.js"),
    include_str!("charts.js"),
    include_str!("answer.js"),
    include_str!("controls.js"),
    include_str!("tables.js"),
    include_str!("theme.js"),
    include_str!("main.js"),
];

/// What scripts fill.
const EXPLORE: &str = include_str!("explore.html");

/// The page of a document.
pub(crate) fn page(study: &Study, document: &Document) -> String {
    let body = body(document);
    let mut html = head(&document.title, &body);
    html += "<header><div class=\"top\">";
    let _ = write!(html, "<h1>{}</h1>", escape(&document.title));
    html += "<button type=\"button\" id=\"theme\" aria-label=\"Switch between light and dark\">◐</button></div>\n<nav aria-label=\"Parts of this page\">";
    for section in sections(document).filter(|section| section.in_navigation) {
        let _ = write!(html, "<a href=\"#{}\">{}</a> ", section.anchor, escape(&section.title));
    }
    html += "</nav>\n<p class=\"note\"><a href=\"summary.csv\">summary.csv</a> · <a href=\"results.jsonl\">rows</a> · <a href=\"report.md\">as text</a> · \
             <a href=\"charts/\">charts as files</a> · <a href=\"../index.html\">all reports</a> · <a href=\"../../docs/metrics.md\">what the numbers mean</a></p></header>\n<main>\n";
    html += EXPLORE;
    html += &body;
    html += "<details id=\"run\"><summary>The run</summary>";
    html += &facts(document);
    html += "</details>\n</main>\n<script type=\"application/json\" id=\"rows\">";
    // A name that holds `</script>` must not end the element.
    html += &data::data(study).to_string().replace('<', "\\u003c");
    html += "</script>\n<script>\n";
    html += &SCRIPTS.map(|script| script.strip_prefix("\"use strict\";\n").unwrap_or(script)).concat();
    html += "</script></body></html>\n";
    html
}

/// A page of tables alone, without rows to choose from.
pub(crate) fn plain_page(document: &Document, navigation: &str) -> String {
    let body = body(document);
    let mut html = head(&document.title, &body);
    let _ = write!(html, "<header><h1>{}</h1><nav>{navigation}", escape(&document.title));
    for section in document.sections.iter().filter(|section| section.in_navigation) {
        let _ = write!(html, "<a href=\"#{}\">{}</a> ", section.anchor, escape(&section.title));
    }
    let _ = write!(
        html,
        "</nav>{}</header>\n<main>\n{body}</main>\n<script>\n{}</script></body></html>\n",
        facts(document),
        include_str!("tables.js")
    );
    html
}

fn facts(document: &Document) -> String {
    let fact =
        |(name, value): &(String, String)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    format!("<dl class=\"facts\">{}</dl>", document.facts.iter().map(fact).collect::<String>())
}

fn head(title: &str, body: &str) -> String {
    let dark = dark_rules(":root[data-theme=dark] figure svg", body);
    let system = dark_rules(":root:not([data-theme=light]) figure svg", body);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,\
         initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\"><title>{}</title>\n<style>\n{}{}{dark}\
         @media(prefers-color-scheme:dark){{\n{system}}}\n</style></head>\n<body>",
        escape(title),
        STYLES.concat(),
        chart_rules("figure.inline svg"),
    )
}

fn body(document: &Document) -> String {
    let mut html = String::new();
    for section in sections(document) {
        let level = if section.in_navigation { 2 } else { 3 };
        let _ = writeln!(
            html,
            "<section id=\"{}\"><h{level}>{}</h{level}>",
            escape(&section.anchor),
            escape(&section.title)
        );
        for item in shown(section) {
            blocks::block(&mut html, item);
        }
        html += "</section>\n";
    }
    html
}

/// Sections that have something to show.
fn sections(document: &Document) -> impl Iterator<Item = &Section> {
    document.sections.iter().filter(|section| shown(section).next().is_some())
}

/// Pictures that the scripts draw better are left to them.
fn shown(section: &Section) -> impl Iterator<Item = &Block> {
    section.blocks.iter().filter(|block| !matches!(block, Block::Chart(chart) if chart.interactive))
}
