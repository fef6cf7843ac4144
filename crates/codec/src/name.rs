//! The grammar of canonical names, `id:key=value,key=value+stage`: values are what TOML can read, or bare words.

use crate::error::ConfigError;

/// A name in its parts; values as written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) id: &'a str,
    pub(crate) options: Vec<(&'a str, &'a str)>,
    pub(crate) stage: Option<&'a str>,
}

/// Whether a text may stand in a name without quotes.
pub(crate) fn is_bare(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.:=*/".contains(c);
    !text.is_empty() && text.chars().all(legal) && !is_literal(text)
}

/// Whether TOML reads it as a value of its own.
pub(crate) fn is_literal(text: &str) -> bool {
    !text.contains('\n') && format!("v={text}").parse::<toml::Table>().is_ok()
}

/// Cuts a name at the separators that stand outside quotes and brackets.
///
/// # Errors
/// Quotes or brackets without end, options that are not `key=value`, a stage that is a cut value.
pub(crate) fn parse(name: &str) -> Result<Parts<'_>, ConfigError> {
    // A stage's own id may hold `+`.
    let rest = split(name, '+')?[0];
    let stage = name[rest.len()..].strip_prefix('+');
    if let Some(stage) = stage.filter(|stage| stage.contains([',', '=', ' ', '"'])) {
        let hint = "put values that hold `+` or `,` into quotes, such as like=\"rtn+ans\"";
        return Err(ConfigError::new(format!("`{stage}` in `{name}` is no stage: {hint}")));
    }
    let (id, options) = rest.split_once(':').unwrap_or((rest, ""));
    let options = split(options, ',')?.into_iter().filter(|option| !option.is_empty());
    let wrong = |option: &str| {
        let hint = "values that hold `+` or `,` stand in quotes";
        ConfigError::new(format!("`{option}` in `{name}` is not of the form key=value; {hint}"))
    };
    let options = options.map(|option| option.split_once('=').ok_or_else(|| wrong(option)));
    Ok(Parts { id, options: options.collect::<Result<_, _>>()?, stage })
}

fn split(text: &str, separator: char) -> Result<Vec<&str>, ConfigError> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ if c == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if quoted || depth > 0 {
        return Err(ConfigError::new(format!("`{text}`: a quote or bracket is not closed")));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn separators_inside_quotes_and_brackets_separate_nothing() {
        let parts =
            parse(r#"plan:ladder="rtn:bits=3,symmetric=false+ans q8_0",like=rtn:bits=3,list=[1,2]+ans"#).unwrap();
        let options =
            [("ladder", "\"rtn:bits=3,symmetric=false+ans q8_0\""), ("like", "rtn:bits=3"), ("list", "[1,2]")];
        assert_eq!(parts, Parts { id: "plan", options: options.to_vec(), stage: Some("ans") });
        assert_eq!(parse("raw+planes+ans").unwrap().stage, Some("planes+ans"));
        for wrong in ["plan:ladder=rtn+ans q8_0,like=rtn+ans", "plan:like=\"rtn", "plan:a=[1", "plan:like"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_plain_words_stand_bare() {
        for text in ["row", "q8_0", "rtn:bits=3", "none"] {
            assert!(is_bare(text), "{text}");
        }
        for text in ["", "rtn+ans", "a,b", "a b", "true", "3", "1e5", "\"", "\u{e9}"] {
            assert!(!is_bare(text), "{text}");
        }
    }
}
