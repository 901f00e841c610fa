//! RFC 3161 timestamps (with RFC 5816), for every scheme: that some bytes existed at a time. Pure; does not check the
//! revocation of certificates.

mod tst_info;

use cms::cert::IssuerAndSerialNumber;
use cms::signed_data::{EncapsulatedContentInfo, SignerIdentifier, SignerInfo};
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Encode as _, Tag};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AlgorithmIdentifier;

use crate::clock::Timestamp;
use crate::trust::signature::Flaw;
use crate::trust::x509::asn1::{Elements, context, small};
use crate::trust::x509::{Certificate, Hash, SignatureAlgorithm};

pub(in crate::trust) use tst_info::TstInfo;

/// The most certificates in one token.
const MAX_CERTIFICATES: usize = 16;
/// The most certificates from the signer of a token to its root.
const MAX_PATH: usize = 8;
/// The most signatures verified to find the path of one token.
const MAX_TRIES: usize = 32;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// Whose tokens are trusted.
#[derive(Clone, Copy, Debug)]
pub(in crate::trust) struct Authority<'a> {
    /// The only certificate that signs tokens. `None`: any certificate of the token, if it leads to a root.
    pub(in crate::trust) signer: Option<&'a Certificate>,
    pub(in crate::trust) intermediates: &'a [Certificate],
    pub(in crate::trust) roots: &'a [Certificate],
    /// Whether a token must name its signer with signing-certificate-v2 (RFC 5816). If a token has this attribute, it
    /// is always checked.
    pub(in crate::trust) names_signer: bool,
}

/// A token that a trusted authority made.
#[derive(Clone, Debug)]
pub(in crate::trust) struct Stamped {
    pub(in crate::trust) info: TstInfo,
    /// The certificates from the signer to a root. Each is valid at that time, and issued by the next one.
    pub(in crate::trust) path: Vec<Certificate>,
}

/// Verifies that `token`, a TimeStampToken, is the authority's timestamp over `content`.
pub(in crate::trust) fn verify(
    token: &[u8],
    content: &[u8],
    authority: &Authority<'_>,
) -> Result<Stamped, Flaw> {
    let signed = SignedData::parse(token)
        .ok_or_else(|| wrong("no RFC 3161 token with one signer", "a TimeStampToken"))?;
    let info = TstInfo::parse(&signed.content)
        .ok_or_else(|| wrong("a TSTInfo that cannot be read", "a TSTInfo of version 1"))?;
    if !info.is_about(content) {
        return Err(wrong("the timestamp is about something else", "the hash of this signature"));
    }
    let signer = signed.verified_signer(authority)?;
    if !signer.extended_key_usage.is_some_and(|purposes| purposes.time_stamping) {
        let found = format!("the certificate of {:?} is not for timestamps", signer.name());
        return Err(wrong(found, "extendedKeyUsage timeStamping"));
    }
    if !signer.is_valid_at(info.time) {
        let found = format!("{:?} was not valid at {}", signer.name(), info.time);
        return Err(wrong(found, "an authority that was valid at that time"));
    }
    let path = signed.path(signer, authority, info.time).ok_or_else(|| {
        let found = format!("the authority {:?} leads to no trusted root", signer.name());
        wrong(found, "a chain to a trusted root, valid at that time")
    })?;
    Ok(Stamped { info, path })
}

/// The TimeStampToken in a TimeStampResp (RFC 3161, section 2.4.2) that grants one. A TimeStampToken is returned as it is.
pub(in crate::trust) fn granted(response: &[u8]) -> Option<&[u8]> {
    let mut parts = Elements::of(response)?;
    let Some(status) = parts.optional(Tag::Sequence) else { return Some(response) };
    let status = small(Elements::within(status)?.content(Tag::Integer)?)?;
    // granted, grantedWithMods
    let token = matches!(status, 0 | 1).then(|| parts.raw())??;
    parts.is_finished().then_some(token)
}

fn wrong(found: impl Into<String>, wanted: &str) -> Flaw {
    Flaw { check: "timestamp", found: found.into(), wanted: wanted.to_owned() }
}

/// The parts of a CMS SignedData (RFC 5652, section 5.1) with exactly one signer.
struct SignedData {
    /// The TSTInfo.
    content: Vec<u8>,
    certificates: Vec<Certificate>,
    signer: SignerInfo,
}

