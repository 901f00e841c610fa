//! OCSP (RFC 6960): the request in a URL, and responses by the issuer or by a responder with a certificate of the issuer.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Any, Decode, Encode as _};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus, Request,
    ResponderId, SingleResponse, TbsRequest,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AlgorithmIdentifier;

use crate::clock::Timestamp;

use super::{Question, Revocations, Status};
use crate::trust::x509::Certificate;
use crate::trust::x509::SignatureAlgorithm;
use crate::trust::x509::asn1::{Elements, generalized_time};

/// The most certificates in one response.
const MAX_CERTIFICATES: usize = 4;
/// The most statuses in one response.
const MAX_RESPONSES: usize = 64;

/// The AlgorithmIdentifier of SHA-1, DER.
const SHA1: [u8; 11] = [0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0];
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const INVALIDITY_DATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.24");

/// Identifies the certificate. Every responder supports SHA-1, which only identifies names here.
fn cert_id(question: &Question<'_>) -> Option<CertId> {
    let hash = |bytes: &[u8]| {
        OctetString::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()).ok()
    };
    let serial = &question.certificate.serial;
    let length = u8::try_from(serial.len()).ok().filter(|length| *length < 0x80)?;
    let serial = [&[0x02, length], serial.as_slice()].concat();
    Some(CertId {
        hash_algorithm: Decode::from_der(&SHA1).ok()?,
        issuer_name_hash: hash(&question.issuer.subject)?,
        issuer_key_hash: hash(&question.issuer.key_bits)?,
        serial_number: Decode::from_der(&serial).ok()?,
    })
}

/// `url` with the request at its end (RFC 6960, appendix A.1).
pub(super) fn request(question: &Question<'_>, url: &str) -> Option<String> {
    let request = OcspRequest {
        tbs_request: TbsRequest {
            version: Default::default(),
            requestor_name: None,
            request_list: vec![Request {
                req_cert: cert_id(question)?,
                single_request_extensions: None,
            }],
            request_extensions: None,
        },
        optional_signature: None,
    };
    let text = STANDARD.encode(request.to_der().ok()?);
    let escaped = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    Some(format!("{}/{escaped}", url.trim_end_matches('/')))
}

/// The `nextUpdate` of a response, unverified.
pub(super) fn next_update(content: &[u8]) -> Option<Timestamp> {
    let (_, basic) = parse(content).ok()?;
    let next = basic.tbs_response_data.responses.iter().filter_map(next_of);
    next.min()
}

/// The oldest `thisUpdate` of a response, unverified.
pub(super) fn this_update(content: &[u8]) -> Option<Timestamp> {
    let (_, basic) = parse(content).ok()?;
    basic.tbs_response_data.responses.iter().filter_map(|one| time(&one.this_update)).min()
}

/// The status of the certificate in a response.
pub(super) fn read(question: &Question<'_>, content: &[u8], known: &Revocations) -> Status {
    let (signed, basic) = match parse(content) {
        Ok(parsed) => parsed,
        Err(why) => return Status::Unknown(why),
    };
    let unknown = |why: &str| Status::Unknown(why.to_owned());
    let responder = match responder(question, &basic) {
        Ok(responder) => responder,
        Err(why) => return unknown(why),
    };
    let algorithm = basic.signature_algorithm.to_der().unwrap_or_default();
    let made = AlgorithmIdentifier::from_der(&algorithm).ok();
    let made = made.and_then(|(_, identifier)| SignatureAlgorithm::read(&identifier, None));
    let signature = basic.signature.as_bytes();
    let holds = match (made, signature) {
        (Some(made), Some(signature)) => {
            let key = responder.as_ref().map_or(&question.issuer.key, |delegate| &delegate.key);
            made.verify(key, &signed, signature).is_ok()
        }
        (_, _) => false,
    };
    if !holds {
        return unknown("its signature is not the responder's");
    }
    // If the responder may itself be revoked, only its CRL is checked.
    if let Some(delegate) = responder.filter(|delegate| !delegate.ocsp_no_check) {
        let about = Question { certificate: &delegate, used: None, ..*question };
        match about.by_crl(known) {
            None | Some(Status::Good { .. } | Status::NotRevocable) => {}
            Some(needs @ Status::Needs(_)) => return needs,
            Some(Status::Revoked(why) | Status::Unknown(why)) => {
                return Status::Unknown(format!("its responder: {why}"));
            }
        }
    }
    let own = cert_id(question);
    let mut responses = basic.tbs_response_data.responses.iter();
    let Some(response) =
        responses.find(|one| own.as_ref().is_some_and(|id| same(id, &one.cert_id)))
    else {
        return unknown("it is about other certificates");
    };
    status(question, response)
}

