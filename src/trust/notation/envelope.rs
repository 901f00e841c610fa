//! A signature envelope of either format: the signed content, its attributes and its certificates. Checks the form and the
//! signature; trust in the certificates is checked elsewhere.

use std::collections::BTreeSet;

use crate::clock::Timestamp;
use crate::trust::keys::VerifiedBytes;
use crate::trust::signature::{Flaw, VerifiedSignature};
use crate::trust::signer::{SignerId, SignerIds};

use super::algorithm::Algorithm;
use super::chain::{Chain, MAX_CHAIN, Purpose};
use super::{cose, flaw, jws, too_much};
use crate::trust::x509::{Certificate, shortened};

/// The largest envelope in bytes (notation-go: 32 MiB).
pub const MAX_ENVELOPE: usize = 1 << 20;
/// The longest protected header in bytes.
pub(super) const MAX_PROTECTED: usize = 64 << 10;
/// The longest payload in bytes.
pub(super) const MAX_PAYLOAD: usize = 256 << 10;
/// The longest signature in bytes.
pub(super) const MAX_SIGNATURE: usize = 1024;
/// The longest timestamp token in bytes.
pub(super) const MAX_TOKEN: usize = 256 << 10;

pub(super) const CONTENT_TYPE: &str = "application/vnd.cncf.notary.payload.v1+json";
pub(super) const SIGNING_SCHEME: &str = "io.cncf.notary.signingScheme";
pub(super) const SIGNING_TIME: &str = "io.cncf.notary.signingTime";
pub(super) const AUTHENTIC_SIGNING_TIME: &str = "io.cncf.notary.authenticSigningTime";
pub(super) const EXPIRY: &str = "io.cncf.notary.expiry";
pub(super) const TIMESTAMP: &str = "io.cncf.notary.timestampSignature";
/// The prefix of attributes that require a plugin, which are not supported.
const PLUGIN: &str = "io.cncf.notary.verificationPlugin";

/// Who states the time of a signature (signing-scheme).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningScheme {
    /// `notary.x509`: the signer states the time.
    X509 { signing_time: Timestamp },
    /// `notary.x509.signingAuthority`: a signing service states the time.
    SigningAuthority { authentic_signing_time: Timestamp },
}

/// The protected header. `names` are all its attributes except those that the format itself defines.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) content_type: String,
    pub(super) critical: Vec<String>,
    pub(super) names: BTreeSet<String>,
    pub(super) scheme: Option<String>,
    pub(super) signing_time: Option<Timestamp>,
    pub(super) authentic_signing_time: Option<Timestamp>,
    pub(super) expiry: Option<Timestamp>,
}

/// The parts of an envelope, unverified.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// Only for the error about an algorithm that does not fit the key.
    pub(super) header: Header,
    /// The bytes that were signed.
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// DER certificates, the signer's first.
    pub(super) chain: Vec<Vec<u8>>,
    /// An RFC 3161 token.
    pub(super) token: Option<Vec<u8>>,
}

/// Reads the attributes and the payload from the signed bytes.
type ReadSigned = fn(VerifiedBytes<'_>) -> Result<(Header, Vec<u8>), Flaw>;

/// An envelope whose signature verifies with the first certificate of its chain. Its payload and attributes were read from
/// the verified bytes. That certificate may be untrusted.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// The signature of the first certificate, without a time.
    pub(super) vouched: VerifiedSignature,
    pub(super) scheme: SigningScheme,
    pub(super) expiry: Option<Timestamp>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) chain: Chain,
    pub(super) token: Option<Vec<u8>>,
}

impl Envelope {
    /// Reads an envelope of `media_type` and verifies its integrity. `None` for any other media type.
    pub(super) fn verify(media_type: &str, bytes: &[u8]) -> Option<Result<Self, Flaw>> {
        type Parse = fn(&[u8]) -> Result<Parts, Flaw>;
        let (parse, read): (Parse, ReadSigned) = match media_type {
            jws::MEDIA_TYPE => (jws::parse, jws::read_signed),
            cose::MEDIA_TYPE => (cose::parse, cose::read_signed),
            _ => return None,
        };
        if bytes.len() > MAX_ENVELOPE {
            let found = format!("{} bytes", bytes.len());
            return Some(Err(too_much(found, format!("at most {MAX_ENVELOPE}"))));
        }
        Some(parse(bytes).and_then(|parts| Self::new(parts, read)))
    }

