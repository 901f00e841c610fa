//! The JWS envelope (signature-envelope-jws): flattened JSON, read strictly. JSON that Go's decoder would read differently
//! is refused.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::clock::Timestamp;
use crate::json::{Document, Object, Value};
use crate::trust::keys::VerifiedBytes;
use crate::trust::signature::Flaw;

use super::chain::MAX_CHAIN;
use super::envelope::{
    AUTHENTIC_SIGNING_TIME, EXPIRY, Header, MAX_PAYLOAD, MAX_PROTECTED, MAX_SIGNATURE, MAX_TOKEN,
    Parts, SIGNING_SCHEME, SIGNING_TIME, TIMESTAMP,
};
use super::{flaw, too_much};

pub(super) const MEDIA_TYPE: &str = "application/jose+json";

/// The most JSON values in an envelope or its header. Real ones have about 20.
const MAX_VALUES: usize = 10_000;
const MEMBERS: [&str; 4] = ["payload", "protected", "header", "signature"];
const ALG: &str = "alg";
const CTY: &str = "cty";
const CRIT: &str = "crit";
const PROTECTED: [&str; 7] =
    [ALG, CTY, CRIT, SIGNING_SCHEME, SIGNING_TIME, AUTHENTIC_SIGNING_TIME, EXPIRY];
const X5C: &str = "x5c";
const UNPROTECTED: [&str; 3] = [X5C, TIMESTAMP, "io.cncf.notary.signingAgent"];

pub(super) fn parse(bytes: &[u8]) -> Result<Parts, Flaw> {
    let envelope = read(bytes, "the envelope")?;
    let envelope = object(&envelope, "the envelope")?;
    if let Some(other) = envelope.names().find(|name| !MEMBERS.contains(name)) {
        let found = format!("a member {:?}", crate::trust::x509::shortened(other));
        return Err(wrong(found, "payload, protected, header and signature, and nothing else"));
    }
    let protected_text = text(envelope, "protected")?;
    let payload_text = text(envelope, "payload")?;
    let protected = url_safe(protected_text, "protected", MAX_PROTECTED)?;
    url_safe(payload_text, "payload", MAX_PAYLOAD)?;
    let signature = url_safe(text(envelope, "signature")?, "signature", MAX_SIGNATURE)?;
    let protected = read(&protected, "the protected header")?;
    let protected = object(&protected, "the protected header")?;
    not_miscased(Value::Object(protected), &PROTECTED)?;
    let header = envelope.member("header").unwrap_or(Value::Null);
    not_miscased(header, &UNPROTECTED)?;
    let unprotected = header.as_object().ok_or_else(|| wrong("no header", "a header with x5c"))?;
    if let Some(twice) = unprotected.names().find(|name| protected.member(name).is_some()) {
        let found =
            format!("{:?} is protected, and unprotected too", crate::trust::x509::shortened(twice));
        return Err(wrong(found, "each name in one header only"));
    }
    if let Some(moved) = unprotected.names().find(|name| PROTECTED.contains(name)) {
        return Err(wrong(format!("{moved} is not protected"), "it in the protected header"));
    }
    let mut message = String::with_capacity(protected_text.len() + payload_text.len() + 1);
    message.push_str(protected_text);
    message.push('.');
    message.push_str(payload_text);
    Ok(Parts {
        header: read_header(protected)?,
        message: message.into_bytes(),
        signature,
        chain: chain(header)?,
        token: token(header)?,
    })
}

/// The attributes and the payload in the signed bytes: `protected.payload`.
pub(super) fn read_signed(signed: VerifiedBytes<'_>) -> Result<(Header, Vec<u8>), Flaw> {
    let text = std::str::from_utf8(signed.as_bytes()).ok();
    let (protected, payload) = text.and_then(|text| text.split_once('.')).ok_or_else(|| {
        wrong("the signed bytes are no JWS", "the protected header, a dot and the payload")
    })?;
    let payload = url_safe(payload, "payload", MAX_PAYLOAD)?;
    let protected = url_safe(protected, "protected", MAX_PROTECTED)?;
    let protected = read(&protected, "the protected header")?;
    let protected = object(&protected, "the protected header")?;
    not_miscased(Value::Object(protected), &PROTECTED)?;
    Ok((read_header(protected)?, payload))
}

