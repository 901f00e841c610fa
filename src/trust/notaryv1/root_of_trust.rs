//! The root of trust: a root that its own keys signed, whose certificates name the GUN, and that a pin or an earlier root
//! vouches for.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::clock::Timestamp;
use crate::trust::keys::PublicKey;
use crate::trust::refusal::{Reason, Refusal, Restriction};
use crate::trust::revoked::RevokedSet;

use super::certificate::Certificates;
use super::gun::Gun;
use super::role::Role;
use super::schema::{RoleKeys, Root};
use super::signed::{Signed, Verified};
use super::tuf_key::{KeyId, TufKey, family};
use super::unpinned;

/// The anchor's requirements for a repository's trust data.
#[derive(Clone, Debug)]
pub struct Terms {
    pub gun: Gun,
    pub pins: Pins,
    /// The signers that must all have signed the digest: `targets/<name>`.
    pub signers: Vec<super::role::Delegated>,
    /// Whether a root certificate for `parent/*` is valid for the GUNs below `parent`.
    pub wildcard_root_names: bool,
    /// How far in the future a timestamp may expire.
    pub max_timestamp_life: Duration,
    /// Keys whose signatures do not count in any role.
    pub revoked: RevokedSet,
}

/// Which root keys are trusted.
#[derive(Clone, Debug)]
pub enum Pins {
    /// Trust on first use: the first root that the server returns is trusted from then on.
    FirstUse,
    Keys(Vec<Pin>),
}

/// One trusted root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The id of the certificate key, or the canonical id of the key in it.
    Id(KeyId),
    Key(PublicKey),
    /// The certificate itself.
    Certificate(Vec<u8>),
}

impl Pins {
    /// Whether every pinned key is revoked, so that no root can be trusted.
    pub(in crate::trust) fn are_all_revoked(&self, revoked: &RevokedSet) -> bool {
        match self {
            Self::FirstUse => false,
            Self::Keys(pins) => pins.iter().all(|pin| pin.is_revoked(revoked)),
        }
    }
}

impl Pin {
    /// Reads 64 hex digits, a PEM public key, or a PEM certificate that is not a CA certificate.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(id) = KeyId::parse(text) {
            return Ok(Self::Id(id));
        }
        if text.contains("BEGIN CERTIFICATE") {
            let der = CertificateDer::from_pem_slice(text.as_bytes())
                .map_err(|e| format!("the certificate cannot be read: {e:?}"))?;
            let (_, parsed) = X509Certificate::from_der(&der)
                .map_err(|e| format!("the certificate cannot be read: {e}"))?;
            if parsed.is_ca() {
                return Err(
                    "this is a CA certificate; pin the root certificates themselves".to_owned()
                );
            }
            return Ok(Self::Certificate(der.to_vec()));
        }
        if text.contains("BEGIN PUBLIC KEY") {
            let spki = rustls::pki_types::SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes())
                .map_err(|e| format!("the public key cannot be read: {e:?}"))?;
            return PublicKey::from_spki(&spki).map(Self::Key).ok_or_else(|| {
                "the public key is neither ECDSA P-256, P-384, P-521 nor RSA 2048 to 8192"
                    .to_owned()
            });
        }
        Err("a root key is 64 lower-case hex digits, or a file with a PEM public key or certificate".to_owned())
    }

    /// The key. `None` for an id, which is only a hash.
    fn key(&self) -> Option<PublicKey> {
        match self {
            Self::Id(_) => None,
            Self::Key(key) => Some(key.clone()),
            Self::Certificate(der) => {
                let (_, parsed) = X509Certificate::from_der(der).ok()?;
                PublicKey::from_spki(parsed.public_key().raw)
            }
        }
    }

    /// Whether this pins a certificate of `key`.
    fn has_key(&self, key: &PublicKey) -> bool {
        matches!(self, Self::Certificate(_)) && self.key().as_ref() == Some(key)
    }

    /// Whether `revoked` names the key.
    fn is_revoked(&self, revoked: &RevokedSet) -> bool {
        let key = self.key();
        let id = match self {
            Self::Id(id) => Some(*id),
            Self::Key(_) | Self::Certificate(_) => {
                key.as_ref().and_then(|key| Some(KeyId::of(family(key)?, &key.to_spki())))
            }
        };
        let ids: Vec<[u8; 32]> = id.iter().map(KeyId::bytes).collect();
        revoked.notary_key(&ids, key.as_ref()).is_some()
    }

    fn names(&self, id: KeyId, key: &TufKey) -> bool {
        let TufKey::Certified(certificates) = key else { return false };
        match self {
            Self::Id(pinned) => *pinned == id || *pinned == certificates.canonical_id(),
            Self::Key(pinned) => pinned == certificates.key(),
            Self::Certificate(pinned) => pinned == certificates.der(),
        }
    }
}

