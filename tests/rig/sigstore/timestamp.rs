//! A timestamp authority and its tokens (RFC 3161), built byte by byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyUsagePurpose};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::fulcio::{Term, authority, params};
use super::key::{Key, Kind};
use super::rfc3339;

const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const TST_INFO: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04";
const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
const SHA256: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const POLICY: &[u8] = b"\x06\x03\x2a\x03\x04";

#[derive(Clone)]
pub struct TimestampAuthority {
    pub key: Key,
    leaf: Vec<u8>,
    /// Between the leaf and the root.
    between: Option<Vec<u8>>,
    root: Vec<u8>,
    pub valid_for: Term,
    carrying: bool,
    /// Whether the trusted root names the leaf.
    listed: bool,
}

impl TimestampAuthority {
    pub fn new() -> Self {
        Self::of(Kind::P256, Term::years())
    }

    /// One that signs with such a key, whose certificate is valid in that time.
    pub fn of(kind: Kind, term: Term) -> Self {
        Self::made(kind, term, |_| {}, None)
    }

    /// One whose certificate was changed before it was signed.
    pub fn with_leaf(change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::made(Kind::P256, Term::years(), change, None)
    }

    /// One below an issuing CA with these purposes.
    pub fn below_issuing(purposes: Vec<ExtendedKeyUsagePurpose>) -> Self {
        Self::made(Kind::P256, Term::years(), |_| {}, Some(purposes))
    }

    fn made(
        kind: Kind,
        term: Term,
        change: impl FnOnce(&mut CertificateParams),
        issuing: Option<Vec<ExtendedKeyUsagePurpose>>,
    ) -> Self {
        let (above, key) = (Key::new(Kind::P256), Key::new(kind));
        let root = authority("tsa root", Term::years());
        let mut leaf = params("tsa", term);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        change(&mut leaf);
        let root_der = root.self_signed(&*above.pair).unwrap().der().to_vec();
        let issuer = Issuer::from_params(&root, &*above.pair);
        let (leaf, between) = match issuing {
            None => (leaf.signed_by(&*key.pair, &issuer).unwrap(), None),
            Some(purposes) => {
                let pair = Key::new(Kind::P384);
                let mut issuing = authority("tsa issuing", Term::years());
                issuing.extended_key_usages = purposes;
                let der = issuing.signed_by(&*pair.pair, &issuer).unwrap().der().to_vec();
                let issuer = Issuer::from_params(&issuing, &*pair.pair);
                (leaf.signed_by(&*key.pair, &issuer).unwrap(), Some(der))
            }
        };
        let leaf = leaf.der().to_vec();
        let (valid_for, carrying, listed) = (Term::years(), false, true);
        Self { key, leaf, between, root: root_der, valid_for, carrying, listed }
    }

    /// The same, of which the trusted root names only the root.
    pub fn unlisted(self) -> Self {
        Self { listed: false, carrying: true, ..self }
    }

    /// The same, but its tokens contain its certificates.
    pub fn carrying_certificates(self) -> Self {
        Self { carrying: true, ..self }
    }

    /// The entry of `timestampAuthorities`.
    pub fn trusted(&self) -> Value {
        let one = |der: &Vec<u8>| json!({ "rawBytes": STANDARD.encode(der) });
        let below = self.listed.then(|| std::iter::once(&self.leaf).chain(&self.between));
        let chain: Vec<Value> = below.into_iter().flatten().chain([&self.root]).map(one).collect();
        json!({
            "subject": { "organization": "test", "commonName": "tsa" },
            "certChain": { "certificates": chain },
            "validFor": { "start": rfc3339(self.valid_for.from), "end": rfc3339(self.valid_for.until) },
        })
    }

    /// A token over `message` (the bytes of a signature) with the time `at`.
    pub fn stamp(&self, message: &[u8], at: i64) -> Vec<u8> {
        let time = OffsetDateTime::from_unix_timestamp(at).unwrap();
        let (month, (hour, minute, second)) = (u8::from(time.month()), time.to_hms());
        let (year, day) = (time.year(), time.day());
        self.stamp_at(
            message,
            &format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z"),
        )
    }

    /// The same, at a GeneralizedTime.
    pub fn stamp_at(&self, message: &[u8], time: &str) -> Vec<u8> {
        let imprint = der(0x30, &[SHA256, &der(0x04, &[&Sha256::digest(message)])]);
        let info = der(
            0x30,
            &[
                &der(0x02, &[&[1]]),
                POLICY,
                &imprint,
                &der(0x02, &[&[7]]),
                &der(0x18, &[time.as_bytes()]),
            ],
        );
        let mut attributes = [
            der(0x30, &[CONTENT_TYPE, &der(0x31, &[TST_INFO])]),
            der(0x30, &[MESSAGE_DIGEST, &der(0x31, &[&der(0x04, &[&Sha256::digest(&info)])])]),
        ];
        attributes.sort();
        let attributes = attributes.concat();
        let signature = self.key.sign(&der(0x31, &[&attributes]));
        let (_, leaf) = X509Certificate::from_der(&self.leaf).unwrap();
        let signer = der(0x30, &[leaf.issuer().as_raw(), &der(0x02, &[leaf.raw_serial()])]);
        let signer = der(
            0x30,
            &[
                &der(0x02, &[&[1]]),
                &signer,
                SHA256,
                &der(0xa0, &[&attributes]),
                if self.key.kind == Kind::Rsa2048 { RSA } else { ECDSA_SHA256 },
                &der(0x04, &[&signature]),
            ],
        );
        let content = der(0x30, &[TST_INFO, &der(0xa0, &[&der(0x04, &[&info])])]);
        let carried = match self.carrying {
            true => {
                let between = self.between.clone().unwrap_or_default();
                der(0xa0, &[&self.leaf, &between, &self.root])
            }
            false => Vec::new(),
        };
        let (version, hashes, signers) =
            (der(0x02, &[&[3]]), der(0x31, &[SHA256]), der(0x31, &[&signer]));
        let data = der(0x30, &[&version, &hashes, &content, &carried, &signers]);
        der(0x30, &[SIGNED_DATA, &der(0xa0, &[&data])])
    }
}

/// A TimeStampResp with that PKIStatus around `token`.
pub fn response(status: u8, token: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(0x30, &[&der(0x02, &[&[status]])]), token])
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut text = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    text.extend(content);
    text
}
