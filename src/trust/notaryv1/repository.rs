//! The names that a repository's verified trust data signs: the digest of a tag, and the tags of a digest. Lookups take
//! constant time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Digest, Tag};
use crate::trust::endorsement::{Origin, TrustFile};
use crate::trust::refusal::{Reason, Refusal};
use crate::trust::signer::SignerIds;

use super::captured_at::{CapturedAt, Witness};
use super::chain::VerifiedChain;
use super::frozen::LEARNS_NOTHING;
use super::role::{Delegated, Role};
use super::schema::Entry;
use super::tuf_key::KeyId;

/// The signed names of one GUN. Built only from a verified chain.
#[derive(Debug)]
pub struct SignedRepository {
    /// As docker resolves them: from `targets/releases` if that names the tag, otherwise from `targets`.
    tags: HashMap<Tag, (Role, Entry)>,
    digests: HashMap<Digest, Vec<Tag>>,
    /// The entries of each required signer whose role exists.
    signers: Vec<(Role, HashMap<Tag, Entry>)>,
    missing: Vec<Delegated>,
    /// The keys that signed each role.
    keys: BTreeMap<Role, SignerIds>,
    expires: Timestamp,
    captured: Option<CapturedAt>,
    renew_by: Timestamp,
    files: Arc<[TrustFile]>,
    summary: Vec<RoleSummary>,
    root_keys: Vec<KeyId>,
}

/// A verified role, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSummary {
    pub role: Role,
    pub version: u64,
    pub keys: Vec<String>,
    pub threshold: u64,
}

/// The signed entry of a tag.
#[derive(Debug)]
pub struct Found<'a> {
    pub entry: &'a Entry,
    /// The roles that signed it.
    pub roles: Vec<&'a Role>,
    /// The keys of the required signers. If none is required, the keys of the role that names the tag.
    pub signers: SignerIds,
}

impl SignedRepository {
    pub(super) fn new(chain: VerifiedChain, required: &[Delegated]) -> Self {
        let mut tags: HashMap<Tag, (Role, Entry)> = chain
            .targets
            .into_metadata()
            .tags
            .into_iter()
            .map(|(tag, entry)| (tag, (Role::Targets, entry)))
            .collect();
        let mut by_role: BTreeMap<Delegated, HashMap<Tag, Entry>> = chain
            .delegations
            .into_iter()
            .map(|(name, (delegation, signed))| {
                let mut signed = signed.into_metadata();
                signed.tags.retain(|tag, _| delegation.covers(tag));
                (name, signed.tags)
            })
            .collect();
        if let Some(releases) = by_role.get(&Delegated::releases()) {
            let role = Role::Delegation(Delegated::releases());
            for (tag, entry) in releases {
                tags.insert(tag.clone(), (role.clone(), entry.clone()));
            }
        }
        let mut signers = Vec::new();
        let mut missing = Vec::new();
        for name in required {
            match by_role.remove(name) {
                Some(entries) => signers.push((Role::Delegation(name.clone()), entries)),
                None => missing.push(name.clone()),
            }
        }
        let mut digests: HashMap<Digest, Vec<Tag>> = HashMap::new();
        for (tag, (_, entry)) in &tags {
            digests.entry(entry.digest).or_default().push(tag.clone());
        }
        for tags in digests.values_mut() {
            tags.sort_unstable();
        }
        // The record of a timestamp has the hash of its statement, not of the file.
        let lasting = chain.roles.iter().filter(|(role, _)| **role != Role::Timestamp);
        let files = lasting.map(|(role, record)| TrustFile {
            name: format!("{role}.json"),
            digest: Digest::from_sha256(record.sha256),
        });
        let files = files.collect();
        let summary = chain
            .roles
            .into_iter()
            .map(|(role, record)| RoleSummary {
                role,
                version: record.version,
                keys: record.keys.iter().map(ToString::to_string).collect(),
                threshold: record.threshold,
            })
            .collect();
        let root = &chain.root.metadata().root.keys;
        let root_keys = root.iter().map(|(id, key)| key.canonical_id(*id)).collect();
        let (keys, captured) = (chain.signers, chain.captured);
        let (expires, renew_by) = (chain.expires, chain.renew_by);
        Self {
            tags,
            digests,
            signers,
            missing,
            keys,
            expires,
            captured,
            renew_by,
            files,
            summary,
            root_keys,
        }
    }

