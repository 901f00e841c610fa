//! What a repository's trust data was, so that it never goes back: the trusted root, and of each role
//! the highest version, its hash and its keys. A value; who keeps it on disk is `state.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::trust::refusal::{Reason, Refusal};

use super::chain::Whole;
use super::role::{Delegated, Role};
use super::schema::{Common, RoleKeys, Root};
use super::tuf_key::KeyId;

/// What is remembered of one GUN. Replaced as a whole, after a whole update succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The trusted root's file.
    pub(super) root: Vec<u8>,
    pub(super) roles: BTreeMap<Role, RoleRecord>,
    /// Delegations that a snapshot has listed while `targets` delegated to them.
    pub(super) listed: BTreeSet<Delegated>,
    /// When the Notary server last answered with all this; none if what it said since was refused.
    pub(super) answered: Option<Timestamp>,
}

/// What was seen of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoleRecord {
    pub(super) version: u64,
    /// Of the file; of a timestamp, of what it says, since a server signs the same anew.
    pub(super) sha256: [u8; 32],
    pub(super) keys: BTreeSet<KeyId>,
    pub(super) threshold: u64,
}

impl Memory {
    /// What to remember after `whole` was verified. What was seen of a delegation that was not needed
    /// this time is kept for as long as it is listed.
    pub(super) fn after(whole: &Whole, before: Option<&Self>, now: Timestamp) -> Self {
        let mut roles = whole.roles.clone();
        for (role, seen) in before.into_iter().flat_map(|before| &before.roles) {
            let Role::Delegation(name) = role else { continue };
            if whole.listed.contains(name) {
                roles.entry(role.clone()).or_insert_with(|| seen.clone());
            }
        }
        let root = whole.root.bytes().to_vec();
        Self { root, roles, listed: whole.listed.clone(), answered: Some(now) }
    }

    /// What still counts under a root that does not follow from the remembered one. Where its
    /// targets have other keys, what was seen of delegations was another's word.
    pub(super) fn under(&self, root: &Root) -> Self {
        let mut memory = self.clone();
        let ids = root.targets.keys.iter().map(|(id, _)| *id).collect();
        if memory.roles.get(&Role::Targets).is_some_and(|seen| seen.lost_to(&ids)) {
            memory.roles.retain(|role, _| !matches!(role, Role::Delegation(_)));
            memory.listed.clear();
        }
        memory
    }

    /// When the Notary server last answered with all this; none if what it said since was refused.
    pub fn answered(&self) -> Option<Timestamp> {
        self.answered
    }
}

impl RoleRecord {
    pub(super) fn new(common: Common, sha256: [u8; 32], keys: &RoleKeys) -> Self {
        Self {
            version: common.version,
            sha256,
            keys: keys.keys.iter().map(|(id, _)| *id).collect(),
            threshold: keys.threshold,
        }
    }

    /// Whether a threshold of these keys is not among `keys` any more.
    fn lost_to(&self, keys: &BTreeSet<KeyId>) -> bool {
        self.keys.difference(keys).count() as u64 >= self.threshold.max(1)
    }

    /// Refuses `self` where it is older than `before`, or the same version with other content.
    ///
    /// Whoever had a threshold of the earlier keys could have spent the versions; where that many of
    /// them were taken away, the earlier version says nothing any more (TUF 5.3.11).
    pub(super) fn follows(&self, role: &Role, before: Option<&Self>) -> Result<(), Refusal> {
        let Some(before) = before else { return Ok(()) };
        if before.lost_to(&self.keys) {
            return Ok(());
        }
        if self.version < before.version {
            let because = format!(
                "{role} is at version {}, but version {} was seen",
                self.version, before.version
            );
            return Err(Refusal::new(Reason::Rollback, because));
        }
        if self.version == before.version && self.sha256 != before.sha256 {
            let because =
                format!("{role} has other content than version {} had before", self.version);
            return Err(Refusal::new(Reason::Rollback, because));
        }
        Ok(())
    }
}