    fn new(parts: Parts, read: ReadSigned) -> Result<Self, Flaw> {
        let Parts { header, message, signature, chain, token } = parts;
        if chain.len() > MAX_CHAIN {
            let found = format!("{} certificates", chain.len());
            return Err(too_much(found, format!("at most {MAX_CHAIN}")));
        }
        let unreadable = |why| flaw("certificate_chain", why, "X.509 certificates");
        let chain: Vec<Certificate> = chain
            .iter()
            .map(|der| Certificate::parse(der).map_err(unreadable))
            .collect::<Result<_, _>>()?;
        let Some(leaf) = chain.first() else {
            return Err(flaw("certificate_chain", "no certificate", "the signer's chain"));
        };
        let Some(algorithm) = Algorithm::of(&leaf.key) else {
            let wanted = "RSA 2048, 3072 or 4096, or P-256, P-384 or P-521";
            return Err(flaw("algorithm", "the signer's key is of another size", wanted));
        };
        if header.algorithm != algorithm.as_str() {
            let found = format!("alg is {:?}", shortened(&header.algorithm));
            let wanted = format!("{}, by the signer's key", algorithm.as_str());
            return Err(flaw("algorithm", found, wanted));
        }
        let verified = algorithm.verify(&leaf.key, &message, &signature).map_err(|_| {
            let found = format!("the signature is not one of {:?} over this", leaf.name());
            flaw("signature", found, "a signature by its own first certificate")
        })?;
        let (header, payload) = read(verified)?;
        if header.content_type != CONTENT_TYPE {
            let found = format!("the payload is {:?}", shortened(&header.content_type));
            return Err(flaw("content_type", found, CONTENT_TYPE));
        }
        let (scheme, expiry) = header.check()?;
        let chain = Chain::new(chain, Purpose::CodeSigning)?;
        let vouched = VerifiedSignature::by(verified, chain.leaf().name().to_owned(), ids(&chain));
        Ok(Self { vouched, scheme, expiry, payload, signature, chain, token })
    }
}

/// The signer's key, and its name below its root.
fn ids(chain: &Chain) -> SignerIds {
    let leaf = chain.leaf();
    let root = chain.iter().last().unwrap_or(leaf);
    SignerIds::from([SignerId::of_key(&leaf.key), SignerId::of_name(&root.der, &leaf.subject)])
}

impl Header {
    /// The signing scheme and the expiry, if all required attributes exist and are critical, and no unknown attribute is
    /// critical.
    fn check(&self) -> Result<(SigningScheme, Option<Timestamp>), Flaw> {
        if let Some(plugin) = self.names.iter().find(|name| name.starts_with(PLUGIN)) {
            let found = format!("{:?} asks for a plugin to verify it", shortened(plugin));
            return Err(flaw("critical_attribute", found, "a signature that needs no plugin"));
        }
        let mut critical = BTreeSet::new();
        for name in &self.critical {
            if ![SIGNING_SCHEME, AUTHENTIC_SIGNING_TIME, EXPIRY].contains(&name.as_str()) {
                let found = format!("{:?} is critical, and unknown here", shortened(name));
                return Err(flaw(
                    "critical_attribute",
                    found,
                    "only attributes that are known here",
                ));
            }
            if !self.names.contains(name) || !critical.insert(name.as_str()) {
                let found = format!("{name} is critical, and not there once");
                return Err(flaw("critical_attribute", found, "each critical attribute once"));
            }
        }
        let must = |name: &'static str, there: bool| {
            if there && !critical.contains(name) {
                let found = format!("{name} is not critical");
                return Err(flaw("critical_attribute", found, format!("{name} in crit")));
            }
            Ok(())
        };
        must(SIGNING_SCHEME, true)?;
        must(AUTHENTIC_SIGNING_TIME, self.authentic_signing_time.is_some())?;
        must(EXPIRY, self.expiry.is_some())?;
        let unfit = |found: &str| flaw("signing_scheme", found, "the one time that its scheme has");
        let (scheme, signed) =
            match (self.scheme.as_deref(), self.signing_time, self.authentic_signing_time) {
                (Some("notary.x509"), Some(time), None) => {
                    (SigningScheme::X509 { signing_time: time }, time)
                }
                (Some("notary.x509.signingAuthority"), None, Some(time)) => {
                    (SigningScheme::SigningAuthority { authentic_signing_time: time }, time)
                }
                (Some("notary.x509" | "notary.x509.signingAuthority"), _, _) => {
                    return Err(unfit("the times do not fit the signing scheme"));
                }
                (Some(other), _, _) => {
                    return Err(unfit(&format!(
                        "an unknown signing scheme, {:?}",
                        shortened(other)
                    )));
                }
                (None, _, _) => return Err(unfit("no signing scheme")),
            };
        if self.expiry.is_some_and(|expiry| expiry <= signed) {
            return Err(flaw("expiry", "it expired before it was signed", "expiry after signing"));
        }
        Ok((scheme, self.expiry))
    }
}