/// A root for this GUN that its own keys signed. [`SelfSigned::in_force`] checks the pins and the expiry.
pub(super) struct SelfSigned {
    signed: Signed,
    root: Verified<Root>,
    bytes: Vec<u8>,
}

/// A trusted root that has not expired: pinned, trusted on first use, or signed by such a root.
pub(super) struct TrustedRoot {
    root: Verified<Root>,
    bytes: Vec<u8>,
    expires: Timestamp,
}

impl SelfSigned {
    /// Reads a root and verifies it with its own keys. It is not trusted yet.
    pub(super) fn parse(bytes: &[u8], terms: &Terms) -> Result<Self, Refusal> {
        let signed = Signed::parse(Role::Root, bytes)?;
        let root = signed.verify_by_itself(
            |keys| named(keys, terms),
            |key| counts(key, terms),
            |refusal, keys| by_revoked(refusal, keys, terms),
        )?;
        Ok(Self { signed, root, bytes: bytes.to_vec() })
    }

    /// Verifies the next root: newer than this one, and signed by the keys of both. Either may be expired (TUF 5.3.4 to
    /// 5.3.8).
    pub(super) fn rotate(&self, bytes: &[u8], terms: &Terms) -> Result<Self, Refusal> {
        let next = Self::parse(bytes, terms)?;
        if next.version() <= self.version() {
            let because =
                format!("root {} is not newer than root {}", next.version(), self.version());
            return Err(Refusal::new(Reason::Rollback, because));
        }
        next.signed.threshold(&self.root.metadata().root, |key| counts(key, terms)).map_err(
            |refusal| {
                let because = format!(
                    "root {} is not signed by the keys of root {}: {refusal}",
                    next.version(),
                    self.version()
                );
                by_revoked(Refusal::new(refusal.reason, because), &self.root.metadata().root, terms)
            },
        )?;
        Ok(next)
    }

    pub(super) fn metadata(&self) -> &Root {
        self.root.metadata()
    }

