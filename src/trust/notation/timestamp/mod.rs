//! The countersignature of a timestamping authority (RFC 3161, RFC 5816): that the signature of an
//! envelope was there at a time. Pure; the revocation of its certificates is asked elsewhere.

mod tst_info;

use cms::cert::IssuerAndSerialNumber;
use cms::signed_data::{EncapsulatedContentInfo, SignerIdentifier, SignerInfo};
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Encode as _, Tag};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AlgorithmIdentifier;

use crate::clock::Timestamp;
use crate::trust::signature::Flaw;

use super::algorithm::{Hash, Made};
use super::asn1::{Elements, context};
use super::certificate::Certificate;
use super::chain::{Chain, MAX_CHAIN, Purpose};
use super::flaw;

pub(super) use tst_info::TstInfo;

/// The most certificates of one token.
const MAX_CERTIFICATES: usize = 16;
/// The most signatures that are verified to find the chain of one token.
const MAX_TRIES: usize = 32;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// A token that a trusted authority made over a signature.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    pub(super) info: TstInfo,
    /// The authority's chain, up to a root of the tsa store, valid at that time.
    pub(super) chain: Chain,
}

/// Verifies `token` as the countersignature of `signature` by an authority below one of `roots`.
pub(super) fn verify(
    token: &[u8],
    signature: &[u8],
    roots: &[Certificate],
) -> Result<Stamped, Flaw> {
    let signed = SignedData::parse(token)
        .ok_or_else(|| wrong("no RFC 3161 token with one signer", "a TimeStampToken"))?;
    let info = TstInfo::parse(&signed.content)
        .ok_or_else(|| wrong("no TSTInfo that could be read", "a TSTInfo of version 1"))?;
    if !info.is_about(signature) {
        return Err(wrong("it is about something else", "the hash of this signature"));
    }
    let signer = signed.verified_signer()?;
    let path = path(signer, &signed.certificates, roots, info.time).ok_or_else(|| {
        let found = format!("the authority {:?} leads to no trusted root", signer.name());
        wrong(found, "a chain to a root of the tsa store, valid at that time")
    })?;
    let chain = Chain::new(path, Purpose::TimeStamping)
        .map_err(|inner| wrong(inner.found, &inner.wanted))?;
    if let Some(one) = chain.invalid_around(info.time, std::time::Duration::ZERO) {
        let found = format!("{:?} was not valid at {}", one.name(), info.time);
        return Err(wrong(found, "an authority that was valid at that time"));
    }
    Ok(Stamped { info, chain })
}

fn wrong(found: impl Into<String>, wanted: &str) -> Flaw {
    flaw("timestamp", found, wanted)
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
        // Raw, for what was signed of a certificate is its bytes as they came.
        let mut listed = Elements::within(parts.optional(context(0, true)).unwrap_or_default())?;
        let mut certificates = Vec::new();
        while !listed.is_finished() {
            // One that cannot be read is nobody's signer and nobody's issuer here.
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

    /// The certificate that the signed attributes name, whose key made the token's signature.
    fn verified_signer(&self) -> Result<&Certificate, Flaw> {
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
            return Err(wrong("its content type is not signed", "a signed contentType"));
        }
        let digest = read_algorithm(&self.signer.digest_alg.to_der().unwrap_or_default())
            .and_then(|identifier| Hash::from_oid(&identifier.algorithm))
            .ok_or_else(|| wrong("it rests on an unknown or weak hash", "SHA-256, -384 or -512"))?;
        let stated = attribute(MESSAGE_DIGEST);
        let stated = stated
            .as_deref()
            .and_then(|der| OctetStringRef::from_der(der).ok())
            .map(|octets| octets.as_bytes());
        if stated != Some(digest.of(&self.content).as_slice()) {
            return Err(wrong("its digest is not that of its TSTInfo", "the signed TSTInfo"));
        }
        let named = attribute(SIGNING_CERTIFICATE_V2)
            .ok_or_else(|| wrong("no signing-certificate-v2", "a signing-certificate-v2"))?;
        let signer = self
            .certificates
            .iter()
            .find(|certificate| is_named(&named, certificate).unwrap_or(false))
            .filter(|certificate| self.is_identified(certificate))
            .ok_or_else(|| {
                wrong("the certificate that it names is not in it", "its signer's certificate")
            })?;
        let message = self.signer.signed_attrs.as_ref().and_then(|attrs| attrs.to_der().ok());
        let algorithm = self.signer.signature_algorithm.to_der().unwrap_or_default();
        let made = read_algorithm(&algorithm)
            .and_then(|identifier| Made::read(&identifier, Some(digest)))
            .filter(|made| made.hash() == digest);
        let holds = match (made, message) {
            (Some(made), Some(message)) => {
                made.verify(&signer.key, &message, self.signer.signature.as_bytes()).is_ok()
            }
            (_, _) => false,
        };
        if !holds {
            return Err(wrong("its signature does not hold", "a signature by the authority"));
        }
        Ok(signer)
    }

    /// Whether the SignerInfo means this certificate.
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

/// The certificates from `signer` to one of `roots`, through those of the token.
fn path(
    signer: &Certificate,
    pool: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
) -> Option<Vec<Certificate>> {
    let mut path = vec![signer];
    let mut tries = MAX_TRIES;
    if !roots.contains(signer) && !extend(&mut path, pool, roots, at, &mut tries) {
        return None;
    }
    Some(path.into_iter().cloned().collect())
}

fn extend<'a>(
    path: &mut Vec<&'a Certificate>,
    pool: &'a [Certificate],
    roots: &'a [Certificate],
    at: Timestamp,
    tries: &mut usize,
) -> bool {
    let Some(last) = path.last().copied() else { return false };
    if path.len() == MAX_CHAIN {
        return false;
    }
    for (issuer, is_root) in
        roots.iter().map(|root| (root, true)).chain(pool.iter().map(|one| (one, false)))
    {
        if issuer.subject != last.issuer || path.contains(&issuer) || !issuer.is_valid_at(at) {
            continue;
        }
        if *tries == 0 {
            return false;
        }
        *tries -= 1;
        if !last.is_issued_by(issuer) {
            continue;
        }
        path.push(issuer);
        if is_root || extend(path, pool, roots, at, tries) {
            return true;
        }
        path.pop();
    }
    false
}
