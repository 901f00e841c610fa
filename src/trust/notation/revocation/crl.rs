//! CRLs (RFC 5280, section 5): base lists that the issuer itself signed, for all its certificates or for the distribution
//! point that the certificate names.

use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};

use crate::clock::Timestamp;

use super::{Question, Status};
use crate::trust::x509::SignatureAlgorithm;

const FRESHEST_CRL: &str = "2.5.29.46";
const CERTIFICATE_HOLD: u8 = 6;
const REMOVE_FROM_CRL: u8 = 8;

/// The `nextUpdate` of a list, unverified.
pub(super) fn next_update(content: &[u8]) -> Option<Timestamp> {
    let (_, list) = CertificateRevocationList::from_der(content).ok()?;
    list.next_update().map(|next| Timestamp::from_unix(next.timestamp()))
}

/// The `thisUpdate` of a list, unverified.
pub(super) fn this_update(content: &[u8]) -> Option<Timestamp> {
    let (_, list) = CertificateRevocationList::from_der(content).ok()?;
    Some(Timestamp::from_unix(list.last_update().timestamp()))
}

/// The status of the certificate in the list from `url`.
pub(super) fn read(question: &Question<'_>, content: &[u8], url: &str) -> Status {
    let unknown = |why: &str| Status::Unknown(why.to_owned());
    let list = match CertificateRevocationList::from_der(content) {
        Ok(([], list)) => list,
        Ok(_) | Err(_) => return unknown("it is not a CRL"),
    };
    if let Err(why) = verify(question, &list) {
        return unknown(why);
    }
    if let Err(why) = in_scope(question, &list, url) {
        return unknown(why);
    }
    let next = list.next_update().map(|next| Timestamp::from_unix(next.timestamp()));
    let this = Timestamp::from_unix(list.last_update().timestamp());
    let untimely = question.untimely(this, next);
    let own = |entry: &&RevokedCertificate<'_>| entry.raw_serial() == question.certificate.serial;
    for entry in list.iter_revoked_certificates().filter(own) {
        match revoked(question, entry) {
            Err(why) => return unknown(why),
            // A hold in an old list may have ended.
            Ok(Some(hold)) if hold && untimely.is_some() => {}
            Ok(Some(_)) => {
                let name = question.certificate.name();
                let date = Timestamp::from_unix(entry.revocation_date.timestamp());
                return Status::Revoked(format!("{name:?} was revoked at {date}"));
            }
            Ok(None) => {}
        }
    }
    match (untimely, next) {
        (None, Some(until)) => Status::Good { until },
        (Some(why), _) => Status::Unknown(why),
        (None, None) => unknown("it does not say until when it holds"),
    }
}

/// Whether the issuer signed the list and is allowed to.
fn verify(
    question: &Question<'_>,
    list: &CertificateRevocationList<'_>,
) -> Result<(), &'static str> {
    let issuer = question.issuer;
    if list.issuer().as_raw() != issuer.subject {
        return Err("it is another issuer's CRL");
    }
    if !issuer.key_usage.is_none_or(|usage| usage.crl_sign) {
        return Err("the issuer may not sign CRLs by its keyUsage");
    }
    if list.tbs_cert_list.signature != list.signature_algorithm {
        return Err("it names two signature algorithms");
    }
    let made = SignatureAlgorithm::read(&list.signature_algorithm, None)
        .ok_or("it is signed in a weak way")?;
    let message = list.tbs_cert_list.as_ref();
    if made.verify(&issuer.key, message, &list.signature_value.data).is_err() {
        return Err("its signature is not the issuer's");
    }
    Ok(())
}

/// Whether the list covers this certificate for every reason and needs no other list.
fn in_scope(
    question: &Question<'_>,
    list: &CertificateRevocationList<'_>,
    url: &str,
) -> Result<(), &'static str> {
    for extension in list.extensions() {
        if extension.oid.to_id_string() == FRESHEST_CRL {
            return Err("a delta CRL completes it, and those are not read");
        }
        let ParsedExtension::IssuingDistributionPoint(point) = extension.parsed_extension() else {
            if extension.critical {
                return Err("it has a critical extension that is unknown here");
            }
            continue;
        };
        let is_ca = question.certificate.is_ca();
        if point.indirect_crl
            || point.only_contains_attribute_certs
            || point.only_some_reasons.is_some()
            || (point.only_contains_user_certs && is_ca)
            || (point.only_contains_ca_certs && !is_ca)
        {
            return Err("it is about other certificates, or some reasons only");
        }
        let elsewhere = match &point.distribution_point {
            None => false,
            Some(DistributionPointName::FullName(names)) => {
                !names.iter().any(|name| matches!(name, GeneralName::URI(named) if *named == url))
            }
            Some(DistributionPointName::NameRelativeToCRLIssuer(_)) => true,
        };
        if elsewhere {
            return Err("it is for another distribution point");
        }
    }
    Ok(())
}

/// Whether the list revokes the certificate, and whether only temporarily (hold).
fn revoked(
    question: &Question<'_>,
    entry: &RevokedCertificate<'_>,
) -> Result<Option<bool>, &'static str> {
    for extension in entry.extensions() {
        let known = matches!(
            extension.parsed_extension(),
            ParsedExtension::ReasonCode(_) | ParsedExtension::InvalidityDate(_)
        );
        if extension.critical && !known {
            return Err("its entry has a critical extension that is unknown here");
        }
    }
    let invalid = entry.invalidity_date();
    let invalid = invalid.map(|(_, date)| Timestamp::from_unix(date.timestamp()));
    let reason = entry.reason_code().map(|(_, code)| code.0);
    if reason == Some(REMOVE_FROM_CRL) || question.was_used_before(invalid) {
        return Ok(None);
    }
    Ok(Some(reason == Some(CERTIFICATE_HOLD)))
}
