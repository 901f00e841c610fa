//! From a trusted root to what is signed, one link after the other: timestamp, snapshot, targets,
//! delegations. The order is in the types, so no link can be left out. Pure: bytes, memory and `now`
//! in, a value out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp as Instant;
use crate::trust::refusal::{Reason, Refusal, Restriction};
use crate::trust::restrictions::days;
use crate::trust::signer::SignerIds;

use super::memory::{Memory, Seen};
use super::role::{Delegated, File, Role};
use super::root_of_trust::{Terms, TrustedRoot};
use super::schema::{Delegation, Meta, Metadata, RoleKeys, Snapshot, Targets, Timestamp};
use super::signed::{Signed, Verified};

/// The links that hold, and what comes next.
pub(super) struct Chain<Next> {
    root: TrustedRoot,
    terms: Arc<Terms>,
    before: Option<Arc<Memory>>,
    now: Instant,
    /// The earliest end of the links so far.
    expires: Instant,
    seen: BTreeMap<Role, Seen>,
    signers: BTreeMap<Role, SignerIds>,
    next: Next,
}

/// What a verified role proves: until when, and by which keys.
struct Proof {
    expires: Instant,
    signers: SignerIds,
}

pub(super) struct WantsTimestamp;

pub(super) struct WantsSnapshot {
    snapshot: Meta,
}

pub(super) struct WantsTargets {
    targets: Meta,
    listed: BTreeMap<Delegated, Meta>,
}

pub(super) struct WantsDelegations {
    targets: Targets,
    /// Still to come: delegated by `targets` and listed by the snapshot.
    wanted: Vec<(Delegation, Meta)>,
    signed: BTreeMap<Delegated, (Delegation, Targets)>,
    listed: BTreeSet<Delegated>,
}

/// All links hold: what each role signs.
pub(super) struct Whole {
    pub(super) root: TrustedRoot,
    pub(super) targets: Targets,
    pub(super) delegations: BTreeMap<Delegated, (Delegation, Targets)>,
    pub(super) expires: Instant,
    pub(super) roles: BTreeMap<Role, Seen>,
    /// The keys that signed each role below the root.
    pub(super) signers: BTreeMap<Role, SignerIds>,
    pub(super) listed: BTreeSet<Delegated>,
}

impl Chain<WantsTimestamp> {
    pub(super) fn begin(
        root: TrustedRoot,
        terms: Arc<Terms>,
        before: Option<Arc<Memory>>,
        now: Instant,
    ) -> Self {
        let expires = root.expires();
        let sha256 = Sha256::digest(root.bytes()).into();
        let seen = Seen::new(root.metadata().common(), sha256, &root.metadata().root);
        Self {
            root,
            terms,
            before,
            now,
            expires,
            seen: BTreeMap::from([(Role::Root, seen)]),
            signers: BTreeMap::new(),
            next: WantsTimestamp,
        }
    }

    /// `timestamp`: not older than the last (rollback), not expired (freeze), and not in force for longer
    /// than the terms allow (a freeze with a stolen key).
    pub(super) fn timestamp(self, bytes: &[u8]) -> Result<Chain<WantsSnapshot>, Refusal> {
        let keys = self.root.metadata().timestamp.clone();
        let (timestamp, proof) = self.verify::<Timestamp>(Role::Timestamp, &keys, bytes, None)?;
        let most = self.terms.max_timestamp_life;
        // A stolen server key could sign a timestamp without end, and freeze the repository with it.
        if proof.expires > self.now.plus(most) {
            let because = format!(
                "timestamp expires at {}, which is more than {} from now (`max_timestamp_life`)",
                proof.expires,
                days(most)
            );
            let refusal = Refusal::new(Reason::Expired, because);
            return Err(refusal.by(Restriction::MaxTimestampLife));
        }
        let seen = Seen::new(timestamp.common, timestamp.snapshot.identity(), &keys);
        self.link(Role::Timestamp, seen, proof, WantsSnapshot { snapshot: timestamp.snapshot })
    }
}

impl Chain<WantsSnapshot> {
    /// The file that [`Chain::snapshot`] takes.
    pub(super) fn wants(&self) -> File {
        content(Role::Snapshot, &self.next.snapshot)
    }

    /// `snapshot`: what the timestamp names, naming the root that is trusted.
    pub(super) fn snapshot(self, bytes: &[u8]) -> Result<Chain<WantsTargets>, Refusal> {
        let keys = self.root.metadata().snapshot.clone();
        let meta = &self.next.snapshot;
        let (snapshot, proof) =
            self.verify::<Snapshot>(Role::Snapshot, &keys, bytes, Some(meta))?;
        snapshot.root.matches(&Role::Root, self.root.bytes())?;
        let seen = Seen::new(snapshot.common, Sha256::digest(bytes).into(), &keys);
        let next = WantsTargets { targets: snapshot.targets, listed: snapshot.delegations };
        self.link(Role::Snapshot, seen, proof, next)
    }
}

impl Chain<WantsTargets> {
    /// The file that [`Chain::targets`] takes.
    pub(super) fn wants(&self) -> File {
        content(Role::Targets, &self.next.targets)
    }