impl SignedData {
    fn parse(token: &[u8]) -> Option<Self> {
        let mut outer = Elements::of(token)?;
        let kind = ObjectIdentifier::from_der(outer.raw()?).ok()?;
        let inner = outer.content(context(0, true))?;
        if kind != SIGNED_DATA || !outer.is_finished() {
            return None;
        }
        let mut parts = Elements::of(inner)?;
        parts.content(Tag::Integer)?;
        parts.content(Tag::Set)?;
        let content = EncapsulatedContentInfo::from_der(parts.raw()?).ok()?;
        let octets = content.econtent.filter(|_| content.econtent_type == TST_INFO)?;
        let octets = octets.decode_as::<OctetStringRef<'_>>().ok()?.as_bytes().to_vec();
        // Raw: a certificate's signature is over the bytes as received.
        let mut listed = Elements::within(parts.optional(context(0, true)).unwrap_or_default())?;
        let mut certificates = Vec::new();
        while !listed.is_finished() {
            // An unreadable certificate cannot be the signer or an issuer.
            certificates.extend(Certificate::parse(listed.raw()?).ok());
            if certificates.len() > MAX_CERTIFICATES {
                return None;
            }
        }
        parts.optional(context(1, true));
        let mut signers = Elements::within(parts.content(Tag::Set)?)?;
        let signer = SignerInfo::from_der(signers.raw()?).ok()?;
        (signers.is_finished() && parts.is_finished()).then_some(Self {
            content: octets,
            certificates,
            signer,
        })
    }

    /// The certificate that the token names, if its key signed the token.
    fn verified_signer<'a>(&'a self, authority: &Authority<'a>) -> Result<&'a Certificate, Flaw> {
        let attribute = |oid: ObjectIdentifier| -> Option<Vec<u8>> {
            let mut found =
                self.signer.signed_attrs.as_ref()?.iter().filter(|attribute| attribute.oid == oid);
            let (attribute, None) = (found.next()?, found.next()) else { return None };
            let (1, Some(value)) = (attribute.values.len(), attribute.values.get(0)) else {
                return None;
            };
            value.to_der().ok()
        };
        let kind = attribute(CONTENT_TYPE).and_then(|der| ObjectIdentifier::from_der(&der).ok());
        if kind != Some(TST_INFO) {
            return Err(wrong("the content type is not signed", "a signed contentType"));
        }
        let digest = read_algorithm(&self.signer.digest_alg.to_der().unwrap_or_default())
            .and_then(|identifier| Hash::from_oid(&identifier.algorithm))
            .ok_or_else(|| {
                wrong("the timestamp uses an unknown or weak hash", "SHA-256, -384 or -512")
            })?;
        let stated = attribute(MESSAGE_DIGEST);
        let stated = stated
            .as_deref()
            .and_then(|der| OctetStringRef::from_der(der).ok())
            .map(|octets| octets.as_bytes());
        if stated != Some(digest.of(&self.content).as_slice()) {
            return Err(wrong(
                "the signed digest is not that of the TSTInfo",
                "the signed TSTInfo",
            ));
        }
        let named = attribute(SIGNING_CERTIFICATE_V2);
        if authority.names_signer && named.is_none() {
            return Err(wrong("no signing-certificate-v2", "a signing-certificate-v2"));
        }
        let is_named = |certificate: &Certificate| {
            named.as_deref().is_none_or(|named| is_named(named, certificate).unwrap_or(false))
        };
        let candidates = match authority.signer {
            Some(signer) => std::slice::from_ref(signer),
            None => &self.certificates,
        };
        let signer = candidates
            .iter()
            .find(|certificate| is_named(certificate) && self.is_identified(certificate))
            .ok_or_else(|| match authority.signer {
                Some(signer) => {
                    let found = format!("the signer of the timestamp is not {:?}", signer.name());
                    wrong(found, "a timestamp by a trusted authority")
                }
                None => wrong(
                    "the token lacks the certificate that it names",
                    "its signer's certificate",
                ),
            })?;
        let message = self.signer.signed_attrs.as_ref().and_then(|attrs| attrs.to_der().ok());
        let algorithm = self.signer.signature_algorithm.to_der().unwrap_or_default();
        let made = read_algorithm(&algorithm)
            .and_then(|identifier| SignatureAlgorithm::read(&identifier, Some(digest)))
            .filter(|made| made.hash() == digest);
        let holds = match (made, message) {
            (Some(made), Some(message)) => {
                made.verify(&signer.key, &message, self.signer.signature.as_bytes()).is_ok()
            }
            (_, _) => false,
        };
        if !holds {
            return Err(wrong(
                "the signature of the timestamp is not valid",
                "a signature by the authority",
            ));
        }
        Ok(signer)
    }