    /// The entry of `tag`, if the roles that docker uses name it and each required signer has signed the same digest.
    pub fn tag(&self, tag: &Tag) -> Result<Found<'_>, Refusal> {
        let Some((role, entry)) = self.tags.get(tag) else {
            let because = match &self.captured {
                None => format!("the tag {tag} is not signed"),
                Some(captured) => match captured.witness() {
                    Witness::Exporter { .. } => format!(
                        "the tag {tag} is not signed in the trust data that was captured at {:#}",
                        captured.at()
                    ),
                    Witness::Frozen => format!(
                        "the archive does not contain the tag {tag}; it is frozen since {:#}, and {LEARNS_NOTHING}",
                        captured.at()
                    ),
                },
            };
            return Err(Refusal::new(Reason::TagNotSigned, because));
        };
        if entry.length == 0 || entry.length > MAX_MANIFEST as u64 {
            let because = format!("{role} lists {tag} with a length of {} bytes", entry.length);
            return Err(Refusal::new(Reason::Malformed, because));
        }
        let mut roles = vec![role];
        if let Some(name) = self.missing.first() {
            let because = format!("{} has signed nothing in this repository", name.as_str());
            return Err(Refusal::new(Reason::SignerMissing, because));
        }
        for (signer, entries) in &self.signers {
            match entries.get(tag) {
                None => {
                    let because = format!("{signer} has not signed {tag}");
                    return Err(Refusal::new(Reason::SignerMissing, because));
                }
                Some(other) if other.digest != entry.digest || other.length != entry.length => {
                    let because = format!(
                        "{role} signed {tag} as {}, {signer} as {}",
                        entry.digest, other.digest
                    );
                    return Err(Refusal::new(Reason::SignersDisagree, because));
                }
                Some(_) => roles.push(signer),
            }
        }
        // `targets/releases` is signed by the last person who released. A required signer has its own role.
        let who =
            if self.signers.is_empty() { &roles[..] } else { roles.get(1..).unwrap_or_default() };
        let keys = who.iter().filter_map(|role| self.keys.get(*role));
        let signers = keys.flatten().copied().collect();
        Ok(Found { entry, roles, signers })
    }

    /// The tags under which `digest` was signed, sorted.
    pub fn tags_of(&self, digest: &Digest) -> &[Tag] {
        self.digests.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Every signed tag, sorted.
    pub fn tags(&self) -> Vec<&Tag> {
        let mut tags: Vec<&Tag> = self.tags.keys().collect();
        tags.sort_unstable();
        tags
    }

    /// Every signed digest, unordered.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.digests.keys()
    }

    pub fn len(&self) -> usize {
        self.tags.len()
    }

    #[cfg(feature = "test-support")]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Its approximate size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        const ENTRY: usize = 320;
        let signed: usize = self.signers.iter().map(|(_, entries)| entries.len()).sum();
        (self.tags.len() + signed) * ENTRY
    }

    /// The earliest expiry of the metadata that it was built from.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The proof of when the metadata was fetched, if that replaces the expiry of the timestamp.
    pub fn captured(&self) -> Option<&CapturedAt> {
        self.captured.as_ref()
    }

    pub(in crate::trust) fn origin(&self) -> Origin {
        let frozen_until = self.captured.as_ref().and_then(CapturedAt::frozen_until);
        frozen_until.map_or(Origin::Published, |until| Origin::Frozen { until })
    }

    /// The earliest expiry that only a person can extend: that of the root, of targets or of a delegation.
    pub fn renew_by(&self) -> Timestamp {
        self.renew_by
    }

    /// The metadata that it was built from, without the timestamp.
    pub fn files(&self) -> &Arc<[TrustFile]> {
        &self.files
    }

    /// The canonical ids of the root keys. In `root_keys`, they pin a key for every repository.
    pub fn root_keys(&self) -> &[KeyId] {
        &self.root_keys
    }

    /// The verified roles.
    pub fn roles(&self) -> &[RoleSummary] {
        &self.summary
    }
}
