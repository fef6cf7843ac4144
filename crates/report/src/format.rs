//! Numbers as text: the same digits for the same row, everywhere.

/// `digits` significant digits without an exponent; `NaN` and infinities by name.
pub(crate) fn significant(value: f64, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞".to_owned() } else { "-∞".to_owned() };
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-7..=15).contains(&magnitude) {
        return format!("{value:.*e}", (digits - 1).max(0) as usize);
    }
    let decimals = (digits - 1 - magnitude).clamp(0, 12) as usize;
    format!("{value:.decimals$}")
}

/// A value to so many significant digits: what a logarithm's last digit is differs between machines.
pub(crate) fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value)
}

/// `decimals` places.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return significant(value, 1);
    }
    let text = format!("{value:.decimals$}");
    // What rounds to nothing has no sign.
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| matches!(c, '0' | '.')) => rest.to_owned(),
        _ => text,
    }
}

/// An integer with commas between thousands.
pub(crate) fn grouped(value: f64) -> String {
    let text = fixed(value, 0);
    let mut grouped = String::new();
    for (index, digit) in text.chars().enumerate() {
        if index > 0 && (text.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Weights per second with a unit: `4.2 K`, `1.35 M`, `2.1 G`.
pub(crate) fn per_second(value: f64) -> String {
    scaled(value, 1000.0, &["", " K", " M", " G", " T"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value.abs() >= 999.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    format!("{}{}", significant(value, 3), units.get(unit).copied().unwrap_or_default())
}

/// Seconds with a unit.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        value if value < 1e-3 => format!("{} µs", significant(value * 1e6, 3)),
        value if value < 1.0 => format!("{} ms", significant(value * 1e3, 3)),
        value if value < 300.0 => format!("{} s", significant(value, 3)),
        value => format!("{} min", significant(value / 60.0, 3)),
    }
}

/// At most `limit` characters, the middle left out: options at the end of a name tell rows apart.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let tail = limit / 2;
    let head = limit - tail - 1;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

/// Text for HTML and SVG, in elements and in quoted attributes.
pub(crate) fn escape_markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters are not XML, whatever they are escaped to.
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text for a cell or a line of Markdown.
pub(crate) fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_significant_digits() {
        assert_eq!(significant(0.012_345, 3), "0.0123");
        assert_eq!(significant(1234.5, 3), "1234");
        assert_eq!(significant(f64::NAN, 3), "NaN");
        assert_eq!(significant(2.9e-12, 2), "2.9e-12");
        assert_eq!(per_second(4200.0), "4.20 K");
        assert_eq!(per_second(999_900.0), "1.000 M");
        assert_eq!((fixed(-0.001, 2), fixed(-0.01, 2)), ("0.00".to_owned(), "-0.01".to_owned()));
        assert_eq!(seconds(0.0123), "12.3 ms");
        assert_eq!(shorten("abcdefghij", 5), "ab…ij");
    }

    #[test]
    fn nothing_escapes_the_escapes() {
        assert_eq!(escape_markup("<b a=\"'\">&\n"), "&lt;b a=&quot;&#39;&quot;&gt;&amp; ");
        assert_eq!(escape_markdown("a|b_c\n<i>"), "a\\|b\\_c &lt;i&gt;");
    }
}
