//! The signed tags of a repository, exactly as `docker trust inspect` of docker 20.10 prints them: the same table and
//! the same JSON (`cli/command/trust/inspect.go`, `inspect_pretty.go`), for scripts and for users of later versions of
//! docker.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::PrettyFormatter;

use crate::oci::{Digest, Tag};
use crate::trust::notaryv1::{Delegated, KeyId, Role, Survey};

/// docker's name of a signer that uses the repository's own key.
const REPOSITORY_ADMIN: &str = "Repo Admin";
/// The minimum width of a column, and the space between columns.
const LEAST_WIDTH: usize = 10;
const PADDING: usize = 3;
/// How many characters of a key id the table shows.
const SHOWN_ID: usize = 12;

/// The signed tags of one repository.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    name: String,
    signed_tags: Vec<Row>,
    signers: Vec<Holder>,
    administrative_keys: Vec<Holder>,
}

/// A released tag, and the signers of the same digest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    signed_tag: String,
    /// In hex, without its algorithm.
    digest: String,
    #[serde(serialize_with = "or_the_admin")]
    signers: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Holder {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    #[serde(rename = "ID")]
    id: String,
}

impl Inspected {
    /// The part of `survey` about `tag`, or all of it. `name` is the name that the user gave.
    pub fn new(name: &str, survey: &Survey, tag: Option<&Tag>) -> Self {
        let releases = Role::Delegation(Delegated::releases());
        let mut rows: BTreeMap<(&Tag, &Digest), Vec<String>> = BTreeMap::new();
        let signed = |role: &Role| role == &Role::Targets || *role == releases;
        let wanted = |of: &Tag| tag.is_none_or(|tag| tag == of);
        for (_, tags) in survey.signed.iter().filter(|(role, _)| signed(role)) {
            for entry in tags.iter().filter(|(of, _)| wanted(of)) {
                rows.entry(entry).or_default();
            }
        }
        for (role, tags) in survey.signed.iter().filter(|(role, _)| !signed(role)) {
            let Role::Delegation(signer) = role else { continue };
            for entry in tags {
                if let Some(signers) = rows.get_mut(&entry) {
                    signers.push(signer.signer().to_owned());
                }
            }
        }
        let mut signed_tags: Vec<Row> = rows
            .into_iter()
            .map(|((tag, digest), signers)| Row {
                signed_tag: tag.to_string(),
                digest: hex(digest),
                signers,
            })
            .collect();
        signed_tags.sort_by(|one, other| natural(&one.signed_tag, &other.signed_tag));
        let mut signers: Vec<Holder> = survey
            .delegations
            .iter()
            .filter(|(name, _)| *name != Delegated::releases())
            .map(|(name, keys)| Holder::new(name.signer(), keys))
            .collect();
        signers.sort_by(|one, other| other.name.cmp(&one.name));
        let administrative_keys =
            vec![Holder::new("Root", &survey.root), Holder::new("Repository", &survey.repository)];
        Self { name: name.to_owned(), signed_tags, signers, administrative_keys }
    }

    /// As `docker trust inspect` prints it.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let mut json = Vec::new();
        let format = PrettyFormatter::with_indent(b"    ");
        [self].serialize(&mut Serializer::with_formatter(&mut json, format))?;
        json.push(b'\n');
        Ok(String::from_utf8_lossy(&json).into_owned())
    }

    /// As `docker trust inspect --pretty` prints it.
    pub fn to_text(&self) -> String {
        let name = &self.name;
        let mut text = String::new();
        if self.signed_tags.is_empty() {
            text += &format!("\nNo signatures for {name}\n\n");
        } else {
            text += &format!("\nSignatures for {name}\n\n");
            let rows = self.signed_tags.iter().map(|row| {
                let mut signers = row.signers.clone();
                signers.sort();
                let signers = match signers.as_slice() {
                    [] => format!("({REPOSITORY_ADMIN})"),
                    some => some.join(", "),
                };
                [row.signed_tag.clone(), row.digest.clone(), signers]
            });
            let header = ["SIGNED TAG", "DIGEST", "SIGNERS"].map(str::to_owned);
            table(&mut text, &[header].into_iter().chain(rows).collect::<Vec<_>>());
        }
        if !self.signers.is_empty() {
            text += &format!("\nList of signers and their keys for {name}\n\n");
            let mut signers: Vec<&Holder> = self.signers.iter().collect();
            signers.sort_by(|one, other| natural(&one.name, &other.name));
            let rows = signers.iter().map(|signer| {
                let ids = signer.ids();
                let short = ids.iter().map(|id| id.get(..SHOWN_ID).unwrap_or(id));
                [signer.name.clone(), short.collect::<Vec<_>>().join(", ")]
            });
            let header = ["SIGNER", "KEYS"].map(str::to_owned);
            table(&mut text, &[header].into_iter().chain(rows).collect::<Vec<_>>());
        }
        text += &format!("\nAdministrative keys for {name}\n\n");
        let mut administrative: Vec<&Holder> = self.administrative_keys.iter().collect();
        administrative.sort_by(|one, other| one.name.cmp(&other.name));
        for holder in administrative {
            text += &format!("  {} Key:\t{}\n", holder.name, holder.ids().join(", "));
        }
        text
    }
}

