//! Sections, tables and pictures as plain HTML.

use std::fmt::Write as _;

use crate::document::{Block, Cell, Column, Table, Tone};
use crate::format::{escape_markup as escape, rounded};

/// One piece of a section.
pub(super) fn block(html: &mut String, item: &Block) {
    let _ = match item {
        Block::Text(text) => writeln!(html, "<p>{}</p>", escape(text)),
        Block::Warning(text) => writeln!(html, "<p class=\"warning\">{}</p>", escape(text)),
        Block::Table(item) => {
            table(html, item);
            Ok(())
        }
        Block::Chart(chart) if chart.linked => writeln!(
            html,
            "<p><a href=\"charts/{}.svg\">{}</a> <span class=\"note\">{}</span></p>",
            escape(&chart.name),
            escape(&chart.title),
            escape(&chart.caption)
        ),
        Block::Chart(chart) => writeln!(
            html,
            "<figure class=\"inline\"><h3>{}</h3><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">{}</div><figcaption>{}</figcaption></figure>",
            escape(&chart.title),
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
    let title = escape(&table.title);
    let _ = write!(
        html,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\"><table><caption>{title}</caption><thead><tr>"
    );
    for (index, column) in table.columns.iter().enumerate() {
        let first = if column.less_is_better { " data-first=\"ascending\"" } else { "" };
        let class = class(column, index == 0, "");
        let _ = write!(html, "<th scope=\"col\"{class}{first}><button>{}</button></th>", escape(&column.name));
    }
    *html += "</tr></thead><tbody>\n";
    for row in &table.rows {
        *html += "<tr>";
        for (index, (cell, column)) in row.iter().zip(&table.columns).enumerate() {
            data(html, cell, column, index == 0);
        }
        *html += "</tr>\n";
    }
    *html += "</tbody></table></div>\n";
    if !table.note.is_empty() {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", breakable(&table.note));
    }
}

fn class(column: &Column, first: bool, tone: &str) -> String {
    let words = [
        if column.numeric { "n" } else { "" },
        if column.minor { "minor" } else { "" },
        if first { "name" } else { "" },
        tone,
    ];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if words.is_empty() { String::new() } else { format!(" class=\"{}\"", words.join(" ")) }
}

fn data(html: &mut String, cell: &Cell, column: &Column, first: bool) {
    let tone = match cell.tone {
        Tone::Plain => "",
        Tone::Bad => "bad",
        Tone::Good => "good",
        Tone::Claim => "claim",
    };
    let class = class(column, false, tone);
    // A number sorts by what is printed; anything else says what it sorts by.
    let sort = cell.sort.filter(|_| !cell.text.parse().is_ok_and(f64::is_finite));
    let sort = sort.map_or_else(String::new, |value| format!(" data-v=\"{}\"", rounded(value, 6)));
    let text = if column.numeric { escape(&cell.text) } else { breakable(&cell.text) };
    let _ = if first {
        write!(html, "<th scope=\"row\"{class}{sort}>{text}</th>")
    } else {
        write!(html, "<td{class}{sort}>{text}</td>")
    };
}

/// A name that a line may break behind its separators and nowhere else.
fn breakable(text: &str) -> String {
    text.split_inclusive([':', ',', '+', '=']).map(escape).collect::<Vec<_>>().join("<wbr>")
}
