//! A README for each crate: the documentation that stands at the top of its library, with links that only rustdoc can follow as plain words.

use std::path::Path;

use crate::error::{ReportError, io};

/// The README of every crate below `crates` that has a library: paths relative to the repository's root.
///
/// # Errors
/// Folders or files that cannot be read.
pub(super) fn pages(root: &Path) -> Result<Vec<(String, String)>, ReportError> {
    let folder = root.join("crates");
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(io(&folder))? {
        let path = entry.map_err(io(&folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sources = ["src/lib.rs", "src/main.rs"].map(|source| path.join(source));
        let Some(source) = sources.into_iter().find(|source| source.exists()) else { continue };
        let source = std::fs::read_to_string(&source).map_err(io(&source))?;
        let title = if name == "seedpress" { name.clone() } else { format!("seedpress-{name}") };
        let text = format!(
            "<!-- The documentation of the crate, rendered by `cargo xtask docs`. -->\n\n# {title}\n\n{}\n\nA crate of [seedpress](../../README.md).\n",
            page(&source)
        );
        pages.push((format!("crates/{name}/README.md"), text));
    }
    pages.sort();
    Ok(pages)
}

/// The `//!` lines at the top of a source file as Markdown for readers of the repository.
fn page(source: &str) -> String {
    let mut lines = Vec::new();
    let mut in_code = false;
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        if let Some(kind) = line.strip_prefix("```") {
            in_code = !in_code;
            // Without a name, or with how to run it, a block holds Rust.
            let rust = in_code && ["", "no_run", "ignore", "should_panic"].contains(&kind);
            lines.push(if rust { "```rust".to_owned() } else { line.to_owned() });
        } else if !in_code {
            // The crate's name is the title.
            let deeper = if line.starts_with('#') { "#" } else { "" };
            lines.push(format!("{deeper}{}", without_links(line)));
        } else if !(line == "#" || line.starts_with("# ")) {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n").trim_end().to_owned()
}

/// A line of prose in which links to items are their words; links to files and sites stay.
fn without_links(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['[', '`']) {
        let (before, found) = rest.split_at(at);
        text += before;
        if found.starts_with('`') {
            let code = code_span(found);
            text += code;
            rest = &found[code.len()..];
            continue;
        }
        let Some((label, target, length)) = link(found) else {
            text.push('[');
            rest = &found[1..];
            continue;
        };
        match target {
            Some(target) if target.starts_with("http") || target.contains(".md") => text += &found[..length],
            _ => text += label,
        }
        rest = &found[length..];
    }
    text + rest
}

/// The code that a text begins with, with its marks; the first mark alone where none closes it.
fn code_span(text: &str) -> &str {
    text[1..].find('`').map_or(&text[..1], |end| &text[..end + 2])
}

/// The label, the target and the length of the link that a text begins with: `[label](target)`, or an item in code with none.
fn link(text: &str) -> Option<(&str, Option<&str>, usize)> {
    let mut end = 1;
    while !text[end..].starts_with(']') {
        end += match text[end..].chars().next()? {
            '`' => code_span(&text[end..]).len(),
            '[' => return None,
            letter => letter.len_utf8(),
        };
    }
    let label = &text[1..end];
    if let Some(target) = text[end + 1..].strip_prefix('(') {
        let close = target.find(')')?;
        return Some((label, Some(&target[..close]), end + 3 + close));
    }
    (label.starts_with('`') && label.ends_with('`')).then_some((label, None, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_items_become_words() {
        let cases = [
            ("See [`Codec`] and [a walk](crate::Walk), [`x`](self::x).", "See `Codec` and a walk, `x`."),
            ("[QTIP](https://arxiv.org/abs/2406.11235), [format](../../docs/format.md#a)", ""),
            ("Codes in [0, 15] and `a[b]`, [`a[b]`]; [open", "Codes in [0, 15] and `a[b]`, `a[b]`; [open"),
            ("`unclosed [`x`]", "`unclosed [`x`]"),
        ];
        for (line, wanted) in cases {
            assert_eq!(without_links(line), if wanted.is_empty() { line } else { wanted });
        }
    }

    #[test]
    fn what_tests_hide_is_left_out() {
        let source = "//! # One [`Item`].\n//!\n//! ```no_run\n//! # use x;\n//! #\n//! let a = b[0];\n//! ```\n//!\n//! ```text\n//! [`a`]\n//! ```\n\n//! not this\n";
        let wanted = "## One `Item`.\n\n```rust\nlet a = b[0];\n```\n\n```text\n[`a`]\n```";
        assert_eq!(page(source), wanted);
    }
}
