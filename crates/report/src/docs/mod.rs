//! Prose whose numbers are rows: templates below `docs/templates` become README.md and the pages of `docs`.
//!
//! `{{ full | fashion-mlp | trellis:bits=2.0 | accuracy => %1 }}` stands for a figure of a row, `{{ assert A < B }}` for a claim that must
//! hold, `{{ wins ... => all }}` for a counted one; the forms are those of [`query`]. A decimal fraction or percentage that is written by hand
//! is an error, so that no figure goes stale; `{{ say 1.07 }}` is for settings, which are no measurements.

mod count;
mod figures;
mod query;

use std::path::Path;

pub use figures::Figures;

/// A template that says what rows do not.
#[derive(Debug, thiserror::Error)]
#[error("{template}:{line}: {problem}")]
pub struct DocsError {
    /// The template's name.
    template: String,
    /// 1-based line.
    line: usize,
    /// What is wrong.
    problem: String,
}

/// Templates and where their text goes.
const TEMPLATES: [(&str, &str); 3] =
    [("README.md", "README.md"), ("findings.md", "docs/findings.md"), ("planning.md", "docs/planning.md")];

/// The text of every page whose template lies in a repository: paths relative to its root.
///
/// # Errors
/// Reports that cannot be read, references without a row, claims that do not hold.
pub fn render_all(root: &Path) -> Result<Vec<(&'static str, String)>, crate::ReportError> {
    let figures = Figures::new(&root.join("reports"));
    let mut pages = Vec::new();
    for (name, target) in TEMPLATES {
        let path = root.join("docs/templates").join(name);
        if path.exists() {
            let template = std::fs::read_to_string(&path).map_err(crate::io(&path))?;
            pages.push((target, render(name, &template, &figures)?));
        }
    }
    Ok(pages)
}

/// One template's text.
fn render(name: &str, template: &str, figures: &Figures) -> Result<String, DocsError> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    let at = |rest: &str, problem: String| {
        let line = template[..template.len() - rest.len()].matches('\n').count() + 1;
        DocsError { template: name.to_owned(), line, problem }
    };
    while let Some(start) = rest.find("{{") {
        by_hand(&rest[..start]).map_err(|problem| at(rest, problem))?;
        text += &rest[..start];
        let end = rest[start..].find("}}").ok_or_else(|| at(&rest[start..], "{{ without }}".to_owned()))?;
        let inside = rest[start + 2..start + end].trim();
        text +=
            &query::answer(inside, figures).map_err(|problem| at(&rest[start..], format!("{inside}: {problem}")))?;
        rest = &rest[start + end + 2..];
    }
    by_hand(rest).map_err(|problem| at(rest, problem))?;
    text += rest;
    Ok(text)
}

/// Refuses decimal fractions and percentages outside code.
fn by_hand(text: &str) -> Result<(), String> {
    let mut code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            code = !code;
            continue;
        }
        if code {
            continue;
        }
        for (index, part) in line.split('`').enumerate() {
            // Every other part is code; targets of links are no figures.
            if index % 2 == 0
                && let Some(found) = part.split_whitespace().find(|word| is_figure(word))
            {
                return Err(format!(
                    "`{found}` is written by hand: refer to a row, or {{{{ say }}}} it if it is a setting"
                ));
            }
        }
    }
    Ok(())
}

fn is_figure(word: &str) -> bool {
    let word = word.split("](").next().unwrap_or_default();
    let bytes = word.as_bytes();
    let digit = |place: Option<usize>| place.and_then(|place| bytes.get(place)).is_some_and(u8::is_ascii_digit);
    let fraction = (0..bytes.len()).any(|place| {
        let before = place.checked_sub(1).and_then(|before| bytes.get(before)).copied();
        let starts =
            before.is_none_or(|byte| byte.is_ascii_digit() || matches!(byte, b'(' | b'*' | b'-' | b'+' | b'~'));
        bytes[place] == b'.' && digit(Some(place + 1)) && starts
    });
    // Two dots are a version.
    fraction && word.matches('.').count() < 2 || word.ends_with('%') && digit(Some(bytes.len().saturating_sub(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_written_by_hand_are_found() {
        for bad in ["is 89.4 percent", "KL .011", "(1.5", "a 12% loss", "**.5**"] {
            assert!(by_hand(bad).is_err(), "{bad}");
        }
        for good in ["version 2.1.3", "`bits = 1.07`", "30x", "end.", "```\n1.5\n```", "see [x](a.b/1.5.md)", "2 bits"]
        {
            assert!(by_hand(good).is_ok(), "{good}");
        }
    }
}
