//! Why containerd ignores a `hosts.toml` that is valid TOML: its decoder or `parseHostConfig` rejects a type or a value
//! (containerd, core/remotes/docker/config/hosts.go), and containerd uses the registry itself. If versions differ, a
//! file counts as ignored if any version in use ignores it.

use toml::de::{DeTable, DeValue};

use super::toml_file::{TomlFile, Value, field, get};

/// The cause and its line.
pub(super) struct Dropped {
    pub(super) why: String,
    pub(super) line: Option<usize>,
}

/// Why containerd ignores the file `content`, which parses as `file`.
pub(super) fn dropped(content: &str, file: &TomlFile<'_>) -> Option<Dropped> {
    let at = |value: &Value<'_>, why: String| Dropped { why, line: Some(file.line(value)) };
    if content.starts_with('\u{feff}') {
        return Some(Dropped {
            why: "the file begins with a byte order mark".to_owned(),
            line: Some(1),
        });
    }
    if file.root().is_empty() {
        return Some(Dropped { why: "the file is empty".to_owned(), line: None });
    }
    if let Some((line, what)) = file.newer_syntax() {
        let why = format!("containerd 1.6 does not support {what} (TOML 1.1)");
        return Some(Dropped { why, line: Some(line) });
    }
    if let Some(server) = field(file.root(), "server")
        && server.get_ref().as_str().is_none()
    {
        return Some(at(server, "`server` is not a string".to_owned()));
    }
    let host = get(file.root(), "host");
    if let Some(host) = host
        && host.get_ref().as_table().is_none()
    {
        return Some(at(host, "`host` is not a table".to_owned()));
    }
    let hosts = host.and_then(|host| host.get_ref().as_table());
    for (_, value) in hosts.into_iter().flat_map(|hosts| hosts.iter()) {
        match value.get_ref().as_table() {
            Some(table) => {
                if let Some((value, why)) = wrong_value(table) {
                    return Some(at(value, why));
                }
            }
            None => return Some(at(value, "an entry of `host` is not a table".to_owned())),
        }
    }
    wrong_value(file.root()).map(|(value, why)| at(value, why))
}

/// Returns whether a key may have this value.
type Holds = fn(&DeValue<'_>) -> bool;

/// The permitted values of each key in one table.
const KEYS: [(&str, Holds, &str); 7] = [
    ("capabilities", is_capabilities, "is not a list of `pull`, `resolve`, `push` and `referrers`"),
    ("ca", is_text_or_texts, "is not a string or a list of strings"),
    ("client", is_client, "is not a string, a list of strings or a list of pairs"),
    ("skip_verify", is_bool, "is not true or false"),
    ("override_path", is_bool, "is not true or false"),
    ("header", is_header, "is not a table of strings and lists of strings"),
    ("dial_timeout", is_duration, "is not a duration such as \"5s\""),
];

fn wrong_value<'t, 'a>(table: &'t DeTable<'a>) -> Option<(&'t Value<'a>, String)> {
    KEYS.iter().find_map(|(key, holds, why)| {
        let value = field(table, key)?;
        (!holds(value.get_ref())).then(|| (value, format!("`{key}` {why}")))
    })
}

fn is_bool(value: &DeValue<'_>) -> bool {
    value.as_bool().is_some()
}

fn is_text(value: &DeValue<'_>) -> bool {
    value.as_str().is_some()
}

fn all(value: &DeValue<'_>, holds: impl Fn(&DeValue<'_>) -> bool) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(|item| holds(item.get_ref())))
}

fn is_text_or_texts(value: &DeValue<'_>) -> bool {
    is_text(value) || all(value, is_text)
}

fn is_capabilities(value: &DeValue<'_>) -> bool {
    all(value, |item| {
        item.as_str().is_some_and(|name| {
            ["pull", "resolve", "push", "referrers"].contains(&&*name.to_ascii_lowercase())
        })
    })
}

fn is_client(value: &DeValue<'_>) -> bool {
    let is_pair =
        |item: &DeValue<'_>| all(item, is_text) && item.as_array().is_some_and(|i| i.len() == 2);
    is_text(value) || all(value, |item| is_text(item) || is_pair(item))
}

fn is_header(value: &DeValue<'_>) -> bool {
    value
        .as_table()
        .is_some_and(|table| table.iter().all(|(_, value)| is_text_or_texts(value.get_ref())))
}

/// A string that Go's `time.ParseDuration` accepts, or an empty one (no value).
fn is_duration(value: &DeValue<'_>) -> bool {
    let Some(text) = value.as_str() else { return false };
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if text.is_empty() || rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let digits = &rest[..rest.len() - number.len()];
        let is_number = digits.matches('.').count() <= 1 && digits.contains(|c: char| c != '.');
        // `ms` before `m`: the longest unit counts.
        let units = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
        let Some(after) = units.iter().find_map(|unit| number.strip_prefix(unit)) else {
            return false;
        };
        if !is_number {
            return false;
        }
        rest = after;
    }
    true
}
