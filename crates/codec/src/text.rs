//! Names as they may be shown: a checkpoint's author chooses them, a terminal obeys them.

use std::borrow::Cow;

/// The text with control characters, line breaks and marks that reorder or hide text written as escapes.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if acts(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether a character does something other than showing itself.
fn acts(character: char) -> bool {
    let marks = ['\u{200B}'..='\u{200F}', '\u{2028}'..='\u{202E}', '\u{2060}'..='\u{206F}'];
    character.is_control() || character == '\u{FEFF}' || marks.iter().any(|range| range.contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_get_no_orders() {
        assert_eq!(printable("model.layers.0.weight"), "model.layers.0.weight");
        assert_eq!(printable("Gewicht\u{e4}"), "Gewicht\u{e4}");
        assert_eq!(printable("a\u{1b}[2J\nerror: fake"), "a\\u{1b}[2J\\nerror: fake");
        assert_eq!(printable("\u{202e}txt"), "\\u{202e}txt");
    }
}
