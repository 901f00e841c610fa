//! Client certificates: verified against the configured CAs, and mapped to a user name. The handshake requests
//! them; a connection that outlives its certificate or its CA loses access.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::any_certificate::AnyCertificate;
use crate::clock::{Clock, Timestamp};

/// The most CAs in one file.
const MAX_CAS: usize = 1_000;
/// How long the result of verifying a certificate is cached.
const KNOWN: Duration = Duration::from_secs(60);
const MAX_KNOWN: u64 = 10_000;
/// The longest user name, in bytes.
const MAX_NAME: usize = 255;

/// The CAs whose certificates authenticate clients.
#[derive(Clone)]
pub struct Certificates {
    verifier: Arc<dyn ClientCertVerifier>,
    known: Cache<[u8; 32], CachedUser>,
}

/// The cached result of verifying a certificate.
#[derive(Clone)]
struct CachedUser {
    user: Option<Arc<str>>,
    verified_at: Timestamp,
    /// When a certificate of the chain expires. The certificate is then verified again.
    until: Timestamp,
}

impl CachedUser {
    fn is_current(&self, now: Timestamp) -> bool {
        self.verified_at <= now && now < self.until && now.since(self.verified_at) < KNOWN
    }
}

/// Why a file of CAs is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidCertificates {
    #[error("it contains no PEM certificate")]
    None,
    #[error("it contains more than {MAX_CAS} certificates")]
    TooMany,
    #[error("one of its certificates cannot be used: {0}")]
    Unusable(String),
}

/// What happens to a client without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutOne {
    /// The handshake fails.
    Refused,
    /// The client may use a password instead.
    MayAsk,
}

/// What a listener does with a client that has no valid certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// As configured: the handshake fails, unless clients may use a password instead.
    Strict,
    /// The handshake succeeds, so that each request can be denied.
    Lenient,
}

/// The certificate chain that a client sent on one connection. It proves nothing until it is verified against the
/// CAs.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    chain: Arc<[CertificateDer<'static>]>,
    digest: [u8; 32],
}

impl ClientCertificate {
    /// The chain that a handshake received; `None` if it is empty.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let mut hasher = Sha256::new();
        for certificate in chain {
            hasher.update((certificate.len() as u64).to_be_bytes());
            hasher.update(certificate);
        }
        let owned: Vec<_> = chain.iter().map(|one| one.clone().into_owned()).collect();
        let chain: Arc<[_]> = owned.into();
        (!chain.is_empty()).then(|| Self { chain, digest: hasher.finalize().into() })
    }
}

impl Certificates {
    /// Parses the CAs in `pem`.
    pub fn parse(pem: &str, without_one: WithoutOne) -> Result<Self, InvalidCertificates> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate =
                certificate.map_err(|why| InvalidCertificates::Unusable(why.to_string()))?;
            if roots.len() == MAX_CAS {
                return Err(InvalidCertificates::TooMany);
            }
            let added = roots.add(certificate);
            added.map_err(|why| InvalidCertificates::Unusable(why.to_string()))?;
        }
        if roots.is_empty() {
            return Err(InvalidCertificates::None);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match without_one {
            WithoutOne::Refused => builder.build(),
            WithoutOne::MayAsk => builder.allow_unauthenticated().build(),
        };
        let verifier = verifier.map_err(|why| InvalidCertificates::Unusable(why.to_string()))?;
        let known = Cache::builder().max_capacity(MAX_KNOWN).time_to_live(KNOWN).build();
        Ok(Self { verifier, known })
    }

    /// The verifier for handshakes.
    pub fn verifier(&self, handshake: Handshake) -> Arc<dyn ClientCertVerifier> {
        match handshake {
            Handshake::Strict => self.verifier.clone(),
            Handshake::Lenient => Arc::new(AnyCertificate(self.verifier.clone())),
        }
    }

    /// The user that `certificate` names, if it is valid now and issued by one of the CAs.
    pub(super) fn user(&self, certificate: &ClientCertificate, clock: &Clock) -> Option<Arc<str>> {
        let now = clock.now();
        if let Some(known) =
            self.known.get(&certificate.digest).filter(|known| known.is_current(now))
        {
            return known.user;
        }
        let (user, until) = (self.verified_user(certificate, now), ends(certificate));
        self.known
            .insert(certificate.digest, CachedUser { user: user.clone(), verified_at: now, until });
        user
    }

    fn verified_user(&self, certificate: &ClientCertificate, now: Timestamp) -> Option<Arc<str>> {
        let (own, others) = certificate.chain.split_first()?;
        let now = Duration::from_secs(u64::try_from(now.unix()).ok()?);
        let now = UnixTime::since_unix_epoch(now);
        let verified = self.verifier.verify_client_cert(own, others, now);
        if let Err(why) = verified {
            tracing::debug!(%why, "client certificate rejected");
            return None;
        }
        name(own)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// When the first certificate of the chain expires; a time in the past if that is unknown.
fn ends(certificate: &ClientCertificate) -> Timestamp {
    let end = |one: &CertificateDer<'_>| {
        let (_, parsed) = X509Certificate::from_der(one).ok()?;
        Some(Timestamp::from_unix(parsed.validity().not_after.timestamp()))
    };
    let ends = certificate.chain.iter().map(|one| end(one).unwrap_or(Timestamp::from_unix(0)));
    ends.min().unwrap_or(Timestamp::from_unix(0))
}

