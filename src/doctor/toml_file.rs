//! A client's TOML file with line numbers. Accepts any keys.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its location.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

pub(super) struct TomlFile<'a> {
    text: &'a str,
    table: Spanned<DeTable<'a>>,
}

/// Why a file is not valid TOML, and the line.
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) message: String,
}

impl<'a> TomlFile<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Broken> {
        let table = DeTable::parse(text).map_err(|error| Broken {
            line: line(text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        Ok(Self { text, table })
    }

    pub(super) fn root(&self) -> &DeTable<'a> {
        self.table.get_ref()
    }

    /// The first syntax that TOML 1.0 does not have, and its line.
    pub(super) fn newer_syntax(&self) -> Option<(usize, &'static str)> {
        newer_in_table(self.text, self.root()).map(|(at, what)| (line(self.text, at), what))
    }

    /// The line on which a value or a key begins.
    pub(super) fn line<T>(&self, at: &Spanned<T>) -> usize {
        line(self.text, at.span().start)
    }
}

/// The value of a key, ignoring case as Go's decoders do.
pub(super) fn field<'t, 'a>(table: &'t DeTable<'a>, key: &str) -> Option<&'t Value<'a>> {
    let same = |name: &str| name.eq_ignore_ascii_case(key);
    get(table, key)
        .or_else(|| table.iter().find(|(name, _)| same(name.get_ref())).map(|(_, value)| value))
}

/// The value of a key.
pub(super) fn get<'t, 'a>(table: &'t DeTable<'a>, key: &str) -> Option<&'t Value<'a>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}

/// The table at this path of keys.
pub(super) fn table_at<'t, 'a>(table: &'t DeTable<'a>, keys: &[&str]) -> Option<&'t DeTable<'a>> {
    keys.iter().try_fold(table, |table, key| get(table, key)?.get_ref().as_table())
}

/// The tables of an array of tables, or a single table.
pub(super) fn tables<'t, 'a>(
    table: &'t DeTable<'a>,
    key: &str,
) -> Vec<(&'t Value<'a>, &'t DeTable<'a>)> {
    let Some(value) = get(table, key) else { return Vec::new() };
    let items: Vec<&Value<'a>> = match value.get_ref().as_array() {
        Some(items) => items.iter().collect(),
        None => vec![value],
    };
    items.into_iter().filter_map(|item| Some((item, item.get_ref().as_table()?))).collect()
}

pub(super) fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    get(table, key)?.get_ref().as_str()
}

/// Whether the key is there and true.
pub(super) fn is_true(table: &DeTable<'_>, key: &str) -> bool {
    get(table, key).and_then(|value| value.get_ref().as_bool()).unwrap_or(false)
}

/// The strings in a list.
pub(super) fn texts<'t>(value: &'t Value<'_>) -> Vec<&'t str> {
    let items = value.get_ref().as_array().into_iter().flat_map(|items| items.iter());
    items.filter_map(|item| item.get_ref().as_str()).collect()
}

fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

fn newer_in_table(text: &str, table: &DeTable<'_>) -> Option<(usize, &'static str)> {
    table.iter().find_map(|(key, value)| {
        let key = key.span();
        let escape = newer_escape(text.get(key.clone())?).then_some((key.start, ESCAPE));
        escape.or_else(|| newer_in_value(text, value))
    })
}

const ESCAPE: &str = "the escapes `\\e` and `\\x`";

fn newer_in_value(text: &str, value: &Value<'_>) -> Option<(usize, &'static str)> {
    let span = value.span();
    let source = text.get(span.clone())?;
    match value.get_ref() {
        DeValue::String(_) => newer_escape(source).then_some((span.start, ESCAPE)),
        DeValue::Datetime(datetime) => {
            let without_seconds = datetime.time.is_some_and(|time| time.second.is_none());
            without_seconds.then_some((span.start, "a time without seconds"))
        }
        DeValue::Array(items) => items.iter().find_map(|item| newer_in_value(text, item)),
        DeValue::Table(table) => {
            if source.starts_with('{') && is_newer_inline_table(source) {
                return Some((
                    span.start,
                    "an inline table with a line break or a comma at its end",
                ));
            }
            newer_in_table(text, table)
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => None,
    }
}

/// Whether the source of a string or a key contains an escape of TOML 1.1.
fn newer_escape(source: &str) -> bool {
    if !source.starts_with('"') {
        return false;
    }
    let mut escaped = false;
    source.chars().any(|c| {
        let found = escaped && matches!(c, 'e' | 'x');
        escaped = !escaped && c == '\\';
        found
    })
}

/// Whether an inline table has a line break outside of its arrays and strings, or a comma at its end.
fn is_newer_inline_table(source: &str) -> bool {
    let (mut quote, mut depth, mut last) = (None, 0_usize, ' ');
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('"'), '\\') => {
                chars.next();
            }
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, '\n') if depth == 0 => return true,
            (None, '}') if depth == 0 && last == ',' => return true,
            (None, _) => {}
        }
        if !c.is_whitespace() {
            last = c;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excessive_nesting_is_an_error() {
        const DEEP: usize = 200_000;
        for text in [
            format!("a = {}", "[".repeat(DEEP)),
            format!("a = {}", "{a=".repeat(DEEP)),
            format!("a{} = 1", ".a".repeat(DEEP)),
            format!("[a{}]", ".a".repeat(DEEP)),
            format!("[[a{}]]", ".a".repeat(DEEP)),
        ] {
            assert!(TomlFile::parse(&text).is_err(), "{}", &text[..8]);
        }
    }
}
