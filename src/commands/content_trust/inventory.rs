//! The inventory of what Notary v1 signs: values for programs and people.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::clock::Timestamp;
use crate::oci::{Digest, Registry, Repository, RepositoryRef, Tag};

/// Everything that Notary v1 anchors sign in some repositories.
#[derive(Debug, Serialize)]
pub struct Inventory {
    pub repositories: Vec<ListedRepository>,
    /// Why repositories may be missing from the list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    pub totals: Totals,
}

/// What one anchor signs in one repository.
#[derive(Debug, Serialize)]
pub struct ListedRepository {
    #[serde(serialize_with = "shown")]
    pub registry: Registry,
    #[serde(serialize_with = "shown")]
    pub repository: Repository,
    pub anchor: String,
    /// The Notary server.
    pub server: String,
    pub status: RepositoryStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Why the list of signers is not complete, or why the trust data is not new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When the trust data was fetched and verified.
    #[serde(serialize_with = "shown_if_any", skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Timestamp>,
    /// The earliest expiry of the trust data.
    #[serde(serialize_with = "shown_if_any", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    pub tags: Vec<ListedTag>,
}

/// The answer of one anchor about one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryStatus {
    Signed,
    /// The Notary server has no trust data of it.
    Absent,
    /// The trust data does not verify.
    Refused,
    Undecided,
}

/// One signed tag.
#[derive(Debug, Serialize)]
pub struct ListedTag {
    #[serde(serialize_with = "shown")]
    pub tag: Tag,
    /// The signed digest; unknown if the entry of the tag does not verify.
    #[serde(serialize_with = "shown_if_any", skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    pub status: TagStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    pub signers: Vec<Signer>,
    pub other: OtherSignature,
}

/// Whether the signed digest of a tag verifies now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TagStatus {
    Verified,
    /// The upstream does not have the signed digest.
    Gone,
    /// A signer, the content or a rule contradicts.
    Refused,
    Undecided,
}

/// A role that signed a tag, and the ids of its keys.
#[derive(Debug, Serialize)]
pub struct Signer {
    pub role: String,
    pub keys: Vec<String>,
}

/// Whether other configured anchors endorse the same digest.
#[derive(Debug, Serialize)]
pub struct OtherSignature {
    pub status: OtherStatus,
    /// The anchors that endorse it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<String>,
    /// Why it is undecided, or why a signature beside the image does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Whether there is another signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherStatus {
    Signed,
    None,
    Undecided,
}

/// The number of digests of each kind. A digest with several tags in one repository counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// All except those that are gone or refused.
    pub digests: usize,
    /// Those that another anchor endorses, too.
    pub with_another_signature: usize,
    pub by_notaryv1_alone: usize,
    pub undecided: usize,
    /// The upstream no longer has them.
    pub gone: usize,
    pub refused: usize,
    /// Repositories whose trust data does not verify, and those that are undecided.
    pub refused_repositories: usize,
    pub undecided_repositories: usize,
}

/// What counts once in the totals: a digest of a repository. Without a digest, each tag counts for itself.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Counted<'a> {
    repository: RepositoryRef,
    digest: Option<&'a Digest>,
    tag: Option<&'a Tag>,
}

/// What is known about one digest. If its tags differ, the first of these counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Undecided,
    Alone,
    Covered,
    Gone,
    Refused,
}

impl Inventory {
    pub(super) fn of(repositories: Vec<ListedRepository>, unreadable: Vec<String>) -> Self {
        let mut totals = Totals::default();
        let mut digests: BTreeMap<Counted<'_>, Kind> = BTreeMap::new();
        for listed in &repositories {
            match listed.status {
                RepositoryStatus::Refused => totals.refused_repositories += 1,
                RepositoryStatus::Undecided => totals.undecided_repositories += 1,
                RepositoryStatus::Signed | RepositoryStatus::Absent => {}
            }
            for tag in &listed.tags {
                let digest = tag.digest.as_ref();
                let counted = Counted {
                    repository: RepositoryRef {
                        registry: listed.registry.clone(),
                        name: listed.repository.clone(),
                    },
                    digest,
                    tag: if digest.is_none() { Some(&tag.tag) } else { None },
                };
                let kind = tag.kind();
                digests.entry(counted).and_modify(|it| *it = kind.min(*it)).or_insert(kind);
            }
        }
        for kind in digests.into_values() {
            let count = match kind {
                Kind::Undecided => &mut totals.undecided,
                Kind::Alone => &mut totals.by_notaryv1_alone,
                Kind::Covered => &mut totals.with_another_signature,
                Kind::Gone => &mut totals.gone,
                Kind::Refused => &mut totals.refused,
            };
            *count += 1;
        }
        totals.digests =
            totals.undecided + totals.by_notaryv1_alone + totals.with_another_signature;
        Self { repositories, unreadable, totals }
    }

    /// Whether everything could be read and decided.
    pub fn is_complete(&self) -> bool {
        let Totals { undecided, undecided_repositories, .. } = self.totals;
        self.unreadable.is_empty() && undecided + undecided_repositories == 0
    }

    /// 0 if the list is complete; 4 if something could not be read or decided.
    pub fn exit_status(&self) -> u8 {
        if self.is_complete() { 0 } else { 4 }
    }
}

impl ListedTag {
    fn kind(&self) -> Kind {
        match (self.status, self.other.status) {
            (TagStatus::Gone, _) => Kind::Gone,
            (TagStatus::Refused, _) => Kind::Refused,
            (TagStatus::Undecided, _) | (TagStatus::Verified, OtherStatus::Undecided) => {
                Kind::Undecided
            }
            (TagStatus::Verified, OtherStatus::None) => Kind::Alone,
            (TagStatus::Verified, OtherStatus::Signed) => Kind::Covered,
        }
    }
}

impl RepositoryStatus {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Absent => "absent",
            Self::Refused => "refused",
            Self::Undecided => "undecided",
        }
    }
}

impl TagStatus {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Undecided => "undecided",
        }
    }
}

impl OtherStatus {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::None => "none",
            Self::Undecided => "undecided",
        }
    }
}

fn shown<T: fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn shown_if_any<T: fmt::Display, S: Serializer>(
    value: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}