/// The subject's common name, otherwise the first name of its subjectAltName.
fn name(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let common = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let other = || {
        let names = parsed.subject_alternative_name().ok()??;
        names.value.general_names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some(*name)
            }
            GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::Invalid(..)
            | GeneralName::OtherName(..)
            | GeneralName::RegisteredID(_)
            | GeneralName::X400Address(_) => None,
        })
    };
    let name = common.filter(|name| !name.is_empty()).or_else(other)?;
    let is_plain = name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    (is_plain && !name.is_empty()).then(|| Arc::from(name))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

    use super::*;

    struct Ca(Issuer<'static, KeyPair>, String);

    fn ca() -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Ca(Issuer::new(params, key), pem)
    }

    fn issued(ca: &Ca, common: Option<&str>, alternative: &[&str]) -> ClientCertificate {
        let names: Vec<String> = alternative.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(2025, 12, 31);
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &ca.0).unwrap();
        ClientCertificate::of(&[certificate.der().clone()]).unwrap()
    }

    fn user(of: &Certificates, certificate: &ClientCertificate, now: i64) -> Option<Arc<str>> {
        of.verified_user(certificate, Timestamp::from_unix(now))
    }

    /// 2025-06-01 and 2026-06-01.
    const DURING: i64 = 1_748_736_000;
    const AFTER: i64 = 1_780_272_000;

    #[test]
    fn a_valid_certificate_of_the_ca_names_its_user() {
        let (own, other) = (ca(), ca());
        let certificates = Certificates::parse(&own.1, WithoutOne::Refused).unwrap();
        let alice = issued(&own, Some("alice"), &["node.example"]);
        assert_eq!(user(&certificates, &alice, DURING).as_deref(), Some("alice"));
        assert_eq!(user(&certificates, &alice, AFTER), None);
        let node = issued(&own, None, &["node.example"]);
        assert_eq!(user(&certificates, &node, DURING).as_deref(), Some("node.example"));
        let stranger = issued(&other, Some("alice"), &[]);
        assert_eq!(user(&certificates, &stranger, DURING), None);
        assert!(ClientCertificate::of(&[]).is_none());
    }

    #[test]
    fn a_name_that_could_forge_log_text_is_ignored() {
        let own = ca();
        let certificates = Certificates::parse(&own.1, WithoutOne::Refused).unwrap();
        for name in ["a\nb", "", &"x".repeat(300)] {
            let certificate = issued(&own, Some(name), &[]);
            assert_eq!(user(&certificates, &certificate, DURING), None, "{name:?}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_an_error() {
        let none = Certificates::parse("nothing", WithoutOne::Refused);
        assert_eq!(none.err(), Some(InvalidCertificates::None));
    }
}
