//! The key `revoked` of an anchor: keys, certificates and log entries whose signatures no longer count. Compares
//! hashes; verifies nothing.
//!
//! A certificate is recognized in each of its possible encodings (see `encodings.rs`). A log entry is recognized by its
//! index only if the log's promise covers that index: see `names_indices`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::toml_reader::Section;

use super::encodings;
use super::keys::PublicKey;

const KEY: &str = "revoked";
/// The most entries of one anchor.
const MAX_REVOKED: usize = 1_024;
/// The longest serial number of a certificate, in bytes (RFC 5280).
const MAX_SERIAL: usize = 20;

/// The kinds of items that can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedKind {
    Key,
    Certificate,
    Serial,
    LogEntry,
}

/// One item whose signatures no longer count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revoked {
    /// A key by a hash: the SHA-256 of its SubjectPublicKeyInfo, or a key ID of Notary v1.
    Key([u8; 32]),
    /// A key from a file, by [`PublicKey::identity`].
    KeyOf([u8; 32]),
    /// The SHA-256 of a certificate, in one of its encodings.
    Certificate([u8; 32]),
    /// A certificate from a file: the SHA-256 of its signed part.
    CertificateOf([u8; 32]),
    /// A serial number of any issuer, without leading zeros.
    Serial(Vec<u8>),
    /// A log, and an index in it.
    Entry { log: [u8; 32], index: u64 },
    /// The hash of an entry, which is the end of its UUID.
    Leaf([u8; 32]),
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(hash) | Self::KeyOf(hash) => write!(f, "key:{}", hex::encode(hash)),
            Self::Certificate(hash) | Self::CertificateOf(hash) => {
                write!(f, "certificate:{}", hex::encode(hash))
            }
            Self::Serial(serial) => write!(f, "serial:{}", hex::encode(serial)),
            Self::Entry { log, index } => write!(f, "log-entry:{}/{index}", hex::encode(log)),
            Self::Leaf(hash) => write!(f, "log-entry:{}", hex::encode(hash)),
        }
    }
}

/// Everything that one anchor revokes, each with its text in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedSet(BTreeMap<Revoked, Arc<str>>);

impl RevokedSet {
    /// Reads `revoked`. `fits` returns why an item of a kind cannot be revoked here.
    pub(super) fn read(
        section: &Section<'_>,
        fits: impl Fn(RevokedKind) -> Result<(), &'static str>,
    ) -> Self {
        let texts = section.texts(KEY).unwrap_or_default();
        if texts.len() > MAX_REVOKED {
            section.wrong(KEY, format!("more than {MAX_REVOKED} entries"));
        }
        let mut set = BTreeMap::new();
        for text in texts.iter().take(MAX_REVOKED) {
            match parse(section, text) {
                Ok(Some((kind, revoked))) => match fits(kind) {
                    Ok(()) => {
                        set.insert(revoked, Arc::from(text.as_str()));
                    }
                    Err(why) => section.wrong(KEY, format!("{text:?}: {why}")),
                },
                // The file could not be read, which is already reported.
                Ok(None) => {}
                Err(why) => section.wrong(KEY, format!("{text:?}: {why}")),
            }
        }
        Self(set)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it names log entries by index. Then an entry without a proven index could be one of them: a proof of
    /// inclusion covers the body of an entry, and only the log's promise (SET) covers the log ID and the index.
    pub(super) fn names_indices(&self) -> bool {
        self.0.keys().any(|revoked| matches!(revoked, Revoked::Entry { .. }))
    }

    /// The entry that revokes the key of this SubjectPublicKeyInfo.
    pub fn key(&self, spki: &[u8]) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let identity = identity(spki);
        self.find(&Revoked::Key(Sha256::digest(spki).into()))
            .or_else(|| self.find(&Revoked::KeyOf(identity?)))
    }

    /// The entry that revokes a key of Notary v1: by one of its IDs, by the SHA-256 of its SubjectPublicKeyInfo, or by
    /// the key itself.
    pub fn notary_key(&self, ids: &[[u8; 32]], key: Option<&PublicKey>) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let by_id = ids.iter().find_map(|id| self.find(&Revoked::Key(*id)));
        by_id.or_else(|| {
            let key = key?;
            let spki: [u8; 32] = Sha256::digest(key.to_spki()).into();
            self.find(&Revoked::Key(spki)).or_else(|| self.find(&Revoked::KeyOf(key.identity())))
        })
    }

    /// The entry that revokes this certificate: by any of its encodings, by its serial number, or by its key. A
    /// certificate that cannot be parsed has no serial number and no key, and signs nothing.
    pub fn certificate(&self, der: &[u8]) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let as_given = Revoked::Certificate(Sha256::digest(der).into());
        self.find(&as_given).or_else(|| {
            let (_, parsed) = X509Certificate::from_der(der).ok()?;
            self.find(&Revoked::Serial(trimmed(parsed.raw_serial())))
                .or_else(|| self.find(&Revoked::CertificateOf(encodings::signed_part(&parsed))))
                .or_else(|| self.key(parsed.public_key().raw))
                .or_else(|| self.encoding(&parsed))
        })
    }

    /// The entry that revokes one of the encodings of `certificate`.
    fn encoding(&self, certificate: &X509Certificate<'_>) -> Option<&str> {
        if !self.0.keys().any(|revoked| matches!(revoked, Revoked::Certificate(_))) {
            return None;
        }
        let hashes = encodings::hashes(certificate).into_iter();
        hashes.map(Revoked::Certificate).find_map(|hash| self.find(&hash))
    }

    /// The entry that revokes the log entry at `index` of `log` with that body.
    pub fn entry(&self, log: &[u8], index: u64, body: &[u8]) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let leaf = Sha256::new_with_prefix([0]).chain_update(body).finalize().into();
        let by_index = || {
            let log = <[u8; 32]>::try_from(log).ok()?;
            self.find(&Revoked::Entry { log, index })
        };
        self.find(&Revoked::Leaf(leaf)).or_else(by_index)
    }

    fn find(&self, revoked: &Revoked) -> Option<&str> {
        self.0.get(revoked).map(AsRef::as_ref)
    }
}