    /// `targets`: what the snapshot names. Of its delegations, `releases` and `signers` are wanted.
    pub(super) fn targets(
        mut self,
        bytes: &[u8],
        signers: &[Delegated],
    ) -> Result<Chain<WantsDelegations>, Refusal> {
        let keys = self.root.metadata().targets.clone();
        let meta = &self.next.targets;
        let (mut targets, proof) =
            self.verify::<Targets>(Role::Targets, &keys, bytes, Some(meta))?;
        let seen = Seen::new(targets.common, Sha256::digest(bytes).into(), &keys);
        let delegations = std::mem::take(&mut targets.delegations);
        let mut listed = std::mem::take(&mut self.next.listed);
        let mut all = BTreeSet::new();
        let mut wanted = Vec::new();
        for delegation in delegations {
            // Where nobody may sign for it, nobody does. That is the word of `targets`, which no
            // server can make up.
            if delegation.keys.keys.is_empty() {
                continue;
            }
            let name = &delegation.name;
            let Some(meta) = listed.remove(name) else {
                if self.before.as_ref().is_some_and(|before| before.listed.contains(name)) {
                    let because = format!(
                        "the snapshot no longer lists {}, to which targets still delegates",
                        name.as_str()
                    );
                    return Err(Refusal::new(Reason::TrustRemoved, because));
                }
                continue;
            };
            all.insert(name.clone());
            if *name == Delegated::releases() || signers.contains(name) {
                wanted.push((delegation, meta));
            }
        }
        let next = WantsDelegations { targets, wanted, signed: BTreeMap::new(), listed: all };
        self.link(Role::Targets, seen, proof, next)
    }
}

impl Chain<WantsDelegations> {
    /// The next file that [`Chain::delegation`] takes, if there is one.
    pub(super) fn wants(&self) -> Option<File> {
        let (delegation, meta) = self.next.wanted.last()?;
        Some(content(Role::Delegation(delegation.name.clone()), meta))
    }

    /// A delegation that `targets` delegates to and the snapshot names. One that is no good is
    /// refused: what it would have taken precedence over is never used in its place.
    pub(super) fn delegation(mut self, bytes: &[u8]) -> Result<Self, Refusal> {
        let Some((delegation, meta)) = self.next.wanted.pop() else { return Ok(self) };
        let role = Role::Delegation(delegation.name.clone());
        let (signed, proof) =
            self.verify::<Targets>(role.clone(), &delegation.keys, bytes, Some(&meta))?;
        let seen = Seen::new(signed.common, Sha256::digest(bytes).into(), &delegation.keys);
        self.next.signed.insert(delegation.name.clone(), (delegation, signed));
        let Self { root, terms, before, now, expires, seen: roles, signers, next } = self;
        let links = Chain { root, terms, before, now, expires, seen: roles, signers, next: () };
        Ok(links.link(role, seen, proof, ())?.with(next))
    }

    /// The whole chain, once nothing is wanted any more.
    pub(super) fn finish(self) -> Whole {
        Whole {
            root: self.root,
            targets: self.next.targets,
            delegations: self.next.signed,
            expires: self.expires,
            roles: self.seen,
            signers: self.signers,
            listed: self.next.listed,
        }
    }
}

impl<Next> Chain<Next> {
    /// One role's metadata and what it proves: as its parent says, signed, and in force now.
    fn verify<T: Metadata>(
        &self,
        role: Role,
        keys: &RoleKeys,
        bytes: &[u8],
        meta: Option<&Meta>,
    ) -> Result<(T, Proof), Refusal> {
        if let Some(meta) = meta {
            meta.matches(&role, bytes)?;
        }
        let verified = self.signed::<T>(role, keys, bytes)?.unexpired(self.now)?;
        let expires = verified.common().expires;
        let signers = verified.signers().clone();
        Ok((verified.into_metadata(), Proof { expires, signers }))
    }

    /// One role's metadata, signed by keys that are not revoked.
    fn signed<T: Metadata>(
        &self,
        role: Role,
        keys: &RoleKeys,
        bytes: &[u8],
    ) -> Result<Verified<T>, Refusal> {
        let signed = Signed::parse(role, bytes)?;
        let (revoked, left): (Vec<_>, Vec<_>) = keys
            .keys
            .iter()
            .cloned()
            .partition(|(id, key)| key.revoked(*id, &self.terms.revoked).is_some());
        if revoked.is_empty() {
            return signed.verify(keys);
        }
        let left = RoleKeys { keys: left, threshold: keys.threshold };
        signed.verify(&left).map_err(|refusal| {
            let ids: Vec<String> = revoked.iter().map(|(id, _)| id.to_string()).collect();
            let because = format!("{refusal}; the anchor revokes its key {}", ids.join(", "));
            Refusal::new(refusal.reason, because).by(Restriction::Revoked)
        })
    }

    /// Adds a verified role to the links, if it does not go back behind what was seen of it.
    fn link<After>(
        mut self,
        role: Role,
        seen: Seen,
        proof: Proof,
        next: After,
    ) -> Result<Chain<After>, Refusal> {
        let before = self.before.as_ref().and_then(|before| before.roles.get(&role));
        seen.follows(&role, before)?;
        self.seen.insert(role.clone(), seen);
        self.signers.insert(role, proof.signers);
        Ok(Chain { expires: self.expires.min(proof.expires), ..self.with(next) })
    }

    fn with<After>(self, next: After) -> Chain<After> {
        let Self { root, terms, before, now, expires, seen, signers, next: _ } = self;
        Chain { root, terms, before, now, expires, seen, signers, next }
    }
}

fn content(role: Role, meta: &Meta) -> File {
    File::Content { role, sha256: meta.sha256, length: meta.length }
}
