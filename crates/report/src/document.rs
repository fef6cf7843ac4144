//! The report before it is a page: sections of text, tables and charts. [`crate::html`] and [`crate::markdown`] write it out.

/// A report.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Its heading.
    pub title: String,
    /// Small facts under the heading: name and value.
    pub facts: Vec<(String, String)>,
    /// In reading order.
    pub sections: Vec<Section>,
}

/// A part with a heading.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Anchor: lower-case letters and hyphens.
    pub anchor: &'static str,
    /// Heading.
    pub title: String,
    /// In reading order.
    pub blocks: Vec<Block>,
}

impl Section {
    /// An empty section.
    pub fn new(anchor: &'static str, title: &str) -> Self {
        Self { anchor, title: title.to_owned(), blocks: Vec::new() }
    }

    /// Adds a warning.
    pub fn warning(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Warning(text.into()));
    }

    /// Adds a table unless it has no rows.
    pub fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.blocks.push(Block::Table(table));
        }
    }

    /// Adds a chart, if there is one.
    pub fn chart(&mut self, chart: Option<Chart>) {
        self.blocks.extend(chart.map(Block::Chart));
    }
}

/// A piece of a section. All text is plain: writers escape it.
#[derive(Debug, Clone)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A paragraph that must not be overlooked.
    Warning(String),
    /// A table.
    Table(Table),
    /// A picture.
    Chart(Chart),
    /// Terms and what they mean.
    Definitions(Vec<(&'static str, &'static str)>),
    /// Preformatted text behind a heading that folds.
    Listing(&'static str, String),
}

/// A picture.
#[derive(Debug, Clone)]
pub struct Chart {
    /// File name without extension.
    pub name: String,
    /// Heading.
    pub title: String,
    /// How to read it, and what it leaves out.
    pub caption: String,
    /// The picture itself.
    pub svg: String,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Headings; numeric columns align right.
    pub columns: Vec<Column>,
    /// Cells, as many a row as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// Footnote.
    pub note: String,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// Whether it holds numbers.
    pub numeric: bool,
}

impl Table {
    /// An empty table. Columns whose heading starts with `#` hold numbers.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        let column = |name: &&str| match name.strip_prefix('#') {
            Some(name) => Column { name: name.to_owned(), numeric: true },
            None => Column { name: (*name).to_owned(), numeric: false },
        };
        Self { title: title.to_owned(), columns: columns.iter().map(column).collect(), ..Self::default() }
    }

    /// With a footnote.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// How a cell is set off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    #[default]
    Plain,
    /// Failed or broken.
    Bad,
    /// Best, or on the frontier.
    Good,
    /// Someone else's claim.
    Claim,
}

/// A cell.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// What it sorts by.
    pub sort: Option<f64>,
    /// How it is set off.
    pub tone: Tone,
}

impl Cell {
    /// A word.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A number, printed as `text`.
    pub fn number(value: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), sort: value.is_finite().then_some(value), ..Self::default() }
    }

    /// A number where there is one.
    pub fn optional(value: Option<f64>, print: impl FnOnce(f64) -> String) -> Self {
        value.map_or_else(|| Self::text("-"), |value| Self::number(value, print(value)))
    }

    /// Set off.
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}
