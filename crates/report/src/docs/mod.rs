//! Prose whose numbers are rows: templates below `docs/templates` become README.md and the pages of `docs`.
//!
//! `{{ full | fashion-mlp | trellis:bits=2.0 | accuracy => %1 }}` stands for a figure of a row, `{{ assert A < B }}` for a claim that must
//! hold, `{{ wins ... => all }}` for a counted one; the forms are those of [`query`]. A decimal fraction or percentage that is written by hand
//! is an error, so that no figure goes stale; `{{ say 1.07 }}` is for settings, which are no measurements.

mod codec_rows;
mod count;
mod figures;
mod model_rows;
mod query;
mod readmes;

use std::path::Path;

pub(crate) use figures::Figures;

use crate::error::{DocsError, ReportError, io};

/// Templates and where their text goes.
const TEMPLATES: [(&str, &str); 4] = [
    ("README.md", "README.md"),
    ("findings.md", "docs/findings.md"),
    ("language-models.md", "docs/language-models.md"),
    ("planning.md", "docs/planning.md"),
];

/// The text of every page whose template lies in a repository: paths relative to its root.
///
/// # Errors
/// Reports that cannot be read, references without a row, claims that do not hold.
pub(crate) fn render_all(root: &Path) -> Result<Vec<(String, String)>, ReportError> {
    let figures = Figures::new(&root.join("reports"));
    let mut pages = Vec::new();
    for (name, target) in TEMPLATES {
        let path = root.join("docs/templates").join(name);
        if path.exists() {
            let template = std::fs::read_to_string(&path).map_err(io(&path))?;
            pages.push((target.to_owned(), render(name, &template, &figures)?));
        }
    }
    pages.extend(codec_rows::pages(root, &figures)?);
    pages.extend(readmes::pages(root)?);
    Ok(pages)
}

/// One template's text.
fn render(name: &str, template: &str, figures: &Figures) -> Result<String, DocsError> {
    let mut text = format!("<!-- Rendered from docs/templates/{name} by `cargo xtask docs`: edit it there. -->\n\n");
    let mut problems = Vec::new();
    let mut blame = |rest: &str, problem: String| {
        let line = template[..template.len() - rest.len()].matches('\n').count() + 1;
        problems.push(format!("docs/templates/{name}:{line}: {problem}"));
    };
    let mut rest = template;
    // Whether the words before stand in a fenced block.
    let mut fenced = false;
    while let Some(start) = rest.find("{{") {
        by_hand(&rest[..start], &mut fenced).into_iter().for_each(|problem| blame(rest, problem));
        text += &rest[..start];
        let Some(end) = rest[start..].find("}}") else {
            blame(&rest[start..], "{{ without }}".to_owned());
            break;
        };
        // A figure in braces of its own ends in three.
        let end = if rest[start + end..].starts_with("}}}") { end + 1 } else { end };
        let inside = rest[start + 2..start + end].split_whitespace().collect::<Vec<_>>().join(" ");
        match query::answer(&inside, figures) {
            Ok(answer) => text += &answer,
            Err(problem) => blame(&rest[start..], format!("{inside}: {problem}")),
        }
        rest = &rest[start + end + 2..];
    }
    by_hand(rest, &mut fenced).into_iter().for_each(|problem| blame(rest, problem));
    text += rest;
    if problems.is_empty() { Ok(text) } else { Err(DocsError(problems.join("\n"))) }
}

/// Decimal fractions and percentages outside code.
fn by_hand(text: &str, fenced: &mut bool) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.split('\n') {
        if line.starts_with("```") {
            *fenced = !*fenced;
            continue;
        }
        if *fenced {
            continue;
        }
        // Every other part is code.
        for part in line.split('`').step_by(2) {
            let words = part.split_whitespace().filter(|word| is_figure(word));
            found.extend(words.map(|word| {
                format!("`{word}` is written by hand: refer to a row, or {{{{ say }}}} it if it is a setting")
            }));
        }
    }
    found
}

fn is_figure(word: &str) -> bool {
    // Targets of links are no figures, nor are versions: they follow a name or have two dots.
    let word = word.split("](").next().unwrap_or_default();
    let bytes = word.as_bytes();
    if bytes.first().is_some_and(u8::is_ascii_alphabetic) || word.trim_end_matches('.').matches('.').count() > 1 {
        return false;
    }
    let digit = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_digit);
    let fraction = (0..bytes.len()).any(|place| {
        let before = place.checked_sub(1).map(|before| bytes[before]);
        let starts =
            before.is_none_or(|byte| byte.is_ascii_digit() || matches!(byte, b'(' | b'*' | b'-' | b'+' | b'~' | b'['));
        bytes[place] == b'.' && digit(place + 1) && starts
    });
    fraction || word.trim_end_matches([',', '.', ')', ';', ':']).ends_with('%') && bytes.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_written_by_hand_are_found() {
        let found = |text: &str| by_hand(text, &mut false);
        for bad in ["is 89.4 percent", "KL .011", "(1.5", "a 12% loss", "**.5**"] {
            assert_eq!(found(bad).len(), 1, "{bad}");
        }
        for good in [
            "version 2.1.3",
            "Apache-2.0",
            "`bits = 1.07`",
            "30x",
            "end.",
            "```\n1.5\n```",
            "see [x](a.b/1.5.md)",
            "2 bits",
        ] {
            assert!(found(good).is_empty(), "{good}");
        }
    }

    #[test]
    fn a_template_without_rows_names_every_place() {
        let figures = Figures::new(Path::new("nowhere"));
        let error = render("x.md", "a\n{{ full | m | r | bits }} and 1.5 {{ say 2.5 }}", &figures)
            .map_err(|error| error.to_string());
        let error = error.err().unwrap_or_default();
        assert!(
            error.contains("x.md:2: full | m | r | bits: no report `full`")
                && error.contains("`1.5` is written by hand"),
            "{error}"
        );
    }
}
