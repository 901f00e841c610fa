//! Verifies the roles below a trusted root in their order: timestamp, snapshot, targets, delegations. The types enforce
//! the order, so that no role can be skipped. Each step holds [`Verified`] metadata, so that no role can be read before its
//! signatures are verified. Pure: bytes, memory and `now` in, a value out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp as Instant;
use crate::trust::refusal::{Reason, Refusal, Restriction};
use crate::trust::restrictions::days;
use crate::trust::signer::SignerIds;

use super::captured_at::CapturedAt;
use super::memory::{Memory, RoleRecord};
use super::role::{Delegated, File, Role};
use super::root_of_trust::{Terms, TrustedRoot};
use super::schema::{Delegation, Meta, Metadata, RoleKeys, Snapshot, Targets, Timestamp};
use super::signed::{Signed, Verified};

/// The roles that are verified so far, and the next step.
pub(super) struct Chain<Next> {
    root: TrustedRoot,
    terms: Arc<Terms>,
    before: Option<Arc<Memory>>,
    now: Instant,
    /// The proof of when the files were fetched. It replaces the expiry of the timestamp.
    captured: Option<CapturedAt>,
    /// The earliest expiry of the roles so far.
    expires: Instant,
    records: BTreeMap<Role, RoleRecord>,
    signers: BTreeMap<Role, SignerIds>,
    next: Next,
}

pub(super) struct WantsTimestamp;

pub(super) struct WantsSnapshot {
    timestamp: Verified<Timestamp>,
}

pub(super) struct WantsTargets {
    snapshot: Verified<Snapshot>,
}

pub(super) struct WantsDelegations {
    targets: Verified<Targets>,
    /// The delegations still to verify: `targets` delegates to them and the snapshot lists them.
    wanted: Vec<(Delegation, Meta)>,
    signed: BTreeMap<Delegated, (Delegation, Verified<Targets>)>,
    listed: BTreeSet<Delegated>,
}

/// A completely verified chain: what each role signs.
pub(super) struct VerifiedChain {
    pub(super) root: TrustedRoot,
    pub(super) targets: Verified<Targets>,
    pub(super) delegations: BTreeMap<Delegated, (Delegation, Verified<Targets>)>,
    pub(super) expires: Instant,
    pub(super) captured: Option<CapturedAt>,
    /// The earliest expiry that only a person can extend: of the root, of targets, of the delegations, and of an exporter's
    /// statement. A Notary server signs the timestamp and usually the snapshot itself.
    pub(super) renew_by: Instant,
    pub(super) roles: BTreeMap<Role, RoleRecord>,
    /// The keys that signed each role below the root.
    pub(super) signers: BTreeMap<Role, SignerIds>,
    pub(super) listed: BTreeSet<Delegated>,
}

impl Chain<WantsTimestamp> {
    pub(super) fn begin(
        root: TrustedRoot,
        terms: Arc<Terms>,
        before: Option<Arc<Memory>>,
        captured: Option<CapturedAt>,
        now: Instant,
    ) -> Self {
        let expires = root.expires();
        let sha256 = Sha256::digest(root.bytes()).into();
        let record = RoleRecord::new(root.metadata().common(), sha256, &root.metadata().root);
        Self {
            root,
            terms,
            before,
            now,
            captured,
            expires,
            records: BTreeMap::from([(Role::Root, record)]),
            signers: BTreeMap::new(),
            next: WantsTimestamp,
        }
    }

    /// Verifies `timestamp`: not older than the last one (rollback), not expired (freeze), and not valid for longer than
    /// the terms allow (freeze with a stolen key). With a proof of when it was fetched, the last two are judged then.
    pub(super) fn timestamp(self, bytes: &[u8]) -> Result<Chain<WantsSnapshot>, Refusal> {
        let keys = self.root.metadata().timestamp.clone();
        let timestamp = self.signed::<Timestamp>(Role::Timestamp, &keys, bytes)?;
        let judged = self.captured.as_ref().map_or(self.now, CapturedAt::at);
        let timestamp = timestamp.unexpired(judged).map_err(|refusal| match &self.captured {
            Some(captured) => {
                let because = format!("{refusal}, before it was captured at {:#}", captured.at());
                Refusal { because, ..refusal }
            }
            None => refusal,
        })?;
        let (most, expires) = (self.terms.max_timestamp_life, timestamp.common().expires);
        // With a stolen server key, an attacker could sign a timestamp that never expires and freeze the repository.
        if expires > judged.plus(most) {
            let because = format!(
                "timestamp expires at {expires}, which is more than {} from {} (`max_timestamp_life`)",
                days(most),
                if self.captured.is_some() { "its capture" } else { "now" }
            );
            let refusal = Refusal::new(Reason::Expired, because);
            return Err(refusal.by(Restriction::MaxTimestampLife));
        }
        let named = timestamp.metadata().snapshot.identity();
        let links = self.link(Role::Timestamp, &timestamp, named, &keys)?;
        Ok(links.with(WantsSnapshot { timestamp }))
    }
}

impl Chain<WantsSnapshot> {
    /// The file that [`Chain::snapshot`] takes.
    pub(super) fn wants(&self) -> File {
        content(Role::Snapshot, &self.next.timestamp.metadata().snapshot)
    }

    /// Verifies `snapshot`: the file that the timestamp names, which must name the trusted root.
    pub(super) fn snapshot(self, bytes: &[u8]) -> Result<Chain<WantsTargets>, Refusal> {
        let keys = self.root.metadata().snapshot.clone();
        let meta = &self.next.timestamp.metadata().snapshot;
        let snapshot = self.verify::<Snapshot>(Role::Snapshot, &keys, bytes, Some(meta))?;
        snapshot.metadata().root.matches(&Role::Root, self.root.bytes())?;
        let links = self.link(Role::Snapshot, &snapshot, Sha256::digest(bytes).into(), &keys)?;
        Ok(links.with(WantsTargets { snapshot }))
    }
}

