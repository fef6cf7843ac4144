//! TOML tables read key by key, so that every wrong key is found and none hides behind another.

use std::collections::BTreeSet;
use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

use super::problems::{Collector, did_you_mean};

/// A key with its value, both knowing where they stand.
pub(super) type Entry<'e, 'i> = (&'e Spanned<DeString<'i>>, &'e Spanned<DeValue<'i>>);

/// The entries of a table in file order.
pub(super) fn entries<'e, 'i>(table: &'e DeTable<'i>) -> Vec<Entry<'e, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The values a key stands for: the elements of a list, else the value itself.
pub(super) fn alternatives<'e, 'i>(value: &'e Spanned<DeValue<'i>>) -> Vec<&'e Spanned<DeValue<'i>>> {
    match value.get_ref() {
        DeValue::Array(list) => list.iter().collect(),
        _ => vec![value],
    }
}

/// A table that holds just one entry.
pub(super) fn just<'i>(key: &Spanned<DeString<'i>>, value: &Spanned<DeValue<'i>>) -> Spanned<DeValue<'i>> {
    let mut table = DeTable::new();
    table.insert(key.clone(), value.clone());
    Spanned::new(value.span(), DeValue::Table(table))
}

/// The property names of a JSON schema.
pub(super) fn property_names(schema: &serde_json::Value) -> BTreeSet<String> {
    schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// "unknown key `x` in [where]": with a suggestion and every legal key.
pub(super) fn unknown_key<'a>(given: &str, place: &str, legal: impl Iterator<Item = &'a str> + Clone) -> String {
    let list: Vec<_> = legal.clone().collect();
    format!(
        "unknown key `{given}` in {place}{}: legal keys are {}",
        closing(&did_you_mean(given, legal)),
        list.join(", ")
    )
}

/// Turns a trailing question into an aside.
fn closing(suggestion: &str) -> String {
    suggestion.strip_suffix('?').map_or_else(String::new, |text| format!(" ({})", text.trim_start_matches(", ")))
}

/// A typed table: every wrong key and every wrong value becomes a problem. `T` must take each of its keys alone (`serde(default)`).
pub(super) fn read<T: DeserializeOwned + JsonSchema + Default>(
    table: &DeTable<'_>,
    span: &Range<usize>,
    place: &str,
    problems: &mut Collector<'_>,
) -> T {
    let legal = property_names(&serde_json::to_value(schemars::schema_for!(T)).unwrap_or_default());
    let mut sound = DeTable::new();
    for (key, value) in entries(table) {
        if !legal.contains(key.get_ref().as_ref()) {
            problems.add(&key.span(), unknown_key(key.get_ref(), place, legal.iter().map(String::as_str)));
            continue;
        }
        match T::deserialize(ValueDeserializer::from(just(key, value))) {
            Ok(_) => {
                sound.insert(key.clone(), value.clone());
            }
            Err(error) => {
                let at = error.span().unwrap_or_else(|| value.span());
                problems.add(&at, format!("`{}` in {place}: {}", key.get_ref(), plain(error.message())));
            }
        }
    }
    let whole = Spanned::new(span.clone(), DeValue::Table(sound));
    T::deserialize(ValueDeserializer::from(whole)).unwrap_or_default()
}

/// A parser's message on one line.
pub(super) fn plain(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