    pub(super) fn version(&self) -> u64 {
        self.root.common().version
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a threshold of pinned keys has signed it.
    pub(super) fn is_pinned(&self, terms: &Terms) -> bool {
        let Pins::Keys(pins) = &terms.pins else { return true };
        let pinned = |(id, key): &(KeyId, TufKey)| pins.iter().any(|pin| pin.names(*id, key));
        let role = &self.root.metadata().root;
        self.signed.threshold(role, |key| counts(key, terms) && pinned(key)).is_ok()
    }

    /// The refusal of this root because too few of its keys are pinned.
    fn not_pinned(&self, terms: &Terms) -> Refusal {
        let role = &self.root.metadata().root;
        let has_signed = |key: &(KeyId, TufKey)| {
            let alone = RoleKeys { keys: vec![key.clone()], threshold: 1 };
            self.signed.threshold(&alone, |key| counts(key, terms)).is_ok()
        };
        let signers = role.keys.iter().filter(|key| has_signed(key));
        let certified: Vec<(KeyId, &Certificates)> = signers
            .filter_map(|(id, key)| match key {
                TufKey::Certified(certificates) => Some((*id, &**certificates)),
                TufKey::Plain(_) | TufKey::Unusable => None,
            })
            .collect();
        let pins: &[Pin] = match &terms.pins {
            Pins::FirstUse => &[],
            Pins::Keys(pins) => pins,
        };
        let same = certified.iter().find(|(_, one)| pins.iter().any(|pin| pin.has_key(one.key())));
        let same = same.map(|(_, one)| one.canonical_id());
        let ids: Vec<_> = certified.iter().map(|(id, one)| (*id, one.canonical_id())).collect();
        unpinned::refusal(self.version(), &ids, same)
    }

    /// Makes it a trusted root, if a threshold of pinned keys signed it, its certificates are valid and it has not expired.
    pub(super) fn in_force(self, terms: &Terms, now: Timestamp) -> Result<TrustedRoot, Refusal> {
        let role = &self.root.metadata().root;
        if !self.is_pinned(terms) {
            return Err(self.not_pinned(terms));
        }
        let valid = |key: &TufKey| match key {
            TufKey::Certified(certificates) => certificates.valid_at(now),
            TufKey::Plain(_) | TufKey::Unusable => false,
        };
        self.signed.threshold(role, |key| counts(key, terms) && valid(&key.1)).map_err(|_| {
            Refusal::new(
                Reason::Expired,
                format!("the certificates of root {} are not valid now", self.version()),
            )
        })?;
        // The root ends when the first of its certificates expires, whichever of them signed.
        let certificates =
            role.keys.iter().filter(|(_, key)| valid(key)).filter_map(|(_, key)| match key {
                TufKey::Certified(certificates) => Some(certificates.not_after()),
                TufKey::Plain(_) | TufKey::Unusable => None,
            });
        let last = certificates.min();
        let root = self.root.unexpired(now)?;
        let expires = root.common().expires;
        Ok(TrustedRoot {
            root,
            bytes: self.bytes,
            expires: last.map_or(expires, |last| last.min(expires)),
        })
    }
}

impl TrustedRoot {
    pub(super) fn metadata(&self) -> &Root {
        self.root.metadata()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// When the root or one of its certificates expires, whichever is first.
    pub(super) fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Refuses a root without a certificate for this GUN: it belongs to another repository.
fn named(role: &RoleKeys, terms: &Terms) -> Result<(), Refusal> {
    if role.keys.iter().any(|(_, key)| is_named(key, terms)) {
        return Ok(());
    }
    let names: Vec<&str> = role
        .keys
        .iter()
        .filter_map(|(_, key)| match key {
            TufKey::Certified(certificates) => Some(certificates.common_name()),
            TufKey::Plain(_) | TufKey::Unusable => None,
        })
        .collect();
    if names.is_empty() {
        return Err(Refusal::new(Reason::Malformed, "root has no key with a usable certificate"));
    }
    Err(Refusal::new(
        Reason::WrongRepository,
        format!("root is for {}, not for {}", names.join(", "), terms.gun),
    ))
}

/// Whether signatures by this root key count: it is for this GUN and not revoked.
fn counts((id, key): &(KeyId, TufKey), terms: &Terms) -> bool {
    is_named(key, terms) && key.revoked(*id, &terms.revoked).is_none()
}

/// Attributes `refusal` to `revoked`, if that lists one of the role's keys.
fn by_revoked(refusal: Refusal, role: &RoleKeys, terms: &Terms) -> Refusal {
    let is_revoked = |(id, key): &(KeyId, TufKey)| key.revoked(*id, &terms.revoked).is_some();
    match role.keys.iter().find(|key| is_revoked(key)) {
        Some((id, _)) => {
            let because = format!("{refusal}; `revoked` lists its key {id}");
            Refusal { because, ..refusal }.by(Restriction::Revoked)
        }
        None => refusal,
    }
}

fn is_named(key: &TufKey, terms: &Terms) -> bool {
    match key {
        TufKey::Certified(certificates) => {
            certificates.names(&terms.gun, terms.wildcard_root_names)
        }
        TufKey::Plain(_) | TufKey::Unusable => false,
    }
}
