//! Standard output that may be closed by whoever reads it, and text that a terminal cannot be ordered about with.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Prints to standard output. A reader that has seen enough (`| head`) ends the command quietly.
pub(crate) fn out(text: Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        end(&error);
    }
}

fn end(error: &std::io::Error) -> ! {
    seedpress_checkpoint::remove_temporaries();
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    // Standard error may be closed too; then nobody is there to tell.
    let _ = writeln!(std::io::stderr(), "error: standard output: {error}");
    std::process::exit(1);
}

static QUIET: AtomicBool = AtomicBool::new(false);

/// Silences notes and progress.
pub(crate) fn hush() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether notes and progress are silenced.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A line on standard error; nobody may be listening.
pub(crate) fn err(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The same, if anybody wants it.
pub(crate) fn remark(text: Arguments<'_>) {
    if !is_quiet() {
        err(text);
    }
}

/// Text on standard output, without a line break.
macro_rules! text {
    ($($part:tt)*) => { $crate::print::out(format_args!($($part)*)) };
}

/// A line on standard output.
macro_rules! line {
    ($($part:tt)*) => { $crate::print::out(format_args!("{}\n", format_args!($($part)*))) };
}

/// A line on standard error: a note, or how far the work is. `--quiet` silences it.
macro_rules! note {
    ($($part:tt)*) => { $crate::print::remark(format_args!($($part)*)) };
}

pub(crate) use {line, note, text};

/// Bytes as people read them.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} bytes"),
        _ if value < 9.995 => format!("{value:.2} {}", units[unit]),
        _ if value < 99.95 => format!("{value:.1} {}", units[unit]),
        _ => format!("{value:.0} {}", units[unit]),
    }
}

/// A number of bytes with an optional unit: `64M`, `1.5GiB`, `2000000`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("unknown unit `{unit}`: legal are kB, MB, GB, TB, KiB, MiB, GiB, TiB")),
    };
    let value: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    let bytes = value * factor as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err("more bytes than there are".to_owned()) }
}

/// A table with its first column to the left and the others to the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            match column {
                0 if row.len() == 1 => text += cell,
                0 => text += &format!("{cell}{pad}"),
                _ => text += &format!("  {pad}{cell}"),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(parse_bytes("2000000"), Ok(2_000_000));
        assert_eq!(parse_bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(parse_bytes("64 m"), Ok(64_000_000));
        assert!(parse_bytes("12 parsecs").is_err() && parse_bytes("").is_err() && parse_bytes("1e99").is_err());
        let shown = [0, 999, 1000, 9994, 9_995_000, 123_456_789].map(bytes);
        assert_eq!(shown, ["0 bytes", "999 bytes", "1.00 kB", "9.99 kB", "10.0 MB", "123 MB"]);
    }

    #[test]
    fn tables_line_up() {
        let rows = [vec!["rtn".to_owned(), "12".to_owned()], vec!["kept: small".to_owned(), "3".to_owned()]];
        assert_eq!(table(&["stored as", "n"], &rows), "stored as     n\nrtn          12\nkept: small   3\n");
    }
}
