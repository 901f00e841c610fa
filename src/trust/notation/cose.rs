//! The COSE envelope (signature-envelope-cose): a tagged `COSE_Sign1` with an embedded payload.

use std::collections::BTreeSet;

use coset::cbor::value::Value;
use coset::iana::{self, EnumI64 as _};
use coset::{
    CborSerializable as _, ContentType, CoseSign1, Header as CoseHeader, Label,
    RegisteredLabelWithPrivate, TaggedCborSerializable as _,
};

use crate::clock::Timestamp;
use crate::trust::keys::VerifiedBytes;
use crate::trust::signature::Flaw;

use super::chain::MAX_CHAIN;
use super::envelope::{
    AUTHENTIC_SIGNING_TIME, EXPIRY, Header, MAX_PAYLOAD, MAX_PROTECTED, MAX_SIGNATURE, MAX_TOKEN,
    Parts, SIGNING_SCHEME, SIGNING_TIME, TIMESTAMP,
};
use super::{cbor, flaw, too_much};

pub(super) const MEDIA_TYPE: &str = "application/cose";

/// The label of the certificate chain (RFC 9360).
const X5CHAIN: Label = Label::Int(33);
/// The end of the year 9999, in seconds: the latest time of a signature.
const LAST_SECOND: i64 = 253_402_300_799;
/// The algorithms, by their JWS names.
const ALGORITHMS: [(iana::Algorithm, &str); 6] = [
    (iana::Algorithm::PS256, "PS256"),
    (iana::Algorithm::PS384, "PS384"),
    (iana::Algorithm::PS512, "PS512"),
    (iana::Algorithm::ES256, "ES256"),
    (iana::Algorithm::ES384, "ES384"),
    (iana::Algorithm::ES512, "ES512"),
];

pub(super) fn parse(bytes: &[u8]) -> Result<Parts, Flaw> {
    let wanted = "a tagged COSE_Sign1 with its payload";
    if !cbor::is_bounded(bytes) {
        return Err(wrong("no CBOR of definite, bounded lengths", wanted));
    }
    let message = CoseSign1::from_tagged_slice(bytes)
        .map_err(|e| wrong(format!("no COSE_Sign1: {e}"), wanted))?;
    let protected_bytes = message.protected.original_data.as_deref().unwrap_or_default();
    let payload = message.payload.as_deref().unwrap_or_default();
    if protected_bytes.len() > MAX_PROTECTED
        || payload.len() > MAX_PAYLOAD
        || message.signature.len() > MAX_SIGNATURE
    {
        return Err(too_much("a part that is too long", "each part within its limit"));
    }
    if !cbor::is_bounded(protected_bytes) {
        return Err(wrong("no protected header of definite, bounded lengths", wanted));
    }
    if payload.is_empty() {
        return Err(wrong("no payload", wanted));
    }
    let (protected, unprotected) = (&message.protected.header, &message.unprotected);
    let hidden = labels(protected);
    if labels(unprotected).iter().any(|label| hidden.contains(label)) {
        return Err(wrong("a label is protected, and unprotected too", "each label in one header"));
    }
    let moved = [SIGNING_SCHEME, SIGNING_TIME, AUTHENTIC_SIGNING_TIME, EXPIRY];
    if moved.iter().any(|name| find(unprotected, &Label::Text((*name).to_owned())).is_some())
        || unprotected.alg.is_some()
        || unprotected.content_type.is_some()
        || !unprotected.crit.is_empty()
    {
        return Err(wrong(
            "an attribute that must be protected is not",
            "it in the protected header",
        ));
    }
    Ok(Parts {
        header: read_header(protected)?,
        message: message.tbs_data(b""),
        signature: message.signature.clone(),
        chain: chain(unprotected)?,
        token: token(unprotected)?,
    })
}

/// The attributes and the payload in the signed bytes: a `Sig_structure` (RFC 9052, section 4.4).
pub(super) fn read_signed(signed: VerifiedBytes<'_>) -> Result<(Header, Vec<u8>), Flaw> {
    let none = || wrong("the signed bytes are no Sig_structure", "context, header, data, payload");
    let structure: Value = coset::cbor::de::from_reader(signed.as_bytes()).map_err(|_| none())?;
    let parts = structure.into_array().map_err(|_| none())?;
    let [_, protected, _, payload]: [Value; 4] = parts.try_into().map_err(|_| none())?;
    let protected = protected.into_bytes().map_err(|_| none())?;
    let payload = payload.into_bytes().map_err(|_| none())?;
    let header = CoseHeader::from_slice(&protected)
        .map_err(|e| wrong(format!("no protected header: {e}"), "a map of attributes"))?;
    Ok((read_header(&header)?, payload))
}

