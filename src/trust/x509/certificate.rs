//! X.509 certificates: the parts that the rules for signers, timestamping authorities and revocation need. Ignores other
//! extensions (signature-specification, "Other requirements"). Decides nothing about trust.

use der::Tag;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::clock::Timestamp;
use crate::text::shown;
use crate::trust::keys::PublicKey;

use super::algorithm::SignatureAlgorithm;
use super::asn1::{Elements, context};

/// The largest certificate in bytes.
const MAX_CERTIFICATE: usize = 64 << 10;
/// The most places of one kind that a certificate may name for its revocation.
const MAX_URLS: usize = 8;
/// The longest of those in bytes.
const MAX_URL: usize = 2048;
/// The most characters of a name that are shown.
const MAX_NAME: usize = 512;

/// `basicConstraints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trust) struct BasicConstraints {
    pub(in crate::trust) critical: bool,
    pub(in crate::trust) ca: bool,
    pub(in crate::trust) path_len: Option<u32>,
}

/// `keyUsage`, as far as somebody looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trust) struct KeyUsage {
    pub(in crate::trust) critical: bool,
    pub(in crate::trust) digital_signature: bool,
    pub(in crate::trust) cert_sign: bool,
    pub(in crate::trust) crl_sign: bool,
    /// Any of keyEncipherment, dataEncipherment, keyAgreement, encipherOnly, decipherOnly.
    pub(in crate::trust) encipherment: bool,
}

/// `extendedKeyUsage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trust) struct ExtendedKeyUsage {
    pub(in crate::trust) critical: bool,
    pub(in crate::trust) time_stamping: bool,
    pub(in crate::trust) ocsp_signing: bool,
    /// anyExtendedKeyUsage.
    pub(in crate::trust) any: bool,
    /// Any of anyExtendedKeyUsage, serverAuth, clientAuth, emailProtection.
    pub(in crate::trust) otherwise: bool,
    /// How many purposes there are.
    pub(in crate::trust) count: usize,
}

/// One certificate. Nothing of it is believed by being read.
#[derive(Clone, Debug)]
pub(in crate::trust) struct Certificate {
    pub(in crate::trust) der: Vec<u8>,
    pub(in crate::trust) subject: Vec<u8>,
    pub(in crate::trust) issuer: Vec<u8>,
    /// The content octets of the serial number.
    pub(in crate::trust) serial: Vec<u8>,
    pub(in crate::trust) key: PublicKey,
    /// The bits of the key, without their algorithm.
    pub(in crate::trust) key_bits: Vec<u8>,
    pub(in crate::trust) not_before: Timestamp,
    pub(in crate::trust) not_after: Timestamp,
    pub(in crate::trust) basic_constraints: Option<BasicConstraints>,
    pub(in crate::trust) key_usage: Option<KeyUsage>,
    pub(in crate::trust) extended_key_usage: Option<ExtendedKeyUsage>,
    pub(in crate::trust) subject_key_id: Option<Vec<u8>>,
    pub(in crate::trust) ocsp: Vec<String>,
    pub(in crate::trust) crl: Vec<String>,
    /// Whether a part of `crl` could not be understood.
    pub(in crate::trust) crl_beyond: bool,
    /// Whether its revocation need not be asked for (`id-pkix-ocsp-nocheck`).
    pub(in crate::trust) ocsp_no_check: bool,
    /// How its issuer signed it; none with SHA-1 and what is weaker.
    made: Option<SignatureAlgorithm>,
    signed: Vec<u8>,
    signature: Vec<u8>,
    name: String,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl Certificate {
    pub(in crate::trust) fn parse(der: &[u8]) -> Result<Self, String> {
        if der.len() > MAX_CERTIFICATE {
            return Err(format!("a certificate is longer than {MAX_CERTIFICATE} bytes"));
        }
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| "it is no X.509 certificate".to_owned())?;
        if !rest.is_empty() {
            return Err("something follows the certificate".to_owned());
        }
        let name = shortened(&parsed.subject().to_string());
        let wrong = |what: &str| format!("the certificate {name:?} {what}");
        if !names_one_algorithm(der).unwrap_or(false) {
            return Err(wrong("names two signature algorithms"));
        }
        if parsed.signature_value.unused_bits != 0 {
            return Err(wrong("has a signature that is no whole number of bytes"));
        }
        parsed.extensions_map().map_err(|_| wrong("has an extension twice"))?;
        let unreadable = |_| wrong("has an extension that cannot be read");
        let key = PublicKey::from_spki(parsed.public_key().raw).ok_or_else(|| {
            wrong("has a key that is neither RSA of 2048 to 8192 bits nor on P-256, P-384 or P-521")
        })?;
        let basic_constraints = parsed.basic_constraints().map_err(unreadable)?;
        let key_usage = parsed.key_usage().map_err(unreadable)?;
        let extended = parsed.extended_key_usage().map_err(unreadable)?;
        let mut certificate = Self {
            der: der.to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            serial: parsed.raw_serial().to_vec(),
            key,
            key_bits: parsed.public_key().subject_public_key.data.to_vec(),
            not_before: Timestamp::from_unix(parsed.validity().not_before.timestamp()),
            not_after: Timestamp::from_unix(parsed.validity().not_after.timestamp()),
            basic_constraints: basic_constraints.map(|extension| BasicConstraints {
                critical: extension.critical,
                ca: extension.value.ca,
                path_len: extension.value.path_len_constraint,
            }),
            key_usage: key_usage.map(|extension| KeyUsage {
                critical: extension.critical,
                digital_signature: extension.value.digital_signature(),
                cert_sign: extension.value.key_cert_sign(),
                crl_sign: extension.value.crl_sign(),
                encipherment: extension.value.key_encipherment()
                    || extension.value.data_encipherment()
                    || extension.value.key_agreement()
                    || extension.value.encipher_only()
                    || extension.value.decipher_only(),
            }),
            extended_key_usage: extended.map(|extension| {
                let purposes = extension.value;
                let known = [
                    purposes.any,
                    purposes.server_auth,
                    purposes.client_auth,
                    purposes.code_signing,
                    purposes.email_protection,
                    purposes.time_stamping,
                    purposes.ocsp_signing,
                ];
                ExtendedKeyUsage {
                    critical: extension.critical,
                    time_stamping: purposes.time_stamping,
                    ocsp_signing: purposes.ocsp_signing,
                    any: purposes.any,
                    otherwise: purposes.any
                        || purposes.server_auth
                        || purposes.client_auth
                        || purposes.email_protection,
                    count: known.iter().filter(|has| **has).count() + purposes.other.len(),
                }
            }),
            subject_key_id: None,
            ocsp: Vec::new(),
            crl: Vec::new(),
            crl_beyond: false,
            ocsp_no_check: false,
            made: SignatureAlgorithm::read(&parsed.signature_algorithm, None),
            signed: parsed.tbs_certificate.as_ref().to_vec(),
            signature: parsed.signature_value.data.to_vec(),
            name: name.clone(),
        };
        certificate.read_places(&parsed);
        let places = certificate.ocsp.iter().chain(&certificate.crl);
        let long = places.clone().any(|url| url.len() > MAX_URL);
        if long || certificate.ocsp.len() > MAX_URLS || certificate.crl.len() > MAX_URLS {
            return Err(wrong("names too many or too long places for its revocation"));
        }
        Ok(certificate)
    }

