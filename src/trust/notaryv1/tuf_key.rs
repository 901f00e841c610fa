//! Keys in Notary's format: a `keytype`, and a public key in base64 (SubjectPublicKeyInfo, PEM certificates or 32 bytes).
//! The key id is the hash of both.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::json::Value;
use crate::trust::keys::PublicKey;
use crate::trust::refusal::Refusal;
use crate::trust::revoked::RevokedSet;

use super::certificate::Certificates;
use super::fields::{Fields, malformed};

/// `hex(sha256(canonical JSON of the key))`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// Reads 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 32];
        let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (lower && hex::decode_to_slice(text, &mut id).is_ok()).then_some(Self(id))
    }

    pub(super) fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The id of a key with these two members (`tuf/data/keys.go`, `TUFKey.ID`). `private` is always present and null.
    pub fn of(keytype: &str, public: &[u8]) -> Self {
        use base64::Engine as _;
        let public = base64::engine::general_purpose::STANDARD.encode(public);
        let canonical =
            format!(r#"{{"keytype":"{keytype}","keyval":{{"private":null,"public":"{public}"}}}}"#);
        Self(Sha256::digest(canonical).into())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key of a role.
#[derive(Clone, Debug)]
pub(super) enum TufKey {
    Plain(PublicKey),
    Certified(Box<Certificates>),
    /// A type, curve or size that is not supported. Its signatures do not count.
    Unusable,
}

impl TufKey {
    /// Reads the key that is listed under `id`. The id must be the hash of the key.
    pub(super) fn read(id: &str, value: Value<'_>) -> Result<(KeyId, Self), Refusal> {
        let shown: String = id.chars().take(64).collect();
        let place = format!("key {shown}");
        let fields = Fields::of(&place, value, &["keytype", "keyval"])?;
        let keytype = fields.text("keytype")?;
        let keyval = Fields::of(&place, fields.required("keyval")?, &["private", "public"])?;
        if keyval.optional("private").is_some() {
            tracing::error!(key = shown, "trust data contains a private key; the key has leaked");
            return Err(malformed(format!(
                "{place} includes its private key, which has therefore leaked"
            )));
        }
        let public = keyval.base64("public")?;
        let computed = KeyId::of(keytype, &public);
        if KeyId::parse(id) != Some(computed) {
            return Err(malformed(format!("{place}: the id does not match the key")));
        }
        let key = match keytype {
            "ecdsa" | "rsa" => plain(keytype, &public),
            "ecdsa-x509" | "rsa-x509" => Certificates::parse(&public)
                .filter(|certificates| family(certificates.key()) == keytype.strip_suffix("-x509"))
                .map(|certificates| Self::Certified(Box::new(certificates))),
            "ed25519" => public.try_into().ok().map(|key| Self::Plain(PublicKey::Ed25519(key))),
            _ => None,
        };
        Ok((computed, key.unwrap_or(Self::Unusable)))
    }

    /// The entry of `revoked` that names this key. `id` is the key's id.
    pub(super) fn revoked<'a>(&self, id: KeyId, revoked: &'a RevokedSet) -> Option<&'a str> {
        let canonical = self.canonical_id(id);
        revoked.notary_key(&[id.0, canonical.0], self.public())
    }

    /// The id of the key without its certificate. `id` is the id under which the key is listed.
    pub(super) fn canonical_id(&self, id: KeyId) -> KeyId {
        match self {
            Self::Certified(certificates) => certificates.canonical_id(),
            Self::Plain(_) | Self::Unusable => id,
        }
    }

    pub(super) fn public(&self) -> Option<&PublicKey> {
        match self {
            Self::Plain(key) => Some(key),
            Self::Certified(certificates) => Some(certificates.key()),
            Self::Unusable => None,
        }
    }
}

fn plain(keytype: &str, spki: &[u8]) -> Option<TufKey> {
    let key = PublicKey::from_spki(spki)?;
    (family(&key) == Some(keytype)).then_some(TufKey::Plain(key))
}

/// Notary's name for the type of a public key.
pub(super) fn family(key: &PublicKey) -> Option<&'static str> {
    match key {
        PublicKey::Ecdsa { .. } => Some("ecdsa"),
        PublicKey::Ed25519(_) => Some("ed25519"),
        PublicKey::Rsa { .. } => Some("rsa"),
    }
}