/// The signed bytes and their content.
fn parse(content: &[u8]) -> Result<(Vec<u8>, BasicOcspResponse), String> {
    let wrong = || "it is not an OCSP response".to_owned();
    let response = OcspResponse::from_der(content).map_err(|_| wrong())?;
    if response.response_status != OcspResponseStatus::Successful {
        return Err(format!("the responder says {:?}", response.response_status));
    }
    let bytes = response.response_bytes.filter(|bytes| bytes.response_type == BASIC);
    let bytes = bytes.ok_or_else(wrong)?;
    let signed = Elements::of(bytes.response.as_bytes()).and_then(|mut parts| parts.raw());
    let signed = signed.ok_or_else(wrong)?.to_vec();
    let basic = BasicOcspResponse::from_der(bytes.response.as_bytes()).map_err(|_| wrong())?;
    let certificates = basic.certs.as_ref().map_or(0, Vec::len);
    if certificates > MAX_CERTIFICATES || basic.tbs_response_data.responses.len() > MAX_RESPONSES {
        return Err("it holds too much".to_owned());
    }
    Ok((signed, basic))
}

/// The signer of the response: the issuer, or a responder with a certificate of the issuer for that purpose.
fn responder(
    question: &Question<'_>,
    basic: &BasicOcspResponse,
) -> Result<Option<Certificate>, &'static str> {
    let is_named = |certificate: &Certificate| match &basic.tbs_response_data.responder_id {
        ResponderId::ByName(name) => name.to_der().is_ok_and(|name| name == certificate.subject),
        ResponderId::ByKey(key) => {
            key.as_bytes() == digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate.key_bits).as_ref()
        }
    };
    if is_named(question.issuer) {
        return Ok(None);
    }
    let listed = basic.certs.iter().flatten();
    let mut read = listed.filter_map(|one| Certificate::parse(&one.to_der().ok()?).ok());
    let delegate = read.find(is_named).ok_or("its responder is not known")?;
    let purposes = delegate.extended_key_usage;
    if !purposes.is_some_and(|purposes| purposes.ocsp_signing) {
        return Err("its responder has no certificate for OCSP");
    }
    if !delegate.key_usage.is_none_or(|usage| usage.digital_signature) {
        return Err("its responder may not sign by its keyUsage");
    }
    if !delegate.is_valid_at(question.now) || !delegate.is_issued_by(question.issuer) {
        return Err("its responder is not one of the issuer's");
    }
    Ok(Some(delegate))
}

fn same(own: &CertId, other: &CertId) -> bool {
    own.hash_algorithm.oid == other.hash_algorithm.oid
        && own.issuer_name_hash == other.issuer_name_hash
        && own.issuer_key_hash == other.issuer_key_hash
        && own.serial_number == other.serial_number
}

fn status(question: &Question<'_>, response: &SingleResponse) -> Status {
    let this = time(&response.this_update);
    let next = next_of(response);
    let untimely = match this {
        Some(this) => question.untimely(this, next),
        None => Some("it does not say when it was made".to_owned()),
    };
    let until = match (untimely, next) {
        (Some(why), _) => return Status::Unknown(why),
        (None, None) => return Status::Unknown("it does not say until when it holds".to_owned()),
        (None, Some(until)) => until,
    };
    let name = question.certificate.name();
    match &response.cert_status {
        CertStatus::Good(_) => Status::Good { until },
        CertStatus::Revoked(_) if question.was_used_before(invalidity(response)) => {
            Status::Good { until }
        }
        CertStatus::Revoked(info) => {
            let date = time(&info.revocation_time);
            let date = date.map_or_else(String::new, |date| format!(" at {date}"));
            Status::Revoked(format!("{name:?} was revoked{date}"))
        }
        CertStatus::Unknown(_) => Status::Unknown(format!("the responder does not know {name:?}")),
    }
}

fn invalidity(response: &SingleResponse) -> Option<Timestamp> {
    let extensions = response.single_extensions.as_ref()?;
    let date = extensions.iter().find(|extension| extension.extn_id == INVALIDITY_DATE)?;
    let any = Any::from_der(date.extn_value.as_bytes()).ok()?;
    generalized_time(any.value())
}

fn next_of(response: &SingleResponse) -> Option<Timestamp> {
    response.next_update.as_ref().and_then(time)
}

fn time(time: &x509_ocsp::OcspGeneralizedTime) -> Option<Timestamp> {
    let since = time.0.to_unix_duration();
    i64::try_from(since.as_secs()).ok().map(Timestamp::from_unix)
}