impl Holder {
    fn new(name: &str, keys: &[KeyId]) -> Self {
        let keys = keys.iter().map(|id| Key { id: id.to_string() }).collect();
        Self { name: name.to_owned(), keys }
    }

    /// In their order.
    fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        ids.sort_unstable();
        ids
    }
}

fn or_the_admin<S: serde::Serializer>(signers: &[String], to: S) -> Result<S::Ok, S::Error> {
    match signers {
        [] => [REPOSITORY_ADMIN].serialize(to),
        some => some.serialize(to),
    }
}

fn hex(digest: &Digest) -> String {
    let text = digest.to_string();
    text.split_once(':').map_or(text.clone(), |(_, hex)| hex.to_owned())
}

/// Columns as Go's `text/tabwriter` sets them; the last has no width.
fn table<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count() + PADDING).max();
        widest.unwrap_or(0).max(LEAST_WIDTH)
    };
    let widths: Vec<usize> = (0..N.saturating_sub(1)).map(width).collect();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or(0);
            *text += &format!("{cell:<width$}");
        }
        text.push('\n');
    }
}

/// docker's order of names that contain numbers (`fvbommel/sortorder`): `v2` before `v10`.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        match (one, other) {
            ([], _) | (_, []) => return one.len().cmp(&other.len()),
            ([a, ..], [b, ..]) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let (zeros, digits, rest) = number(one);
                let (other_zeros, other_digits, other_rest) = number(other);
                let order = digits.len().cmp(&other_digits.len());
                let order = order.then_with(|| digits.cmp(other_digits));
                let order = order.then(zeros.cmp(&other_zeros));
                if order != Ordering::Equal {
                    return order;
                }
                (one, other) = (rest, other_rest);
            }
            ([a, ..], [b, ..]) if a.is_ascii_digit() != b.is_ascii_digit() => {
                return b.is_ascii_digit().cmp(&a.is_ascii_digit());
            }
            ([a, rest @ ..], [b, other_rest @ ..]) => {
                if a != b {
                    return a.cmp(b);
                }
                (one, other) = (rest, other_rest);
            }
        }
    }
}

/// How many zeros a text begins with, the number after them, and what is left.
fn number(text: &[u8]) -> (usize, &[u8], &[u8]) {
    let zeros = text.iter().take_while(|byte| **byte == b'0').count();
    let (_, text) = text.split_at(zeros);
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    (zeros, number, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_numbers_are_in_the_order_of_their_numbers() {
        let sorted = ["", "1", "01", "2", "10", "a", "a1", "a2", "a02", "a10", "a10b", "b"];
        for (at, one) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                assert_eq!(natural(one, other), at.cmp(&other_at), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell_and_never_narrow() {
        let mut text = String::new();
        let long = "x".repeat(30);
        table(&mut text, &[["A".to_owned(), "B".into()], [long.clone(), "y".into()]]);
        assert_eq!(text, format!("A{}B\n{long}   y\n", " ".repeat(32)));
        let mut text = String::new();
        table(&mut text, &[["A".to_owned(), "B".into()]]);
        assert_eq!(text, format!("A{}B\n", " ".repeat(9)));
    }
}
