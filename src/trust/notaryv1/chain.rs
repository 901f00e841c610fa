//! From a trusted root to what is signed, one link after the other: timestamp, snapshot, targets,
//! delegations. The order is in the types, so no link can be left out. Pure: bytes, memory and `now`
//! in, a value out.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp as Instant;
use crate::trust::refusal::{Reason, Refusal};

use super::memory::{Memory, Seen};
use super::role::{Delegated, File, Role};
use super::root_of_trust::TrustedRoot;
use super::schema::{Delegation, Meta, Metadata, RoleKeys, Snapshot, Targets, Timestamp};
use super::signed::Signed;

/// The links that hold, and what comes next.
pub(super) struct Chain<'a, Next> {
    root: TrustedRoot,
    before: Option<&'a Memory>,
    now: Instant,
    /// The earliest end of the links so far.
    expires: Instant,
    seen: BTreeMap<Role, Seen>,
    next: Next,
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
    pub(super) listed: BTreeSet<Delegated>,
}

impl<'a> Chain<'a, WantsTimestamp> {
    pub(super) fn begin(root: TrustedRoot, before: Option<&'a Memory>, now: Instant) -> Self {
        let expires = root.expires();
        let sha256 = Sha256::digest(root.bytes()).into();
        let seen = Seen::new(root.metadata().common(), sha256, &root.metadata().root);
        Self {
            root,
            before,
            now,
            expires,
            seen: BTreeMap::from([(Role::Root, seen)]),
            next: WantsTimestamp,
        }
    }

    /// `timestamp`: not older than the last (rollback), not expired (freeze).
    pub(super) fn timestamp(self, bytes: &[u8]) -> Result<Chain<'a, WantsSnapshot>, Refusal> {
        let keys = self.root.metadata().timestamp.clone();
        let (timestamp, expires) = self.verify::<Timestamp>(Role::Timestamp, &keys, bytes, None)?;
        let seen = Seen::new(timestamp.common, timestamp.snapshot.identity(), &keys);
        self.link(Role::Timestamp, seen, expires, WantsSnapshot { snapshot: timestamp.snapshot })
    }
}

impl<'a> Chain<'a, WantsSnapshot> {
    /// The file that [`Chain::snapshot`] takes.
    pub(super) fn wants(&self) -> File {
        content(Role::Snapshot, &self.next.snapshot)
    }

    /// `snapshot`: what the timestamp names, naming the root that is trusted.
    pub(super) fn snapshot(self, bytes: &[u8]) -> Result<Chain<'a, WantsTargets>, Refusal> {
        let keys = self.root.metadata().snapshot.clone();
        let meta = &self.next.snapshot;
        let (snapshot, expires) =
            self.verify::<Snapshot>(Role::Snapshot, &keys, bytes, Some(meta))?;
        snapshot.root.matches(&Role::Root, self.root.bytes())?;
        let seen = Seen::new(snapshot.common, Sha256::digest(bytes).into(), &keys);
        let next = WantsTargets { targets: snapshot.targets, listed: snapshot.delegations };
        self.link(Role::Snapshot, seen, expires, next)
    }
}

impl<'a> Chain<'a, WantsTargets> {
    /// The file that [`Chain::targets`] takes.
    pub(super) fn wants(&self) -> File {
        content(Role::Targets, &self.next.targets)
    }

    /// `targets`: what the snapshot names. Of its delegations, `releases` and `signers` are wanted.
    pub(super) fn targets(
        mut self,
        bytes: &[u8],
        signers: &[Delegated],
    ) -> Result<Chain<'a, WantsDelegations>, Refusal> {
        let keys = self.root.metadata().targets.clone();
        let meta = &self.next.targets;
        let (mut targets, expires) =
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
                if self.before.is_some_and(|before| before.listed.contains(name)) {
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
        self.link(Role::Targets, seen, expires, next)
    }
}

impl<'a> Chain<'a, WantsDelegations> {
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
        let (signed, expires) =
            self.verify::<Targets>(role.clone(), &delegation.keys, bytes, Some(&meta))?;
        let seen = Seen::new(signed.common, Sha256::digest(bytes).into(), &delegation.keys);
        self.next.signed.insert(delegation.name.clone(), (delegation, signed));
        let Self { root, before, now, expires: earlier, seen: roles, next } = self;
        let links = Chain { root, before, now, expires: earlier, seen: roles, next: () };
        Ok(links.link(role, seen, expires, ())?.with(next))
    }

    /// The whole chain, once nothing is wanted any more.
    pub(super) fn finish(self) -> Whole {
        Whole {
            root: self.root,
            targets: self.next.targets,
            delegations: self.next.signed,
            expires: self.expires,
            roles: self.seen,
            listed: self.next.listed,
        }
    }
}

impl<'a, Next> Chain<'a, Next> {
    /// One role's metadata and its end: as its parent says, signed, and in force now.
    fn verify<T: Metadata>(
        &self,
        role: Role,
        keys: &RoleKeys,
        bytes: &[u8],
        meta: Option<&Meta>,
    ) -> Result<(T, Instant), Refusal> {
        if let Some(meta) = meta {
            meta.matches(&role, bytes)?;
        }
        let verified = Signed::parse(role, bytes)?.verify::<T>(keys)?.unexpired(self.now)?;
        let expires = verified.common().expires;
        Ok((verified.into_metadata(), expires))
    }

    /// Adds a verified role to the links, if it does not go back behind what was seen of it.
    fn link<After>(
        mut self,
        role: Role,
        seen: Seen,
        expires: Instant,
        next: After,
    ) -> Result<Chain<'a, After>, Refusal> {
        seen.follows(&role, self.before.and_then(|before| before.roles.get(&role)))?;
        self.seen.insert(role, seen);
        Ok(Chain { expires: self.expires.min(expires), ..self.with(next) })
    }

    fn with<After>(self, next: After) -> Chain<'a, After> {
        let Self { root, before, now, expires, seen, next: _ } = self;
        Chain { root, before, now, expires, seen, next }
    }
}

fn content(role: Role, meta: &Meta) -> File {
    File::Content { role, sha256: meta.sha256, length: meta.length }
}