    fn read_places(&mut self, parsed: &X509Certificate<'_>) {
        for extension in parsed.extensions() {
            let oid = extension.oid.to_id_string();
            self.ocsp_no_check |= oid == "1.3.6.1.5.5.7.48.1.5";
            // Deltas that the certificate itself names, and points that cannot be read: a list that
            // leaves a revocation out must not be taken for the whole.
            self.crl_beyond |= oid == "2.5.29.46";
            if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
                self.subject_key_id = Some(id.0.to_vec());
            }
            if let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() {
                for description in access.iter() {
                    if let ("1.3.6.1.5.5.7.48.1", GeneralName::URI(url)) = (
                        description.access_method.to_id_string().as_str(),
                        &description.access_location,
                    ) {
                        self.ocsp.push((*url).to_owned());
                    }
                }
            }
            if let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() {
                for point in points.iter() {
                    let Some(DistributionPointName::FullName(names)) = &point.distribution_point
                    else {
                        self.crl_beyond = true;
                        continue;
                    };
                    self.crl_beyond |= point.crl_issuer.is_some();
                    for name in names {
                        if let GeneralName::URI(url) = name {
                            self.crl.push((*url).to_owned());
                        }
                    }
                }
            }
            if oid == "2.5.29.31" || oid == "1.3.6.1.5.5.7.1.1" {
                self.crl_beyond |= extension.parsed_extension().error().is_some();
            }
        }
    }

    /// Its subject, for people.
    pub(in crate::trust) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it bears `issuer`'s name and signature.
    pub(in crate::trust) fn is_issued_by(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject
            && self
                .made
                .is_some_and(|made| made.verify(&issuer.key, &self.signed, &self.signature).is_ok())
    }

    /// Whether it bears its own name and signature.
    pub(in crate::trust) fn is_self_signed(&self) -> bool {
        self.is_issued_by(self)
    }

    /// Whether its signature rests on a hash and an algorithm that are good enough.
    pub(in crate::trust) fn is_made_well(&self) -> bool {
        self.made.is_some()
    }

    pub(in crate::trust) fn is_valid_at(&self, at: Timestamp) -> bool {
        self.not_before <= at && at <= self.not_after
    }

    pub(in crate::trust) fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|constraints| constraints.ca)
    }
}

/// Whether the algorithm beside the signature is, byte for byte, the one that was signed.
fn names_one_algorithm(der: &[u8]) -> Option<bool> {
    let mut outer = Elements::of(der)?;
    let mut signed = Elements::of(outer.raw()?)?;
    signed.optional(context(0, true));
    signed.content(Tag::Integer)?;
    Some(signed.raw()? == outer.raw()?)
}

/// `text` safe to write to a log, and not too long.
pub(in crate::trust) fn shortened(text: &str) -> String {
    shown(text, MAX_NAME)
}

/// The certificates of a file, PEM or DER.
pub(in crate::trust) fn certificates(file: &[u8]) -> Result<Vec<Certificate>, String> {
    if !file.windows(11).any(|window| window == b"-----BEGIN ") {
        return Ok(vec![Certificate::parse(file)?]);
    }
    let mut certificates = Vec::new();
    for der in CertificateDer::pem_slice_iter(file) {
        let der = der.map_err(|e| format!("it is no PEM: {e:?}"))?;
        certificates.push(Certificate::parse(&der)?);
    }
    if certificates.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(certificates)
}
