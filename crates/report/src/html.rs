//! One self-contained page: no request leaves it.

use std::fmt::Write as _;

use crate::document::{Block, Cell, Document, Table, Tone};
use crate::format::escape_markup as escape;
use crate::style::{chart_rules, dark_rules};

/// The page of a document.
pub fn page(document: &Document) -> String {
    let title = escape(&document.title);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,\
         initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\n<style>\n{}{}\
         @media(prefers-color-scheme:dark){{\n{}}}\n</style></head>\n<body><header><h1>{title}</h1>\n<dl class=\"facts\">",
        include_str!("page.css"),
        chart_rules("figure svg"),
        dark_rules("figure svg")
    );
    for (name, value) in &document.facts {
        let _ = write!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    html += "</dl>\n<nav>";
    for section in &document.sections {
        let _ = write!(html, "<a href=\"#{}\">{}</a> ", section.anchor, escape(&section.title));
    }
    html += "</nav></header>\n<main>\n";
    for section in &document.sections {
        let _ = writeln!(html, "<section id=\"{}\"><h2>{}</h2>", section.anchor, escape(&section.title));
        for item in &section.blocks {
            block(&mut html, item);
        }
        html += "</section>\n";
    }
    let _ = write!(html, "</main>\n<script>\n{}</script></body></html>\n", include_str!("page.js"));
    html
}

fn block(html: &mut String, item: &Block) {
    let _ = match item {
        Block::Text(text) => writeln!(html, "<p>{}</p>", escape(text)),
        Block::Warning(text) => writeln!(html, "<p class=\"warning\">{}</p>", escape(text)),
        Block::Table(item) => {
            table(html, item);
            Ok(())
        }
        Block::Chart(chart) => writeln!(
            html,
            "<figure><h3>{}</h3><div class=\"scroll\">{}</div><figcaption>{}</figcaption></figure>",
            escape(&chart.title),
            chart.svg,
            escape(&chart.caption)
        ),
        Block::Definitions(terms) => {
            *html += "<dl class=\"terms\">";
            for (term, meaning) in terms {
                let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(term), escape(meaning));
            }
            writeln!(html, "</dl>")
        }
        Block::Listing(title, text) => {
            // Line feeds are the one control character a listing keeps.
            let lines: Vec<String> = text.lines().map(escape).collect();
            writeln!(html, "<details><summary>{}</summary><pre>{}</pre></details>", escape(title), lines.join("\n"))
        }
    };
}

fn table(html: &mut String, table: &Table) {
    let _ = write!(html, "<h3>{}</h3><div class=\"scroll\"><table><thead><tr>", escape(&table.title));
    for column in &table.columns {
        let class = if column.numeric { " class=\"n\"" } else { "" };
        let _ = write!(html, "<th{class} tabindex=\"0\">{}</th>", escape(&column.name));
    }
    *html += "</tr></thead><tbody>\n";
    for row in &table.rows {
        *html += "<tr>";
        for (cell, column) in row.iter().zip(&table.columns) {
            data(html, cell, column.numeric);
        }
        *html += "</tr>\n";
    }
    *html += "</tbody></table></div>\n";
    if !table.note.is_empty() {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", escape(&table.note));
    }
}

fn data(html: &mut String, cell: &Cell, numeric: bool) {
    let tone = match cell.tone {
        Tone::Plain => "",
        Tone::Bad => "bad",
        Tone::Good => "good",
        Tone::Claim => "claim",
    };
    let class = [if numeric { "n" } else { "" }, tone].join(" ");
    let class = class.trim();
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let sort = cell.sort.map_or_else(String::new, |value| format!(" data-v=\"{value}\""));
    let _ = write!(html, "<td{class}{sort}>{}</td>", escape(&cell.text));
}
