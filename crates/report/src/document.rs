//! The report before it is a page: sections of text, tables and charts. [`crate::html`] and [`crate::markdown`] write it out.

/// A report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    /// Its heading.
    pub title: String,
    /// Small facts under the heading: name and value.
    pub facts: Vec<(String, String)>,
    /// In reading order.
    pub sections: Vec<Section>,
}

/// A part with a heading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    /// Anchor: letters, digits, hyphens and underscores.
    pub anchor: String,
    /// Heading.
    pub title: String,
    /// In reading order.
    pub blocks: Vec<Block>,
    /// Whether it is a part of its own, rather than of the section before it.
    pub in_navigation: bool,
    /// Whether it stands on the page alone and not in the text.
    pub page_only: bool,
}

impl Section {
    /// An empty section.
    pub(crate) fn new(anchor: &str, title: &str) -> Self {
        Self { anchor: anchor.to_owned(), title: title.to_owned(), in_navigation: true, ..Self::default() }
    }

    /// An empty part of the section before it.
    pub(crate) fn part(anchor: &str, title: &str) -> Self {
        Self { in_navigation: false, ..Self::new(anchor, title) }
    }

    /// Adds a warning.
    pub(crate) fn warning(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Warning(text.into()));
    }

    /// Adds a table unless it has no rows.
    pub(crate) fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.blocks.push(Block::Table(table));
        }
    }

    /// Adds a chart, if there is one.
    pub(crate) fn chart(&mut self, chart: Option<Chart>) {
        self.blocks.extend(chart.map(Block::Chart));
    }
}

/// A piece of a section. All text is plain: writers escape it.
#[derive(Debug, Clone)]
pub(crate) enum Block {
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
#[derive(Debug, Clone, Default)]
pub(crate) struct Chart {
    /// File name without extension.
    pub name: String,
    /// Heading.
    pub title: String,
    /// How to read it, and what it leaves out.
    pub caption: String,
    /// The picture itself.
    pub svg: String,
    /// Whether the page's scripts draw the same, so that the file is for papers and repositories.
    pub interactive: bool,
    /// Whether the page links to its file: it is large, and not for every reader.
    pub linked: bool,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
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
pub(crate) struct Column {
    /// Heading.
    pub name: String,
    /// Whether it holds numbers.
    pub numeric: bool,
    /// Whether the best of them is the least.
    pub less_is_better: bool,
    /// Whether a narrow screen leaves it out.
    pub minor: bool,
}

impl Column {
    /// `#` before a heading stands for numbers, `<` for numbers of which the least is best, and `~` before either for what a narrow
    /// screen leaves out.
    pub(crate) fn new(name: &str) -> Self {
        let (minor, name) = name.strip_prefix('~').map_or((false, name), |name| (true, name));
        let (less_is_better, name) = name.strip_prefix('<').map_or((false, name), |name| (true, name));
        let (more, name) = name.strip_prefix('#').map_or((false, name), |name| (true, name));
        Self { name: name.to_owned(), numeric: more || less_is_better, less_is_better, minor }
    }

    /// A column of numbers of which more is better, or neither.
    pub(crate) fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), numeric: true, less_is_better: false, minor: false }
    }

    /// A column of a metric.
    pub(crate) fn metric(name: impl Into<String>, higher_is_better: bool) -> Self {
        Self { less_is_better: !higher_is_better, ..Self::number(name) }
    }
}

impl Table {
    /// An empty table; headings as [`Column::new`] reads them.
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|name| Column::new(name)).collect();
        Self { title: title.to_owned(), columns, ..Self::default() }
    }

    /// With a footnote.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// How a cell is set off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
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
pub(crate) struct Cell {
    /// What it says.
    pub text: String,
    /// What it sorts by.
    pub sort: Option<f64>,
    /// How it is set off.
    pub tone: Tone,
}

impl Cell {
    /// A word.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A number, printed as `text`.
    pub(crate) fn number(value: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), sort: value.is_finite().then_some(value), ..Self::default() }
    }

    /// A number where there is one.
    pub(crate) fn optional(value: Option<f64>, print: impl FnOnce(f64) -> String) -> Self {
        value.map_or_else(|| Self::text("-"), |value| Self::number(value, print(value)))
    }

    /// Set off.
    pub(crate) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}