fn read_header(protected: &CoseHeader) -> Result<Header, Flaw> {
    let algorithm = match &protected.alg {
        Some(RegisteredLabelWithPrivate::Assigned(assigned)) => {
            let known = ALGORITHMS.iter().find(|(known, _)| known == assigned);
            known.map_or_else(|| format!("{assigned:?}"), |(_, name)| (*name).to_owned())
        }
        Some(RegisteredLabelWithPrivate::PrivateUse(_) | RegisteredLabelWithPrivate::Text(_))
        | None => String::new(),
    };
    let Some(ContentType::Text(content_type)) = &protected.content_type else {
        return Err(wrong("no content type as a text", "the media type of the payload"));
    };
    let critical = protected.crit.iter().map(|label| match label {
        RegisteredLabelWithPrivate::Text(name) => name.clone(),
        // No numeric label may be critical, and `Header::check` knows none.
        RegisteredLabelWithPrivate::Assigned(number) => number.to_i64().to_string(),
        RegisteredLabelWithPrivate::PrivateUse(number) => number.to_string(),
    });
    let names = protected.rest.iter().filter_map(|(label, _)| match label {
        Label::Text(name) => Some(name.clone()),
        Label::Int(_) => None,
    });
    let scheme = match text_label(protected, SIGNING_SCHEME) {
        None => None,
        Some(Value::Text(scheme)) => Some(scheme.clone()),
        Some(_) => return Err(wrong("the signing scheme is not a text", "a text")),
    };
    Ok(Header {
        algorithm,
        content_type: content_type.clone(),
        critical: critical.collect(),
        names: names.collect(),
        scheme,
        signing_time: time(protected, SIGNING_TIME)?,
        authentic_signing_time: time(protected, AUTHENTIC_SIGNING_TIME)?,
        expiry: time(protected, EXPIRY)?,
    })
}

/// A time: tag 1 with whole seconds since 1970.
fn time(header: &CoseHeader, name: &str) -> Result<Option<Timestamp>, Flaw> {
    let Some(value) = text_label(header, name) else { return Ok(None) };
    let tagged = value.as_tag().filter(|(tag, _)| *tag == 1);
    let seconds = tagged.and_then(|(_, inner)| i64::try_from(inner.as_integer()?).ok());
    let seconds = seconds.filter(|seconds| (0..=LAST_SECOND).contains(seconds));
    let wanted = "tag 1 and whole seconds";
    let seconds = seconds.ok_or_else(|| wrong(format!("{name} is not a time"), wanted))?;
    Ok(Some(Timestamp::from_unix(seconds)))
}

fn chain(unprotected: &CoseHeader) -> Result<Vec<Vec<u8>>, Flaw> {
    let wanted = "x5chain, an array of certificates";
    let Some(Value::Array(list)) = find(unprotected, &X5CHAIN) else {
        return Err(wrong("no certificate chain", wanted));
    };
    if list.len() > MAX_CHAIN {
        let found = format!("{} certificates", list.len());
        return Err(too_much(found, format!("at most {MAX_CHAIN}")));
    }
    let chain: Option<Vec<_>> = list.iter().map(|der| der.as_bytes().cloned()).collect();
    chain.ok_or_else(|| wrong("a certificate is not a byte string", wanted))
}

fn token(unprotected: &CoseHeader) -> Result<Option<Vec<u8>>, Flaw> {
    match text_label(unprotected, TIMESTAMP) {
        None => Ok(None),
        Some(Value::Bytes(token)) if token.is_empty() => Ok(None),
        Some(Value::Bytes(token)) if token.len() <= MAX_TOKEN => Ok(Some(token.clone())),
        Some(Value::Bytes(_)) => {
            Err(too_much("the timestamp is too long", format!("at most {MAX_TOKEN} bytes")))
        }
        Some(_) => Err(wrong("the timestamp is not a byte string", "a token")),
    }
}

fn find<'a>(header: &'a CoseHeader, label: &Label) -> Option<&'a Value> {
    header.rest.iter().find_map(|(known, value)| (known == label).then_some(value))
}

fn text_label<'a>(header: &'a CoseHeader, name: &str) -> Option<&'a Value> {
    find(header, &Label::Text(name.to_owned()))
}

/// The labels of a header without a field of their own.
fn labels(header: &CoseHeader) -> BTreeSet<Label> {
    header.rest.iter().map(|(label, _)| label.clone()).collect()
}

fn wrong(found: impl Into<String>, wanted: &str) -> Flaw {
    flaw("envelope", found, wanted)
}
