//! Somebody who signs with Docker Content Trust: Notary v1 metadata as docker and Notary 0.7 make it, with keys
//! that are made at run time and gone with the process.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::clock::Timestamp;
use crate::json::Document;
use crate::oci::{Digest, Tag};
use crate::trust::notaryv1::canonical::canonical;
use crate::trust::notaryv1::{Gun, KeyId};

use super::key::{SigningError, failed};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const RELEASES: &str = "targets/releases";

/// Files as a Notary server names them, without `.json`.
pub type TrustFiles = BTreeMap<String, Bytes>;

/// The target of a tag: the digest and the length of a manifest.
pub type Signed = (Tag, Digest, usize);

/// Who owns a root key, and signs for as many repositories as they like.
pub struct Publisher {
    root: KeyPair,
}

/// The keys of one repository.
struct Keys {
    root: Key,
    targets: Key,
    snapshot: Key,
    timestamp: Key,
    /// Of the signers, by role; all of them may sign `targets/releases` too, as docker has it.
    signers: Vec<(String, Key)>,
}

struct Key {
    keytype: &'static str,
    public: Vec<u8>,
    id: KeyId,
    private: EcdsaKeyPair,
}

/// What is to be signed for one repository.
pub struct Statement<'a> {
    pub gun: &'a Gun,
    /// What the repository's own key signs.
    pub targets: &'a [Signed],
    /// What each signer signs, who thereby releases it.
    pub signers: &'a [(&'a str, &'a [Signed])],
    pub now: Timestamp,
    /// How long the timestamp is in force: Notary's is good for 14 days.
    pub timestamp_lasts: Duration,
}

impl Publisher {
    /// A publisher with a new root key.
    pub fn new() -> Result<Self, SigningError> {
        Ok(Self { root: KeyPair::generate().map_err(failed)? })
    }

    /// The canonical id of the root key: what to pin.
    pub fn root_key_id(&self) -> KeyId {
        KeyId::of("ecdsa", &self.root.subject_public_key_info())
    }

    /// Signs all of `statement`, with new keys for everything but the root.
    pub fn publish(&self, statement: &Statement<'_>) -> Result<TrustFiles, SigningError> {
        let keys = self.keys(statement)?;
        let day = |days: u32| statement.now.plus(DAY * days).to_string();
        let mut files = TrustFiles::new();
        let mut listed = json!({});

        let mut releases = BTreeMap::new();
        for ((role, key), (_, signed)) in keys.signers.iter().zip(statement.signers) {
            let body = targets(signed, &[], &day(3 * 365))?;
            listed[role] = file(&mut files, role, &body, &[key])?;
            releases.extend(signed.iter().map(|signed| (signed.0.clone(), signed.clone())));
        }
        if let Some((_, last)) = keys.signers.last() {
            let releases: Vec<_> = releases.into_values().collect();
            let body = targets(&releases, &[], &day(3 * 365))?;
            listed[RELEASES] = file(&mut files, RELEASES, &body, &[last])?;
        }
        let body = targets(statement.targets, &keys.signers, &day(3 * 365))?;
        listed["targets"] = file(&mut files, "targets", &body, &[&keys.targets])?;

        let root = keys.root_metadata(&day(10 * 365));
        listed["root"] = file(&mut files, "root", &root, &[&keys.root])?;
        if let Some(root) = files.get("root").cloned() {
            files.insert("1.root".to_owned(), root);
        }
        let snapshot = json!({ "_type": "Snapshot", "expires": day(3 * 365), "meta": listed,
            "version": 1 });
        let snapshot = file(&mut files, "snapshot", &snapshot, &[&keys.snapshot])?;
        let expires = statement.now.plus(statement.timestamp_lasts).to_string();
        let timestamp = json!({ "_type": "Timestamp", "expires": expires,
            "meta": { "snapshot": snapshot }, "version": 1 });
        file(&mut files, "timestamp", &timestamp, &[&keys.timestamp])?;
        Ok(files)
    }

    fn keys(&self, statement: &Statement<'_>) -> Result<Keys, SigningError> {
        let mut signers = Vec::with_capacity(statement.signers.len());
        for (name, _) in statement.signers {
            signers.push((format!("targets/{name}"), Key::new()?));
        }
        Ok(Keys {
            root: self.certified(statement.gun, statement.now)?,
            targets: Key::new()?,
            snapshot: Key::new()?,
            timestamp: Key::new()?,
            signers,
        })
    }

    /// The root key in a certificate that binds it to `gun`: its name is the GUN.
    fn certified(&self, gun: &Gun, now: Timestamp) -> Result<Key, SigningError> {
        let now = OffsetDateTime::from_unix_timestamp(now.unix()).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, gun.as_str());
        params.not_before = now - 400 * DAY;
        params.not_after = now + 10 * 365 * DAY;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let certificate = params.self_signed(&self.root).map_err(failed)?;
        let pem = certificate.pem().replace("\r\n", "\n");
        Key::of(&self.root, "ecdsa-x509", pem.into_bytes())
    }
}

