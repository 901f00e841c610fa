//! The rules and roots of the exporter, as proposals for the receiver: `rules.toml` with the anchors and rules, and the
//! files with keys, certificates and trusted roots that the anchors name. Contains no secret: it names no password file, and
//! copies only the files that the keys in [`FILES`] name.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use toml::{Table, Value};

use crate::config::Config;
use crate::store::atomic;
use crate::trust::notaryv1::SOURCE_KEYS;

/// The longest file, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// Keys of an anchor that are about this side, besides [`SOURCE_KEYS`]: its timing, and its frozen archive.
const OWN: [&str; 5] = ["refresh", "max_stale", "frozen", "frozen_sha256", "until"];
/// Keys of an anchor whose values name files.
const FILES: [&str; 7] = [
    "root_keys",
    "keys",
    "trusted_root",
    "certificate_chain",
    "trust_store",
    "tsa",
    "trust_policy",
];

/// The proposed documents by title.
pub(super) fn of(config: &Config) -> Result<BTreeMap<String, Bytes>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", config.file.display());
    let text = atomic::read(&config.file, MAX_FILE).map_err(|error| failed(&error))?;
    // A configuration that was not read from a file proposes nothing.
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    let text = String::from_utf8(text).map_err(|error| failed(&error))?;
    let all: Table = text.parse().map_err(|error: toml::de::Error| failed(&error))?;
    let folder = config.file.parent().unwrap_or(Path::new(""));
    let mut documents = BTreeMap::new();
    let mut proposal = Table::new();
    let tables = |name: &str| match all.get(name) {
        Some(Value::Array(tables)) => tables.clone(),
        Some(_) | None => Vec::new(),
    };
    let mut anchors = Vec::new();
    for anchor in tables("anchor") {
        let Value::Table(anchor) = anchor else { continue };
        anchors.push(Value::Table(proposed(&anchor, folder, &mut documents)?));
    }
    proposal.insert("anchor".to_owned(), Value::Array(anchors));
    proposal.insert("rule".to_owned(), Value::Array(tables("rule")));
    let text = toml::to_string_pretty(&proposal).map_err(|error| failed(&error))?;
    documents.insert("rules.toml".to_owned(), Bytes::from(text));
    Ok(documents)
}

/// The anchor without the keys of this side. The files that it names become documents, which the proposal names instead.
fn proposed(
    anchor: &Table,
    folder: &Path,
    documents: &mut BTreeMap<String, Bytes>,
) -> Result<Table, String> {
    let text = |key: &str| anchor.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, scheme) = (text("name"), text("scheme"));
    let kind = match scheme.as_str() {
        "notaryv1" => "notaryv1-roots",
        "cosign" => "sigstore",
        _ => "notation",
    };
    let mut named = |key: &str, value: &str| -> Result<String, String> {
        let (prefix, path) = match value.split_once(':') {
            Some((kind, path)) if key == "trust_store" => (format!("{kind}:"), path),
            Some(_) | None => (String::new(), value),
        };
        let file = folder.join(path);
        // A key id is no file.
        let is_id = path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id {
            return Ok(value.to_owned());
        }
        let content = atomic::read(&file, MAX_FILE);
        let content = content.map_err(|error| format!("{}: {error}", file.display()))?;
        let content = content.ok_or_else(|| format!("{} does not exist", file.display()))?;
        let base: String = file
            .file_name()
            .map(|base| base.to_string_lossy().into_owned())
            .unwrap_or_default()
            .chars()
            .map(
                |c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' },
            )
            .collect();
        let base = base.trim_start_matches(['.', '-']).to_owned();
        let content = Bytes::from(content);
        let mut title = format!("{kind}/{name}/{base}");
        let mut number = 2;
        while documents.get(&title).is_some_and(|other| *other != content) {
            title = format!("{kind}/{name}/{number}-{base}");
            number += 1;
        }
        documents.insert(title.clone(), content);
        Ok(format!("{prefix}{title}"))
    };
    let mut proposal = Table::new();
    for (key, value) in anchor {
        if SOURCE_KEYS.contains(&key.as_str()) || OWN.contains(&key.as_str()) {
            continue;
        }
        let value = match FILES.contains(&key.as_str()) {
            true => renamed(value, &mut |text| named(key, text))?,
            false => value.clone(),
        };
        proposal.insert(key.clone(), value);
    }
    Ok(proposal)
}

/// The value with each text in it replaced.
fn renamed(
    value: &Value,
    named: &mut impl FnMut(&str) -> Result<String, String>,
) -> Result<Value, String> {
    if let Value::String(text) = value {
        return named(text).map(Value::String);
    }
    if let Value::Array(values) = value {
        let values = values.iter().map(|value| match value.as_str() {
            Some(text) => named(text).map(Value::String),
            None => Ok(value.clone()),
        });
        return Ok(Value::Array(values.collect::<Result<_, _>>()?));
    }
    Ok(value.clone())
}