fn read_header(protected: Object<'_>) -> Result<Header, Flaw> {
    let time = |name: &str| match protected.member(name) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .and_then(Timestamp::parse_rfc3339)
            .map(Some)
            .ok_or_else(|| wrong(format!("{name} is not a time"), "a time as RFC 3339 has it")),
    };
    let critical = match protected.member(CRIT) {
        Some(list) => texts(list).ok_or_else(|| wrong("crit is not a list", "a list of names"))?,
        None => Vec::new(),
    };
    let scheme = match protected.member(SIGNING_SCHEME) {
        Some(_) => Some(text(protected, SIGNING_SCHEME)?.to_owned()),
        None => None,
    };
    Ok(Header {
        algorithm: text(protected, ALG)?.to_owned(),
        content_type: text(protected, CTY)?.to_owned(),
        critical,
        names: protected.names().map(str::to_owned).collect(),
        scheme,
        signing_time: time(SIGNING_TIME)?,
        authentic_signing_time: time(AUTHENTIC_SIGNING_TIME)?,
        expiry: time(EXPIRY)?,
    })
}

fn chain(header: Value<'_>) -> Result<Vec<Vec<u8>>, Flaw> {
    let wanted = "x5c, a list of certificates in base64";
    let list = header.member(X5C).and_then(Value::as_array);
    let list = list.ok_or_else(|| wrong("no certificate chain", wanted))?;
    if list.len() > MAX_CHAIN {
        let found = format!("{} certificates", list.len());
        return Err(too_much(found, format!("at most {MAX_CHAIN}")));
    }
    let der = |value: Value<'_>| STANDARD.decode(value.as_str()?).ok();
    let chain: Option<Vec<_>> = list.iter().map(der).collect();
    chain.ok_or_else(|| wrong("a certificate is not base64", wanted))
}

fn token(header: Value<'_>) -> Result<Option<Vec<u8>>, Flaw> {
    let Some(value) = header.member(TIMESTAMP) else { return Ok(None) };
    let text = value.as_str();
    if text.is_some_and(|text| text.len() > MAX_TOKEN) {
        return Err(too_much("the timestamp is too long", format!("at most {MAX_TOKEN} bytes")));
    }
    match text.map(|text| STANDARD.decode(text)) {
        Some(Ok(token)) if token.is_empty() => Ok(None),
        Some(Ok(token)) => Ok(Some(token)),
        Some(Err(_)) | None => Err(wrong("the timestamp is not base64", "a token in base64")),
    }
}

fn wrong(found: impl Into<String>, wanted: &str) -> Flaw {
    flaw("envelope", found, wanted)
}

fn read(text: &[u8], what: &str) -> Result<Document, Flaw> {
    let document = Document::parse_within(text, MAX_VALUES);
    document.map_err(|e| match e.exceeds_limit() {
        true => too_much(format!("{what}: {e}"), format!("at most {MAX_VALUES} values")),
        false => wrong(format!("{what}: {e}"), "strict JSON"),
    })
}

fn object<'a>(document: &'a Document, what: &str) -> Result<Object<'a>, Flaw> {
    let object = document.root().as_object();
    object.ok_or_else(|| wrong(format!("{what} is not an object"), "a JSON object"))
}

fn not_miscased(value: Value<'_>, known: &[&str]) -> Result<(), Flaw> {
    match value.miscased(known) {
        Some(name) => Err(wrong(format!("a member {name:?}"), "names in their own case")),
        None => Ok(()),
    }
}

fn text<'a>(value: Object<'a>, name: &str) -> Result<&'a str, Flaw> {
    let text = value.member(name).and_then(Value::as_str);
    text.ok_or_else(|| wrong(format!("no {name}"), "a flattened JWS with all of its members"))
}

fn texts(list: Value<'_>) -> Option<Vec<String>> {
    list.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn url_safe(text: &str, what: &str, most: usize) -> Result<Vec<u8>, Flaw> {
    // Four characters are three bytes.
    if text.len() > most / 3 * 4 + 4 {
        return Err(too_much(format!("{what} is too long"), format!("at most {most} bytes")));
    }
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| wrong(format!("{what} is not base64url"), "base64url without padding"))
}
