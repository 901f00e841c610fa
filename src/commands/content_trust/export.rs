//! A script or a list of the digests that verify, to sign them with another scheme. Contains digests only: a tag may
//! move between the export and the signature.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::inventory::{Inventory, ListedRepository, RepositoryStatus, TagStatus};
use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::text::shown;

/// The most characters of a comment in a script.
const MAX_COMMENT: usize = 500;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A script that calls cosign.
    Cosign,
    /// A script that calls notation.
    Notation,
    /// One `repository@digest` in each line.
    List,
}

/// The digests that verify, in the requested format.
#[derive(Debug)]
pub struct Exported {
    pub text: String,
    /// How many digests the text contains.
    pub digests: usize,
    /// The tags and repositories that the text leaves out, each with the reason.
    pub left_out: Vec<String>,
    /// Whether some of that was refused, and whether some of it is undecided.
    refused: bool,
    undecided: bool,
}

impl Exported {
    /// 0 if everything that is signed and still in the registry verifies; 3 if something was refused, or nothing
    /// verifies; 4 if something could not be read or decided.
    pub fn exit_status(&self) -> u8 {
        match (self.undecided, self.refused || self.digests == 0) {
            (true, _) => 4,
            (false, true) => 3,
            (false, false) => 0,
        }
    }
}

/// Exports the digests of `inventory` that verify with trust data that was fetched at most `max_age` before `now`.
pub fn export(
    inventory: &Inventory,
    format: Format,
    max_age: Duration,
    now: Timestamp,
) -> Exported {
    let mut digests: BTreeMap<(String, Digest), BTreeSet<&str>> = BTreeMap::new();
    let mut exported = Exported {
        text: String::new(),
        digests: 0,
        left_out: inventory.unreadable.clone(),
        refused: false,
        undecided: !inventory.unreadable.is_empty(),
    };
    for repository in &inventory.repositories {
        let name = format!("{}/{}", repository.registry, repository.repository);
        if let Some(why) = exported.leaves(repository, max_age, now) {
            exported.left_out.push(format!("{name} [{}]: {why}", repository.anchor));
            continue;
        }
        for tag in &repository.tags {
            let why = tag.because.as_deref().unwrap_or_default();
            match (tag.status, tag.digest) {
                (TagStatus::Verified, Some(digest)) => {
                    let tags = digests.entry((name.clone(), digest)).or_default();
                    tags.insert(tag.tag.as_str());
                    continue;
                }
                (TagStatus::Gone, _) => {}
                (TagStatus::Verified | TagStatus::Refused, _) => exported.refused = true,
                (TagStatus::Undecided, _) => exported.undecided = true,
            }
            let status = tag.status.as_str();
            exported.left_out.push(format!("{name}:{}: {status}: {why}", tag.tag));
        }
    }
    exported.digests = digests.len();
    exported.text = match format {
        Format::Cosign => script("cosign", &digests, &exported.left_out, now),
        Format::Notation => script("notation", &digests, &exported.left_out, now),
        Format::List => digests.keys().map(|(name, digest)| format!("{name}@{digest}\n")).collect(),
    };
    exported
}

impl Exported {
    /// Why nothing of `repository` is exported; `None` if its trust data verifies and is new enough.
    fn leaves(
        &mut self,
        repository: &ListedRepository,
        max_age: Duration,
        now: Timestamp,
    ) -> Option<String> {
        let because = repository.because.as_deref().unwrap_or_default();
        match repository.status {
            RepositoryStatus::Absent => return Some(format!("not signed: {because}")),
            RepositoryStatus::Refused => {
                self.refused = true;
                return Some(format!("refused: {because}"));
            }
            RepositoryStatus::Undecided => {
                self.undecided = true;
                return Some(format!("undecided: {because}"));
            }
            RepositoryStatus::Signed => {}
        }
        let fetched = repository.fetched.filter(|fetched| *fetched <= now);
        match fetched {
            Some(fetched) if now.since(fetched) <= max_age => None,
            Some(fetched) => {
                self.undecided = true;
                Some(format!(
                    "undecided: its trust data was fetched at {fetched}, before `--max-age`"
                ))
            }
            None => {
                self.undecided = true;
                Some("undecided: it is unknown when its trust data was fetched".to_owned())
            }
        }
    }
}

/// A script for `sh` that passes its own arguments to each call of `program`.
fn script(
    program: &str,
    digests: &BTreeMap<(String, Digest), BTreeSet<&str>>,
    left_out: &[String],
    now: Timestamp,
) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = write!(
        text,
        "#!/bin/sh\n\
         # Signs {} digests that Notary v1 signed, with {program}. Written by `countersign trust export` at {now}.\n\
         # Review this script, then run it with the options of `{program} sign`, such as --key.\n\
         set -eu\n",
        digests.len(),
    );
    for why in left_out {
        let _ = writeln!(text, "# LEFT OUT: {}", shown(why, MAX_COMMENT));
    }
    for ((name, digest), tags) in digests {
        let tags = tags.iter().copied().collect::<Vec<_>>().join(" ");
        let image = quoted(&format!("{name}@{digest}"));
        let _ = writeln!(text, "{program} sign \"$@\" {image}  # {}", shown(&tags, MAX_COMMENT));
    }
    text
}

/// One word for `sh`.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_whatever_it_contains() {
        assert_eq!(quoted("a b;$(c)`d`\n"), "'a b;$(c)`d`\n'");
        assert_eq!(quoted("a'; rm -rf '"), "'a'\\''; rm -rf '\\'''");
    }

    #[test]
    fn a_reason_from_a_server_stays_in_its_comment() {
        let left_out = ["r.example/a: undecided: x\nrm -rf /\r\u{2028}".to_owned()];
        let text = script("cosign", &BTreeMap::new(), &left_out, Timestamp::from_unix(0));
        assert!(text.lines().all(|line| line == "set -eu" || line.starts_with('#')), "{text}");
        assert!(!text.contains('\r'), "{text}");
    }
}
