//! A certificate authority: a root, an intermediate, and short-lived signing certificates with proof of inclusion in a
//! certificate log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, OtherNameValue, SanType, SerialNumber,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::key::{Key, Kind};
use super::{HOUR, NOW, YEAR, rfc3339};

const ISSUER: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 8];
const ISSUER_BARE: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 1];
const USER_NAME: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 7];
const SCTS: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// A validity period, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    pub from: i64,
    pub until: i64,
}

impl Term {
    pub fn years() -> Self {
        Self { from: NOW - YEAR, until: NOW + 10 * YEAR }
    }

    /// The validity of a Fulcio certificate.
    pub fn minutes() -> Self {
        Self { from: NOW - 60, until: NOW + 540 }
    }

    /// A period that ended an hour before the signatures.
    pub fn over() -> Self {
        Self { from: NOW - YEAR, until: NOW - HOUR }
    }
}

/// The content of a signer's certificate; the default is that of a Fulcio certificate for a build.
#[derive(Clone)]
pub struct Leaf {
    pub key: Key,
    pub names: Vec<SanType>,
    /// In the current extension.
    pub issuer: Option<String>,
    /// In the older one.
    pub bare_issuer: Option<String>,
    pub term: Term,
    pub code_signing: bool,
}

impl Leaf {
    pub const IDENTITY: &'static str =
        "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1";
    pub const ISSUER: &'static str = "https://token.actions.githubusercontent.com";

    pub fn new() -> Self {
        Self {
            key: Key::new(Kind::P256),
            names: vec![SanType::URI(Self::IDENTITY.try_into().unwrap())],
            issuer: Some(Self::ISSUER.to_owned()),
            bare_issuer: None,
            term: Term::minutes(),
            code_signing: true,
        }
    }

    pub fn email(mut self, name: &str) -> Self {
        self.names = vec![SanType::Rfc822Name(name.try_into().unwrap())];
        self
    }

    pub fn host(mut self, name: &str) -> Self {
        self.names = vec![SanType::DnsName(name.try_into().unwrap())];
        self
    }

    pub fn user_name(mut self, name: &str) -> Self {
        let value = OtherNameValue::Utf8String(name.to_owned());
        self.names = vec![SanType::OtherName((USER_NAME.to_vec(), value))];
        self
    }
}

/// A signer's certificate with its key.
#[derive(Clone)]
pub struct Certified {
    pub key: Key,
    pub der: Vec<u8>,
    /// The certificates above it, the root last.
    pub above: Vec<Vec<u8>>,
}

impl Certified {
    pub fn pem(&self) -> String {
        pem(&self.der)
    }

    pub fn chain_pem(&self) -> String {
        self.above.iter().map(|der| pem(der)).collect()
    }
}

/// A root and one intermediate below it.
#[derive(Clone)]
pub struct Authority {
    name: String,
    root: Key,
    intermediate: Key,
    pub root_der: Vec<u8>,
    pub intermediate_der: Vec<u8>,
    pub valid_for: Term,
}

impl Authority {
    pub fn new(name: &str, intermediate: Term) -> Self {
        Self::with_root(name, Term::years(), intermediate)
    }

    pub fn with_root(name: &str, root_term: Term, intermediate_term: Term) -> Self {
        let (root, intermediate) = (Key::new(Kind::P384), Key::new(Kind::P256));
        let params = authority(&format!("{name} root"), root_term);
        let root_der = params.self_signed(&*root.pair).unwrap().der().to_vec();
        let issuer = Issuer::from_params(&params, &*root.pair);
        let below = authority(name, intermediate_term);
        let intermediate_der =
            below.signed_by(&*intermediate.pair, &issuer).unwrap().der().to_vec();
        let name = name.to_owned();
        Self { name, root, intermediate, root_der, intermediate_der, valid_for: Term::years() }
    }