fn identity(spki: &[u8]) -> Option<[u8; 32]> {
    let key = PublicKey::from_ed25519_spki(spki).or_else(|| PublicKey::from_spki(spki))?;
    Some(key.identity())
}

/// The kind and value that `text` names; `None` if its file cannot be read, which is reported.
fn parse(section: &Section<'_>, text: &str) -> Result<Option<(RevokedKind, Revoked)>, String> {
    let Some((kind, named)) = text.split_once(':') else {
        return Err(
            "say what it is: \"key:…\", \"certificate:…\", \"serial:…\" or \"log-entry:…\""
                .to_owned(),
        );
    };
    let named = named.strip_prefix("sha256:").unwrap_or(named);
    if named.is_empty() {
        return Err(format!("it names nothing; write a value after \"{kind}:\""));
    }
    let hash = hash(named);
    match kind {
        "key" => match hash {
            Some(hash) => Ok(Some((RevokedKind::Key, Revoked::Key(hash)))),
            None => file(section, named, "PUBLIC KEY", |pem| {
                let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes());
                let spki = spki.map_err(|e| format!("it contains no PEM public key: {e:?}"))?;
                let wrong = || "it contains a key of an unsupported type".to_owned();
                Ok((RevokedKind::Key, Revoked::KeyOf(identity(&spki).ok_or_else(wrong)?)))
            }),
        },
        "certificate" => match hash {
            Some(hash) => Ok(Some((RevokedKind::Certificate, Revoked::Certificate(hash)))),
            None => file(section, named, "CERTIFICATE", |pem| {
                let der = CertificateDer::from_pem_slice(pem.as_bytes());
                let der = der.map_err(|e| format!("it contains no PEM certificate: {e:?}"))?;
                let (_, parsed) = X509Certificate::from_der(&der)
                    .map_err(|e| format!("it contains an invalid certificate: {e}"))?;
                let revoked = Revoked::CertificateOf(encodings::signed_part(&parsed));
                Ok((RevokedKind::Certificate, revoked))
            }),
        },
        "serial" => Ok(Some((RevokedKind::Serial, Revoked::Serial(serial(named)?)))),
        "log-entry" => {
            let entry = match named.split_once('/') {
                Some((log, index)) => self::hash(log)
                    .zip(index.parse().ok())
                    .map(|(log, index)| Revoked::Entry { log, index }),
                // A UUID is the hash after the id of Rekor's tree.
                None if named.len() == 80 => {
                    named.get(16..).and_then(self::hash).map(Revoked::Leaf)
                }
                None => hash.map(Revoked::Leaf),
            };
            let wrong = "write the id of the log and the index, \"log-entry:<64 hex>/<index>\", or the \
                         entry's UUID of 64 or 80 hex digits";
            Ok(Some((RevokedKind::LogEntry, entry.ok_or(wrong)?)))
        }
        other => Err(format!(
            "{other:?} is none of \"key\", \"certificate\", \"serial\" and \"log-entry\""
        )),
    }
}

/// A serial number in hexadecimal, without leading zeros.
fn serial(text: &str) -> Result<Vec<u8>, &'static str> {
    if text.starts_with("0x") || text.starts_with("0X") {
        return Err("write the serial number without `0x`");
    }
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits };
    let serial = hex::decode(&padded).ok().map(|serial| trimmed(&serial));
    match serial.filter(|serial| serial.len() <= MAX_SERIAL) {
        Some(serial) if serial.is_empty() => Err("a serial number must not be zero"),
        Some(serial) => Ok(serial),
        None => Err("a serial number must be hexadecimal, at most 20 bytes"),
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).is_ok().then_some(hash)
}

/// Reads the one PEM block `due` of a file.
fn file(
    section: &Section<'_>,
    path: &str,
    due: &str,
    read: impl FnOnce(&str) -> Result<(RevokedKind, Revoked), String>,
) -> Result<Option<(RevokedKind, Revoked)>, String> {
    let otherwise = "a SHA-256 has 64 hex digits, anything else is taken for a file's name";
    let Some(pem) = section.named_file_or(KEY, path, otherwise) else { return Ok(None) };
    if !pem.contains(&format!("-----BEGIN {due}-----")) {
        return Err(format!("it contains no {due} in PEM"));
    }
    read(&pem).map(Some)
}

fn trimmed(serial: &[u8]) -> Vec<u8> {
    serial.iter().copied().skip_while(|byte| *byte == 0).collect()
}

impl FromIterator<Revoked> for RevokedSet {
    fn from_iter<All: IntoIterator<Item = Revoked>>(all: All) -> Self {
        let named = |revoked: Revoked| {
            let text = Arc::from(revoked.to_string());
            (revoked, text)
        };
        Self(all.into_iter().map(named).collect())
    }
}
