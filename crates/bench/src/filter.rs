//! `--only key=value`: a part of the matrix; `key==value`: one name of it.

use std::str::FromStr;

use wildmatch::WildMatch;

/// A field a filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Codec,
    Model,
    Tensor,
}

/// One filter. A value with `*` or `?` is a pattern for the whole name, any other is looked for inside it. After `==` it is the whole
/// name, of a codec the canonical one.
#[derive(Debug, Clone, PartialEq)]
pub struct Only {
    field: Field,
    value: String,
    exact: bool,
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = "legal are codec=.., model=.. and tensor=..";
        let (field, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no filter: {legal}"))?;
        let field = match field {
            "codec" => Field::Codec,
            "model" => Field::Model,
            "tensor" => Field::Tensor,
            _ => return Err(format!("unknown filter `{field}`: {legal}")),
        };
        let (value, exact) = value.strip_prefix('=').map_or((value, false), |value| (value, true));
        if value.is_empty() {
            return Err(format!("filter `{text}` has no value: {legal}"));
        }
        Ok(Self { field, value: value.to_owned(), exact })
    }
}

impl Only {
    fn matches(&self, names: &[&str]) -> bool {
        match self.exact {
            true => names.first().is_some_and(|name| *name == self.value),
            false => names.iter().any(|name| self.is_like(name)),
        }
    }

    fn is_like(&self, name: &str) -> bool {
        if self.value.contains(['*', '?']) {
            WildMatch::new(&self.value).matches(name)
        } else {
            name.contains(&self.value)
        }
    }
}

/// Filters of one field are alternatives, filters of different fields must all hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter(pub Vec<Only>);

impl Filter {
    fn admits(&self, field: Field, names: &[&str]) -> bool {
        let mut relevant = self.0.iter().filter(|only| only.field == field).peekable();
        relevant.peek().is_none() || relevant.any(|only| only.matches(names))
    }

    /// Whether a codec is in, by canonical name, id or label.
    pub fn codec(&self, names: &[&str]) -> bool {
        self.admits(Field::Codec, names)
    }

    /// Whether a model is in.
    pub fn model(&self, name: &str) -> bool {
        self.admits(Field::Model, &[name])
    }

    /// Whether a tensor is in.
    pub fn tensor(&self, name: &str) -> bool {
        self.admits(Field::Tensor, &[name])
    }

    /// Whether every tensor is in: only then does a whole model have a size.
    pub fn takes_whole_models(&self) -> bool {
        self.0.iter().all(|only| only.field != Field::Tensor)
    }
}