impl Chain<WantsTargets> {
    /// The file that [`Chain::targets`] takes.
    pub(super) fn wants(&self) -> File {
        content(Role::Targets, &self.next.snapshot.metadata().targets)
    }

    /// Verifies `targets`: the file that the snapshot names. Of its delegations, `releases` and `signers` are verified next.
    pub(super) fn targets(
        self,
        bytes: &[u8],
        signers: &[Delegated],
    ) -> Result<Chain<WantsDelegations>, Refusal> {
        let keys = self.root.metadata().targets.clone();
        let snapshot = self.next.snapshot.metadata();
        let meta = &snapshot.targets;
        let targets = self.verify::<Targets>(Role::Targets, &keys, bytes, Some(meta))?;
        let mut all = BTreeSet::new();
        let mut wanted = Vec::new();
        for delegation in &targets.metadata().delegations {
            // A delegation without keys signs nothing. `targets` is signed, so a server cannot invent this.
            if delegation.keys.keys.is_empty() {
                continue;
            }
            let name = &delegation.name;
            let Some(meta) = snapshot.delegations.get(name) else {
                if self.before.as_ref().is_some_and(|before| before.listed.contains(name)) {
                    let because = format!(
                        "the snapshot no longer lists {}, although targets still delegates to it",
                        name.as_str()
                    );
                    return Err(Refusal::new(Reason::TrustRemoved, because));
                }
                continue;
            };
            all.insert(name.clone());
            if *name == Delegated::releases() || signers.contains(name) {
                wanted.push((delegation.clone(), meta.clone()));
            }
        }
        let links = self.link(Role::Targets, &targets, Sha256::digest(bytes).into(), &keys)?;
        Ok(links.with(WantsDelegations { targets, wanted, signed: BTreeMap::new(), listed: all }))
    }
}

impl Chain<WantsDelegations> {
    /// The next file that [`Chain::delegation`] takes, if there is one.
    pub(super) fn wants(&self) -> Option<File> {
        let (delegation, meta) = self.next.wanted.last()?;
        Some(content(Role::Delegation(delegation.name.clone()), meta))
    }

    /// Verifies a delegation that `targets` delegates to and the snapshot names. An invalid delegation is refused: the gate
    /// never falls back to the role below it.
    pub(super) fn delegation(mut self, bytes: &[u8]) -> Result<Self, Refusal> {
        let Some((delegation, meta)) = self.next.wanted.pop() else { return Ok(self) };
        let role = Role::Delegation(delegation.name.clone());
        let signed = self.verify::<Targets>(role.clone(), &delegation.keys, bytes, Some(&meta))?;
        let mut links = self.link(role, &signed, Sha256::digest(bytes).into(), &delegation.keys)?;
        links.next.signed.insert(delegation.name.clone(), (delegation, signed));
        Ok(links)
    }

    /// The verified chain. To be called once no delegation is left to verify.
    pub(super) fn finish(self) -> VerifiedChain {
        let targets = self.next.targets.common().expires;
        let delegations = self.next.signed.values().map(|(_, signed)| signed.common().expires);
        let stated = self.captured.as_ref().and_then(CapturedAt::statement_ends);
        let renewed = delegations.chain(stated);
        let renew_by = renewed.fold(self.root.expires().min(targets), Instant::min);
        VerifiedChain {
            renew_by,
            root: self.root,
            targets: self.next.targets,
            delegations: self.next.signed,
            expires: self.expires,
            captured: self.captured,
            roles: self.records,
            signers: self.signers,
            listed: self.next.listed,
        }
    }
}

impl<Next> Chain<Next> {
    /// Verifies the metadata of one role: it matches its parent, is signed, and has not expired.
    fn verify<T: Metadata>(
        &self,
        role: Role,
        keys: &RoleKeys,
        bytes: &[u8],
        meta: Option<&Meta>,
    ) -> Result<Verified<T>, Refusal> {
        if let Some(meta) = meta {
            meta.matches(&role, bytes)?;
        }
        self.signed::<T>(role, keys, bytes)?.unexpired(self.now)
    }

    /// Verifies the signatures of one role. Revoked keys do not count.
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
            let because = format!("{refusal}; `revoked` lists its key {}", ids.join(", "));
            Refusal::new(refusal.reason, because).by(Restriction::Revoked)
        })
    }

    /// Adds a verified role with the content `sha256`, unless it is a rollback.
    fn link<T: Metadata>(
        mut self,
        role: Role,
        verified: &Verified<T>,
        sha256: [u8; 32],
        keys: &RoleKeys,
    ) -> Result<Self, Refusal> {
        let record = RoleRecord::new(verified.common(), sha256, keys);
        let before = self.before.as_ref().and_then(|before| before.roles.get(&role));
        record.follows(&role, before)?;
        let is_timestamp = role == Role::Timestamp;
        self.records.insert(role.clone(), record);
        self.signers.insert(role, verified.signers().clone());
        let expires = match &self.captured {
            Some(captured) if is_timestamp => captured.ends(),
            Some(_) | None => verified.common().expires,
        };
        self.expires = self.expires.min(expires);
        Ok(self)
    }

    fn with<After>(self, next: After) -> Chain<After> {
        let Self { root, terms, before, now, captured, expires, records, signers, next: _ } = self;
        Chain { root, terms, before, now, captured, expires, records, signers, next }
    }
}

fn content(role: Role, meta: &Meta) -> File {
    File::Content { role, sha256: meta.sha256, length: meta.length }
}
