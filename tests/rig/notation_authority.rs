//! Statements of authorities about signers: timestamps (RFC 3161), CRLs and OCSP responses, created at run time, valid
//! or with one defect.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]
#![allow(dead_code, reason = "shared by tests that each use a part of it")]

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature as s;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CrlIssuingDistributionPoint,
    CustomExtension, KeyIdMethod, RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::prelude::FromDer as _;

use crate::notation_signer::{Certified, DAY, Kind, NOW, at};

/// One DER element.
pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..=127 => vec![short as u8],
        long @ 128..=255 => vec![0x81, long as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag][..], &length, &content].concat()
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x31, parts)
}

pub fn octets(content: &[u8]) -> Vec<u8> {
    tlv(4, &[content])
}

pub fn oid(text: &str) -> Vec<u8> {
    let oid = der::asn1::ObjectIdentifier::new(text).unwrap();
    tlv(6, &[oid.as_bytes()])
}

fn sha256(content: &[u8]) -> Vec<u8> {
    digest(&SHA256, content).as_ref().to_vec()
}

fn sha1(content: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, content).as_ref().to_vec()
}

fn sha256_identifier() -> Vec<u8> {
    sequence(&[&oid("2.16.840.1.101.3.4.2.1")])
}

/// `GeneralizedTime` with whole seconds.
pub fn generalized(time: OffsetDateTime) -> String {
    let (date, clock) = (time.date(), time.time());
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}

/// Makes a certificate that of a timestamping authority: one critical extended key usage.
pub fn timestamping(params: &mut CertificateParams) {
    params.custom_extensions.push(purpose("1.3.6.1.5.5.7.3.8", true));
}

/// An extended key usage with one purpose.
pub fn purpose(name: &str, critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 37], sequence(&[&oid(name)]));
    extension.set_criticality(critical);
    extension
}

/// A signature in DER, and the identifier of its algorithm, which uses SHA-256.
fn signed(signer: &Certified, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let private = signer.pair.serialized_der();
    match signer.kind {
        Kind::P256 => {
            let algorithm = &s::ECDSA_P256_SHA256_ASN1_SIGNING;
            let pair = s::EcdsaKeyPair::from_pkcs8(algorithm, private).unwrap();
            let signature = pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
            (signature, sequence(&[&oid("1.2.840.10045.4.3.2")]))
        }
        Kind::Rsa2048 => {
            let pair = s::RsaKeyPair::from_pkcs8(private).unwrap();
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&s::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
            (signature, sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]))
        }
        Kind::P384 | Kind::P521 | Kind::Rsa3072 | Kind::Rsa4096 => {
            panic!("no authority has a key like {:?}", signer.kind)
        }
    }
}

/// The issuer's name, the serial number and the subject of a certificate, each as DER, and its key.
fn names(der: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>) {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(der).unwrap();
    let serial = tlv(2, &[parsed.raw_serial()]);
    let key = parsed.public_key().subject_public_key.data.to_vec();
    (parsed.issuer().as_raw().to_vec(), serial, parsed.subject().as_raw().to_vec(), key)
}

/// A timestamp to create.
#[derive(Clone)]
pub struct Stamp {
    pub authority: Certified,
    pub time: String,
    pub policy: &'static str,
    /// The accuracy, DER.
    pub accuracy: Vec<u8>,
    /// The subject of the statement, instead of the given one.
    pub about: Option<Vec<u8>>,
    /// The certificate that it names as that of its signer.
    pub named: Vec<u8>,
    pub names: bool,
    pub certificates: Vec<Vec<u8>>,
    /// The content of the signed digest, instead of the TSTInfo.
    pub digested: Option<Vec<u8>>,
    pub signers: usize,
    /// The signed content type.
    pub content_type: &'static str,
    /// Additional content of the TSTInfo.
    pub more: Vec<u8>,
}

const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";

impl Stamp {
    /// A timestamp of `authority` at [`NOW`].
    pub fn new(authority: &Certified) -> Self {
        Self {
            authority: authority.clone(),
            time: generalized(at(NOW)),
            policy: "1.2.3.4",
            accuracy: vec![],
            about: None,
            named: authority.der.clone(),
            names: true,
            certificates: authority.chain(),
            digested: None,
            signers: 1,
            content_type: TST_INFO,
            more: vec![],
        }
    }

    pub fn at(self, unix: i64) -> Self {
        Self { time: generalized(at(unix)), ..self }
    }

