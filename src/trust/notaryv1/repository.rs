//! What a repository's verified trust data signs: which digest a tag stands for, and by which tags a
//! digest was signed. Look-ups take constant time, however many tags there are.

use std::collections::{BTreeMap, HashMap};

use crate::clock::Timestamp;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Digest, Tag};
use crate::trust::refusal::{Reason, Refusal};
use crate::trust::signer::SignerIds;

use super::chain::Whole;
use super::role::{Delegated, Role};
use super::schema::Entry;
use super::tuf_key::KeyId;

/// The signed names of one GUN. Made by a whole verified chain alone.
#[derive(Debug)]
pub struct SignedRepository {
    /// What docker would pull: `targets/releases` where it names the tag, else `targets`.
    tags: HashMap<Tag, (Role, Entry)>,
    digests: HashMap<Digest, Vec<Tag>>,
    /// The entries of each required signer whose role there is.
    signers: Vec<(Role, HashMap<Tag, Entry>)>,
    missing: Vec<Delegated>,
    /// The keys that signed each role.
    keys: BTreeMap<Role, SignerIds>,
    expires: Timestamp,
    summary: Vec<RoleSummary>,
    root_keys: Vec<KeyId>,
}

/// One role as it was verified, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSummary {
    pub role: Role,
    pub version: u64,
    pub keys: Vec<String>,
    pub threshold: u64,
}

/// What a tag stands for.
#[derive(Debug)]
pub struct Found<'a> {
    pub entry: &'a Entry,
    /// The roles that signed it.
    pub roles: Vec<&'a Role>,
    /// The keys of the required signers; where none is required, those of the role that gave it.
    pub signers: SignerIds,
}

impl SignedRepository {
    pub(super) fn new(whole: Whole, required: &[Delegated]) -> Self {
        let mut tags: HashMap<Tag, (Role, Entry)> = whole
            .targets
            .into_metadata()
            .tags
            .into_iter()
            .map(|(tag, entry)| (tag, (Role::Targets, entry)))
            .collect();
        let mut by_role: BTreeMap<Delegated, HashMap<Tag, Entry>> = whole
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
        let summary = whole
            .roles
            .into_iter()
            .map(|(role, seen)| RoleSummary {
                role,
                version: seen.version,
                keys: seen.keys.iter().map(ToString::to_string).collect(),
                threshold: seen.threshold,
            })
            .collect();
        let root = &whole.root.metadata().root.keys;
        let root_keys = root.iter().map(|(id, key)| key.canonical_id(*id)).collect();
        let (keys, expires) = (whole.signers, whole.expires);
        Self { tags, digests, signers, missing, keys, expires, summary, root_keys }
    }

    /// What `tag` stands for, if the roles that docker pulls from name it and each required signer
    /// has signed the same.
    pub fn tag(&self, tag: &Tag) -> Result<Found<'_>, Refusal> {
        let Some((role, entry)) = self.tags.get(tag) else {
            return Err(Refusal::new(Reason::TagNotSigned, format!("the tag {tag} is not signed")));
        };
        if entry.length == 0 || entry.length > MAX_MANIFEST as u64 {
            let because = format!("{role} gives {tag} a length of {} bytes", entry.length);
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
        // `targets/releases` is signed by whoever released last; a required signer signs alone.
        let who =
            if self.signers.is_empty() { &roles[..] } else { roles.get(1..).unwrap_or_default() };
        let keys = who.iter().filter_map(|role| self.keys.get(*role));
        let signers = keys.flatten().copied().collect();
        Ok(Found { entry, roles, signers })
    }

    /// The tags by which `digest` was signed, in their order.
    pub fn tags_of(&self, digest: &Digest) -> &[Tag] {
        self.digests.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Every signed digest, in no order.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.digests.keys()
    }

    pub fn len(&self) -> usize {
        self.tags.len()
    }

    #[cfg(any(test, feature = "test-support"))]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// About how many bytes this takes in memory.
    pub(super) fn weight(&self) -> usize {
        const ENTRY: usize = 320;
        let signed: usize = self.signers.iter().map(|(_, entries)| entries.len()).sum();
        (self.tags.len() + signed) * ENTRY
    }

    /// The earliest end of all that this rests on.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The root keys by their canonical ids, by which `root_keys` pins them for every repository.
    pub fn root_keys(&self) -> &[KeyId] {
        &self.root_keys
    }

    /// The roles as they were verified.
    pub fn roles(&self) -> &[RoleSummary] {
        &self.summary
    }
}