    /// Another intermediate with the same name, key and root, and another period.
    pub fn renewed(&self, term: Term) -> Self {
        let params = authority(&format!("{} root", self.name), Term::years());
        let issuer = Issuer::from_params(&params, &*self.root.pair);
        let below = authority(&self.name, term);
        let der = below.signed_by(&*self.intermediate.pair, &issuer).unwrap().der().to_vec();
        Self { intermediate_der: der, ..self.clone() }
    }

    /// A certificate for `leaf`; with a log, it contains the log's signed timestamp.
    pub fn certify(&self, leaf: &Leaf, log: Option<&Key>) -> Certified {
        let name = authority(&self.name, Term::years());
        let issuer = Issuer::from_params(&name, &*self.intermediate.pair);
        let mut params = params("", leaf.term);
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names.clone_from(&leaf.names);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if leaf.code_signing {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }
        if let Some(text) = &leaf.bare_issuer {
            let value = text.as_bytes().to_vec();
            params.custom_extensions.push(CustomExtension::from_oid_content(ISSUER_BARE, value));
        }
        if let Some(text) = &leaf.issuer {
            let mut value = vec![0x0c, u8::try_from(text.len()).unwrap()];
            value.extend(text.as_bytes());
            params.custom_extensions.push(CustomExtension::from_oid_content(ISSUER, value));
        }
        if let Some(log) = log {
            let bare = params.clone().signed_by(&*leaf.key.pair, &issuer).unwrap();
            let (_, parsed) = X509Certificate::from_der(bare.der()).unwrap();
            let seen = sct(parsed.tbs_certificate.as_ref(), &self.intermediate.spki(), log);
            params.custom_extensions.push(CustomExtension::from_oid_content(SCTS, seen));
        }
        let der = params.signed_by(&*leaf.key.pair, &issuer).unwrap().der().to_vec();
        let above = vec![self.intermediate_der.clone(), self.root_der.clone()];
        Certified { key: leaf.key.clone(), der, above }
    }

    /// The entry of `certificateAuthorities`.
    pub fn trusted(&self) -> Value {
        let one = |der: &[u8]| json!({ "rawBytes": STANDARD.encode(der) });
        json!({
            "subject": { "organization": "test", "commonName": self.name },
            "uri": "https://fulcio.test",
            "certChain": { "certificates": [one(&self.intermediate_der), one(&self.root_der)] },
            "validFor": { "start": rfc3339(self.valid_for.from), "end": rfc3339(self.valid_for.until) },
        })
    }

    /// The content of the file in `chain`.
    pub fn chain_pem(&self) -> String {
        pem(&self.intermediate_der) + &pem(&self.root_der)
    }
}

/// The parameters of a certificate with a new serial number.
pub(super) fn params(name: &str, term: Term) -> CertificateParams {
    let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(term.from);
    params.not_after = at(term.until);
    let serial = Sha256::digest(format!("{name} {term:?}"));
    params.serial_number = Some(SerialNumber::from_slice(&[&[1], &serial[..15]].concat()));
    params
}

pub(super) fn authority(name: &str, term: Term) -> CertificateParams {
    let mut params = params(name, term);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// A list of one signed certificate timestamp (RFC 6962, 3.2 and 3.3), in its OCTET STRING.
fn sct(certificate: &[u8], issuer_spki: &[u8], log: &Key) -> Vec<u8> {
    let at = (u64::try_from(NOW).unwrap() * 1000).to_be_bytes();
    let length = u32::try_from(certificate.len()).unwrap().to_be_bytes();
    let issuer: [u8; 32] = Sha256::digest(issuer_spki).into();
    // v1, certificate_timestamp, time, precert_entry, issuer, certificate, no extensions.
    let signed = [&[0, 0][..], &at, &[0, 1], &issuer, &length[1..], certificate, &[0, 0]].concat();
    let signature = log.sign(&signed);
    let short = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    // SHA-256, ECDSA.
    let one = [&[0][..], &log.id(), &at, &[0, 0, 4, 3], &short(&signature), &signature].concat();
    let list = [&short(&one)[..], &one].concat();
    let list = [&short(&list)[..], &list].concat();
    [&[0x04, u8::try_from(list.len()).unwrap()][..], &list].concat()
}

pub fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