    /// The token over `content`.
    pub fn token(&self, content: &[u8]) -> Vec<u8> {
        let about = self.about.as_deref().unwrap_or(content);
        let imprint = sequence(&[&sha256_identifier(), &octets(&sha256(about))]);
        let time = tlv(0x18, &[self.time.as_bytes()]);
        let info = sequence(&[
            &[2, 1, 1],
            &oid(self.policy),
            &imprint,
            &[2, 1, 9],
            &time,
            &self.accuracy,
            &self.more,
        ]);
        let digested = self.digested.as_deref().unwrap_or(&info);
        let id = sequence(&[&octets(&sha256(&self.named))]);
        let attribute = |name: &str, value: &[u8]| sequence(&[&oid(name), &set(&[value])]);
        let mut attributes = vec![
            attribute("1.2.840.113549.1.9.3", &oid(self.content_type)),
            attribute("1.2.840.113549.1.9.4", &octets(&sha256(digested))),
        ];
        if self.names {
            let certificate = sequence(&[&sequence(&[&id])]);
            attributes.push(attribute("1.2.840.113549.1.9.16.2.47", &certificate));
        }
        attributes.sort();
        let attributes: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
        let (signature, algorithm) = signed(&self.authority, &set(&attributes));
        let (issuer, serial, _, _) = names(&self.authority.der);
        let signer = sequence(&[
            &[2, 1, 1],
            &sequence(&[&issuer, &serial]),
            &sha256_identifier(),
            &tlv(0xa0, &attributes),
            &algorithm,
            &octets(&signature),
        ]);
        let signers = vec![signer.as_slice(); self.signers];
        let certificates: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        let content = sequence(&[&oid(TST_INFO), &tlv(0xa0, &[&octets(&info)])]);
        let signed = sequence(&[
            &[2, 1, 3],
            &set(&[&sha256_identifier()]),
            &content,
            &tlv(0xa0, &certificates),
            &set(&signers),
        ]);
        sequence(&[&oid("1.2.840.113549.1.7.2"), &tlv(0xa0, &[&signed])])
    }
}

/// A CRL of `issuer`, valid for a day from [`NOW`], after `change`.
pub fn crl(
    issuer: &Certified,
    change: impl FnOnce(&mut CertificateRevocationListParams),
) -> Vec<u8> {
    let mut params = CertificateRevocationListParams {
        this_update: at(NOW - 60),
        next_update: at(NOW + DAY),
        crl_number: SerialNumber::from(7_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    change(&mut params);
    params.signed_by(&issuer.issuer()).unwrap().der().to_vec()
}

/// An entry of a CRL for `certificate`, revoked an hour before [`NOW`].
pub fn revoked(certificate: &Certified) -> RevokedCertParams {
    let (_, parsed) =
        x509_parser::certificate::X509Certificate::from_der(&certificate.der).unwrap();
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(parsed.raw_serial()),
        revocation_time: at(NOW - 3600),
        reason_code: None,
        invalidity_date: None,
    }
}

/// The scope of a CRL: its distribution point.
pub fn scope(url: &str) -> CrlIssuingDistributionPoint {
    let point = rcgen::CrlDistributionPoint { uris: vec![url.to_owned()] };
    CrlIssuingDistributionPoint { distribution_point: point, scope: None }
}

/// An OCSP response to create.
#[derive(Clone)]
pub struct Response {
    pub responder: Certified,
    /// The issuer that signs, if not `responder`.
    pub issuer: Certified,
    pub about: Certified,
    /// `certStatus`, DER.
    pub status: Vec<u8>,
    pub made: i64,
    pub until: Option<i64>,
    pub certificates: Vec<Vec<u8>>,
}

pub const GOOD: [u8; 2] = [0x80, 0];
pub const UNKNOWN: [u8; 2] = [0x82, 0];

pub fn revoked_status() -> Vec<u8> {
    tlv(0xa1, &[&tlv(0x18, &[generalized(at(NOW - 3600)).as_bytes()])])
}

impl Response {
    /// A response of `issuer` that `about`, which it issued, is good for a day.
    pub fn good(issuer: &Certified, about: &Certified) -> Self {
        Self {
            responder: issuer.clone(),
            issuer: issuer.clone(),
            about: about.clone(),
            status: GOOD.to_vec(),
            made: NOW - 60,
            until: Some(NOW + DAY),
            certificates: vec![],
        }
    }

    pub fn der(&self) -> Vec<u8> {
        let (_, serial, _, _) = names(&self.about.der);
        let (_, _, issuer_name, issuer_key) = names(&self.issuer.der);
        let (_, _, responder, _) = names(&self.responder.der);
        let id = sequence(&[
            &sequence(&[&oid("1.3.14.3.2.26"), &[5, 0]]),
            &octets(&sha1(&issuer_name)),
            &octets(&sha1(&issuer_key)),
            &serial,
        ]);
        let time = |unix| tlv(0x18, &[generalized(at(unix)).as_bytes()]);
        let until = self.until.map(|until| tlv(0xa0, &[&time(until)])).unwrap_or_default();
        let single = sequence(&[&id, &self.status, &time(self.made), &until]);
        let data = sequence(&[&tlv(0xa1, &[&responder]), &time(self.made), &sequence(&[&single])]);
        let (signature, algorithm) = signed(&self.responder, &data);
        let certificates: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        let certificates = match certificates.is_empty() {
            true => vec![],
            false => tlv(0xa0, &[&sequence(&certificates)]),
        };
        let basic = sequence(&[&data, &algorithm, &tlv(3, &[&[0], &signature]), &certificates]);
        let bytes = sequence(&[&oid("1.3.6.1.5.5.7.48.1.1"), &octets(&basic)]);
        sequence(&[&[10, 1, 0], &tlv(0xa0, &[&bytes])])
    }
}

/// An extension that names an OCSP responder.
pub fn responder_at(url: &str) -> CustomExtension {
    let description = sequence(&[&oid("1.3.6.1.5.5.7.48.1"), &tlv(0x86, &[url.as_bytes()])]);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], sequence(&[&description]))
}
