//! The trust memory of a repository, for rollback protection: the trusted root, and the highest version of each role with
//! its hash and keys. A plain value; `state.rs` stores it.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::trust::refusal::{Reason, Refusal};

use super::chain::VerifiedChain;
use super::role::{Delegated, Role};
use super::schema::{Common, RoleKeys, Root};
use super::tuf_key::KeyId;

/// The memory of one GUN. Replaced as a whole after a complete update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The trusted root's file.
    pub(super) root: Vec<u8>,
    pub(super) roles: BTreeMap<Role, RoleRecord>,
    /// The delegations that a snapshot listed while `targets` delegated to them.
    pub(super) listed: BTreeSet<Delegated>,
    pub(super) confirmed: Confirmed,
}

/// What is known about the server's confirmation of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// Nothing proves one: the memory is from an archive without a proof of when its files were fetched.
    Never,
    /// The server last confirmed all this then, to this gate or to an exporter.
    At(Timestamp),
    /// The server's last answer was refused. Only another answer of the server changes this.
    Refused,
}

/// The last verified state of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoleRecord {
    pub(super) version: u64,
    /// The hash of the file. For a timestamp, of its statement, because a server signs the same statement again.
    pub(super) sha256: [u8; 32],
    pub(super) keys: BTreeSet<KeyId>,
    pub(super) threshold: u64,
}

impl Memory {
    /// The memory after `chain` was verified. The record of a delegation that was not needed this time is kept while the
    /// delegation is listed.
    pub(super) fn after(
        chain: &VerifiedChain,
        before: Option<&Self>,
        confirmed: Confirmed,
    ) -> Self {
        let mut roles = chain.roles.clone();
        for (role, record) in before.into_iter().flat_map(|before| &before.roles) {
            let Role::Delegation(name) = role else { continue };
            if chain.listed.contains(name) {
                roles.entry(role.clone()).or_insert_with(|| record.clone());
            }
        }
        let root = chain.root.bytes().to_vec();
        Self { root, roles, listed: chain.listed.clone(), confirmed }
    }

    /// The memory that still applies under a root that the remembered root did not sign. If the targets keys changed, the
    /// records of delegations no longer apply, because another signer delegated to them.
    pub(super) fn under(&self, root: &Root) -> Self {
        let mut memory = self.clone();
        let ids = root.targets.keys.iter().map(|(id, _)| *id).collect();
        if memory.roles.get(&Role::Targets).is_some_and(|record| record.lost_to(&ids)) {
            memory.roles.retain(|role, _| !matches!(role, Role::Delegation(_)));
            memory.listed.clear();
        }
        memory
    }

    /// Whether this memory must not replace `other`, which was remembered after this update began: `other` records newer
    /// versions, or that the server's answer was refused.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        let version = |memory: &Self| memory.roles.get(&Role::Root).map(|root| root.version);
        let mut roles = self.roles.iter().filter(|(role, _)| **role != Role::Root);
        (other.is_refused() && !self.is_refused())
            || version(self) < version(other)
            || roles.any(|(role, record)| record.follows(role, other.roles.get(role)).is_err())
    }

    /// When the Notary server last confirmed all this, as far as is proven. `None` if a later answer was refused.
    pub fn answered(&self) -> Option<Timestamp> {
        match self.confirmed {
            Confirmed::At(at) => Some(at),
            Confirmed::Never | Confirmed::Refused => None,
        }
    }

    /// Whether nothing proves that the server ever confirmed this: it is from an archive.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.confirmed == Confirmed::Never
    }

    /// Whether the server's last answer was refused.
    pub(super) fn is_refused(&self) -> bool {
        self.confirmed == Confirmed::Refused
    }
}

impl Confirmed {
    /// What is known after files from an archive were verified, which the server confirmed at `proven` if that is known.
    pub(super) fn by_archive(before: Option<&Memory>, proven: Option<Timestamp>) -> Self {
        match (before.map_or(Self::Never, |before| before.confirmed), proven) {
            (Self::Refused, _) => Self::Refused,
            (before, None) => before,
            (Self::Never, Some(at)) => Self::At(at),
            (Self::At(before), Some(at)) => Self::At(before.max(at)),
        }
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

    /// Whether at least a threshold of the recorded keys is no longer among `keys`.
    fn lost_to(&self, keys: &BTreeSet<KeyId>) -> bool {
        self.keys.difference(keys).count() as u64 >= self.threshold.max(1)
    }

    /// Refuses a rollback: `self` is older than `before`, or has the same version and other content.
    ///
    /// If a threshold of the earlier keys was removed, the earlier version does not count: with stolen keys an attacker
    /// could have signed the highest version and blocked every later one (TUF 5.3.11).
    pub(super) fn follows(&self, role: &Role, before: Option<&Self>) -> Result<(), Refusal> {
        let Some(before) = before else { return Ok(()) };
        if before.lost_to(&self.keys) {
            return Ok(());
        }
        if self.version < before.version {
            let because = format!(
                "{role} has version {}, but version {} was seen before",
                self.version, before.version
            );
            return Err(Refusal::new(Reason::Rollback, because));
        }
        if self.version == before.version && self.sha256 != before.sha256 {
            let because = format!("{role} version {} has other content than before", self.version);
            return Err(Refusal::new(Reason::Rollback, because));
        }
        Ok(())
    }
}
