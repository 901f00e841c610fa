//! Reads the names, the issuer and the key in a signer's certificate. Decides nothing about trust.

use std::time::Duration;

use x509_parser::asn1_rs::{Oid, TaggedExplicit, Utf8String, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::trust::signature::Flaw;

use super::flaw::{CERTIFICATE, LIMIT, flaw};
use super::limits::MAX_NAMES;

/// Fulcio's name of a user that is neither an email address nor a URI.
const USER_NAME: Oid<'static> = oid!(1.3.6.1.4.1.57264.1.7);
/// The OIDC issuer, as a DER UTF8String.
const ISSUER: Oid<'static> = oid!(1.3.6.1.4.1.57264.1.8);
/// The same as bare text, of older certificates.
const ISSUER_BARE: Oid<'static> = oid!(1.3.6.1.4.1.57264.1.1);

/// The content of a signer's certificate.
#[derive(Debug)]
pub(super) struct Certificate {
    /// Email addresses, URIs and user names.
    pub(super) names: Vec<String>,
    /// Names of hosts, which identify a signer only in a private PKI.
    pub(super) hosts: Vec<String>,
    pub(super) issuer: Option<String>,
    /// The DER SubjectPublicKeyInfo.
    pub(super) spki: Vec<u8>,
    /// From its first to its last second.
    pub(super) life: Duration,
}

impl Certificate {
    pub(super) fn read(der: &[u8]) -> Result<Self, Flaw> {
        let wrong = |found: String| {
            flaw(
                CERTIFICATE,
                format!("the certificate {found}"),
                "an X.509 certificate of a signer",
            )
        };
        let unread = |e: x509_parser::error::X509Error| wrong(format!("cannot be read: {e}"));
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        if !rest.is_empty() {
            return Err(wrong("has something after it".to_owned()));
        }
        let (mut names, mut hosts) = (Vec::new(), Vec::new());
        let alternatives = parsed.subject_alternative_name().map_err(unread)?;
        let alternatives = alternatives.map_or(&[][..], |it| it.value.general_names.as_slice());
        if alternatives.len() > MAX_NAMES {
            let found = format!("a certificate with {} names", alternatives.len());
            return Err(flaw(LIMIT, found, format!("at most {MAX_NAMES}")));
        }
        for name in alternatives {
            match name {
                GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                    names.push((*name).to_owned());
                }
                GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
                GeneralName::OtherName(kind, value) if *kind == USER_NAME => {
                    let (_, name) =
                        TaggedExplicit::<Utf8String<'_>, x509_parser::asn1_rs::Error, 0>::from_der(
                            value,
                        )
                        .map_err(|e| wrong(format!("has a user name that cannot be read: {e}")))?;
                    names.push(name.into_inner().string());
                }
                GeneralName::OtherName(..)
                | GeneralName::X400Address(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EDIPartyName(_)
                | GeneralName::IPAddress(_)
                | GeneralName::RegisteredID(_)
                | GeneralName::Invalid(..) => {}
            }
        }
        let extension = |id: &Oid<'static>| {
            let found = parsed.get_extension_unique(id).map_err(unread)?;
            Ok::<_, Flaw>(found.map(|extension| extension.value))
        };
        let garbled = || wrong("has an issuer that cannot be read".to_owned());
        let issuer = match (extension(&ISSUER)?, extension(&ISSUER_BARE)?) {
            (Some(value), _) => match Utf8String::from_der(value) {
                Ok(([], issuer)) => Some(issuer.string()),
                Ok(_) | Err(_) => return Err(garbled()),
            },
            (None, Some(value)) => {
                Some(std::str::from_utf8(value).map_err(|_| garbled())?.to_owned())
            }
            (None, None) => None,
        };
        let validity = parsed.validity();
        let life = validity.not_after.timestamp() - validity.not_before.timestamp();
        let life = u64::try_from(life).map_err(|_| wrong("ends before it begins".to_owned()))?;
        Ok(Self {
            names,
            hosts,
            issuer,
            spki: parsed.public_key().raw.to_vec(),
            life: Duration::from_secs(life),
        })
    }
}
