//! Tables and links to charts, for repositories and terminals.

use std::fmt::Write as _;

use crate::document::{Block, Document, Table, Tone};
use crate::format::escape_markdown as escape;

/// A document as Markdown.
pub(crate) fn document(document: &Document) -> String {
    let mut text = format!("# {}\n\n", escape(&document.title));
    for (name, value) in &document.facts {
        let _ = writeln!(text, "- {}: {}", escape(name), escape(value));
    }
    for section in document.sections.iter().filter(|section| !section.page_only) {
        let _ = write!(text, "\n## {}\n", escape(&section.title));
        for block in &section.blocks {
            text.push('\n');
            match block {
                Block::Text(line) => text += &format!("{}\n", escape(line)),
                Block::Warning(line) => text += &format!("**{}**\n", escape(line)),
                Block::Table(item) => text += &table(item),
                Block::Chart(chart) => {
                    let (title, caption) = (escape(&chart.title), escape(&chart.caption));
                    let _ = write!(text, "### {title}\n\n![{title}](charts/{}.svg)\n\n{caption}\n", chart.name);
                }
                Block::Definitions(terms) => {
                    for (term, meaning) in terms {
                        let _ = writeln!(text, "- **{}**: {}", escape(term), escape(meaning));
                    }
                }
                Block::Listing(title, lines) => {
                    let _ = write!(text, "{}:\n\n", escape(title));
                    // Indented, not fenced: no content can end it early.
                    for line in lines.lines() {
                        let _ = writeln!(text, "{}", format!("    {line}").trim_end());
                    }
                }
            }
        }
    }
    text
}

/// A table with its heading and footnote.
pub(crate) fn table(table: &Table) -> String {
    let mut text = format!("### {}\n\n|", escape(&table.title));
    for column in &table.columns {
        let _ = write!(text, " {} |", escape(&column.name));
    }
    text += "\n|";
    for column in &table.columns {
        text += if column.numeric { " ---: |" } else { " --- |" };
    }
    text.push('\n');
    for row in &table.rows {
        text.push('|');
        for cell in row {
            let value = escape(&cell.text);
            let _ = match cell.tone {
                Tone::Bad | Tone::Good => write!(text, " **{value}** |"),
                Tone::Claim => write!(text, " *{value}* |"),
                Tone::Plain => write!(text, " {value} |"),
            };
        }
        text.push('\n');
    }
    if !table.note.is_empty() {
        let _ = write!(text, "\n{}\n", escape(&table.note));
    }
    text
}