    /// The certificates from `signer` to a root of the authority.
    fn path(
        &self,
        signer: &Certificate,
        authority: &Authority<'_>,
        at: Timestamp,
    ) -> Option<Vec<Certificate>> {
        if authority.roots.contains(signer) {
            return Some(vec![signer.clone()]);
        }
        // The certificates of a token may lead to a root only if any signer below the root is trusted.
        let carried = if authority.signer.is_some() { &[] } else { self.certificates.as_slice() };
        let pool = authority.intermediates.iter().chain(carried).collect();
        let mut search = Search { pool, authority, at, tries: MAX_TRIES };
        let mut path = vec![signer];
        let found = search.extend(&mut path);
        found.then(|| path.into_iter().cloned().collect())
    }

    /// Whether the SignerInfo identifies this certificate.
    fn is_identified(&self, certificate: &Certificate) -> bool {
        match &self.signer.sid {
            SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer,
                serial_number,
            }) => {
                issuer.to_der().is_ok_and(|issuer| issuer == certificate.issuer)
                    && serial_number.as_bytes() == certificate.serial
            }
            SignerIdentifier::SubjectKeyIdentifier(id) => {
                certificate.subject_key_id.as_deref() == Some(id.0.as_bytes())
            }
        }
    }
}

fn read_algorithm(der: &[u8]) -> Option<AlgorithmIdentifier<'_>> {
    AlgorithmIdentifier::from_der(der).ok().map(|(_, identifier)| identifier)
}

/// Whether the first ESSCertIDv2 of a SigningCertificateV2 (RFC 5035, section 3) is `certificate`.
fn is_named(signing_certificate: &[u8], certificate: &Certificate) -> Option<bool> {
    let mut parts = Elements::of(signing_certificate)?;
    let mut ids = Elements::within(parts.content(Tag::Sequence)?)?;
    let mut id = Elements::within(ids.content(Tag::Sequence)?)?;
    let first = id.raw()?;
    let (hash, stated) = match OctetStringRef::from_der(first) {
        Ok(stated) => (Hash::Sha256, stated.as_bytes()),
        Err(_) => {
            let hash = Hash::from_oid(&read_algorithm(first)?.algorithm)?;
            (hash, id.content(Tag::OctetString)?)
        }
    };
    if hash.of(&certificate.der) != stated {
        return Some(false);
    }
    let Some(issuer_serial) = id.optional(Tag::Sequence) else { return Some(true) };
    let mut issuer_serial = Elements::within(issuer_serial)?;
    let mut names = Elements::within(issuer_serial.content(Tag::Sequence)?)?;
    let issuer = names.content(context(4, true))?;
    let serial = issuer_serial.content(Tag::Integer)?;
    Some(names.is_finished() && issuer == certificate.issuer && serial == certificate.serial)
}

/// A search for the path from a signer to a root.
struct Search<'a> {
    pool: Vec<&'a Certificate>,
    authority: &'a Authority<'a>,
    at: Timestamp,
    tries: usize,
}

impl<'a> Search<'a> {
    fn extend(&mut self, path: &mut Vec<&'a Certificate>) -> bool {
        let Some(last) = path.last().copied() else { return false };
        if path.len() == MAX_PATH {
            return false;
        }
        let roots = self.authority.roots.iter().map(|root| (root, true));
        let issuers: Vec<_> = roots.chain(self.pool.iter().map(|one| (*one, false))).collect();
        for (issuer, is_root) in issuers {
            let fits = issuer.subject == last.issuer && issuer.is_valid_at(self.at);
            if !fits || path.contains(&issuer) || !(is_root || self.may_issue(issuer, path.len())) {
                continue;
            }
            if self.tries == 0 {
                return false;
            }
            self.tries -= 1;
            if !last.is_issued_by(issuer) {
                continue;
            }
            path.push(issuer);
            if is_root || self.extend(path) {
                return true;
            }
            path.pop();
        }
        false
    }

    /// Whether an intermediate may issue the last of `below` certificates.
    fn may_issue(&self, issuer: &Certificate, below: usize) -> bool {
        let authorities = u32::try_from(below.saturating_sub(1)).unwrap_or(u32::MAX);
        let is_ca = issuer.basic_constraints.is_some_and(|constraints| {
            constraints.ca && constraints.path_len.is_none_or(|most| authorities <= most)
        });
        let signs = issuer.key_usage.is_none_or(|usage| usage.cert_sign);
        // A CA that is limited to other purposes cannot make new authorities. It may be above a trusted signer.
        let for_timestamps = self.authority.signer.is_some()
            || issuer
                .extended_key_usage
                .is_none_or(|purposes| purposes.time_stamping || purposes.any);
        is_ca && signs && for_timestamps
    }
}