impl Keys {
    fn root_metadata(&self, expires: &str) -> Value {
        let roles = [
            ("root", &self.root),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets),
            ("timestamp", &self.timestamp),
        ];
        let keys: serde_json::Map<String, Value> =
            roles.iter().map(|(_, key)| (key.id.to_string(), key.entry())).collect();
        let roles: serde_json::Map<String, Value> = roles
            .iter()
            .map(|(role, key)| {
                ((*role).to_owned(), json!({ "keyids": [key.id.to_string()], "threshold": 1 }))
            })
            .collect();
        json!({ "_type": "Root", "consistent_snapshot": false, "expires": expires, "keys": keys,
            "roles": roles, "version": 1 })
    }
}

impl Key {
    fn new() -> Result<Self, SigningError> {
        let pair = KeyPair::generate().map_err(failed)?;
        Self::of(&pair, "ecdsa", pair.subject_public_key_info())
    }

    fn of(pair: &KeyPair, keytype: &'static str, public: Vec<u8>) -> Result<Self, SigningError> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let private = EcdsaKeyPair::from_pkcs8(algorithm, pair.serialized_der()).map_err(failed)?;
        Ok(Self { keytype, id: KeyId::of(keytype, &public), public, private })
    }

    fn entry(&self) -> Value {
        let public = STANDARD.encode(&self.public);
        json!({ "keytype": self.keytype, "keyval": { "private": null, "public": public } })
    }

    fn sign(&self, message: &[u8]) -> Result<Value, SigningError> {
        let signature = self.private.sign(&SystemRandom::new(), message).map_err(failed)?;
        let sig = STANDARD.encode(signature);
        Ok(json!({ "keyid": self.id.to_string(), "method": "ecdsa", "sig": sig }))
    }
}

/// What `targets` or a delegation says: its tags, and to whom it delegates.
fn targets(
    signed: &[Signed],
    signers: &[(String, Key)],
    expires: &str,
) -> Result<Value, SigningError> {
    let mut tags = serde_json::Map::new();
    for (tag, digest, length) in signed {
        let sha256 = STANDARD.encode(digest.raw());
        let entry = json!({ "hashes": { "sha256": sha256 }, "length": length });
        if tags.insert(tag.to_string(), entry).is_some() {
            return Err(SigningError(format!("{tag} is given twice")));
        }
    }
    let keys: serde_json::Map<String, Value> =
        signers.iter().map(|(_, key)| (key.id.to_string(), key.entry())).collect();
    let delegation = |name: &str, ids: Vec<String>| json!({ "keyids": ids, "name": name, "paths": [""], "threshold": 1 });
    let mut roles: Vec<Value> =
        signers.iter().map(|(role, key)| delegation(role, vec![key.id.to_string()])).collect();
    if !signers.is_empty() {
        let all = signers.iter().map(|(_, key)| key.id.to_string()).collect();
        roles.push(delegation(RELEASES, all));
    }
    Ok(json!({ "_type": "Targets", "delegations": { "keys": keys, "roles": roles },
        "expires": expires, "targets": tags, "version": 1 }))
}

/// Signs `signed`, puts it among `files` under all its names, and gives what a parent says of it.
fn file(
    files: &mut TrustFiles,
    role: &str,
    signed: &Value,
    keys: &[&Key],
) -> Result<Value, SigningError> {
    let document = Document::parse(signed.to_string().as_bytes()).map_err(failed)?;
    let message = canonical(document.root()).map_err(failed)?;
    let signatures =
        keys.iter().map(|key| key.sign(&message)).collect::<Result<Vec<_>, SigningError>>()?;
    let file = Bytes::from(json!({ "signed": signed, "signatures": signatures }).to_string());
    let hash = Sha256::digest(&file);
    let meta = json!({ "hashes": { "sha256": STANDARD.encode(hash) }, "length": file.len() });
    files.insert(format!("{role}.{}", hex::encode(hash)), file.clone());
    files.insert(role.to_owned(), file);
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::trust::notaryv1::{Pin, Pins, Terms, update};
    use crate::trust::revoked::RevokedSet;

    #[test]
    fn what_it_publishes_verifies_and_resolves() {
        let publisher = Publisher::new().unwrap();
        let gun: Gun = "demo.example/app".parse().unwrap();
        let now = Timestamp::from_unix(1_795_348_800);
        let signed = |tag: &str, manifest: &[u8]| {
            (tag.parse().unwrap(), Digest::of(manifest), manifest.len())
        };
        let files = publisher
            .publish(&Statement {
                gun: &gun,
                targets: &[signed("base", b"base")],
                signers: &[("alice", &[signed("v1", b"v1")]), ("bob", &[signed("v2", b"v2")])],
                now,
                timestamp_lasts: 14 * DAY,
            })
            .unwrap();
        let terms = Terms {
            gun,
            pins: Pins::Keys(vec![Pin::parse(&publisher.root_key_id().to_string()).unwrap()]),
            signers: Vec::new(),
            wildcard_root_names: false,
            max_timestamp_life: Duration::from_secs(90 * 24 * 60 * 60),
            revoked: RevokedSet::default(),
        };
        let fetch = |file: crate::trust::notaryv1::File| {
            std::future::ready(Ok(files.get(&file.to_string()).cloned()))
        };
        let updated = update(fetch, &terms, None, now).now_or_never().unwrap().unwrap();
        for tag in ["base", "v1", "v2"] {
            let found = updated.repository.tag(&tag.parse().unwrap()).unwrap();
            assert_eq!(found.entry.digest, Digest::of(tag.as_bytes()));
        }
        assert_eq!(updated.repository.expires(), now.plus(14 * DAY));
    }
}
