//! The status and headers of every response. Knows HTTP and the expectations of registry clients (distribution-spec,
//! "Pulling"), and decides nothing.

use std::time::Duration;

use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    LINK, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use serde_json::json;
use url::form_urlencoded;

use crate::access::{Clients, Token, Unauthorized};
use crate::audit::{DeniedBy, RequestId};
use crate::clock::Timestamp;
use crate::gate::{Admitted, Denial, OpenBlob, ReferrerList, Verdict};
use crate::oci::headers::{
    API_VERSION, ContentName, DOCKER_DISTRIBUTION_API_VERSION, OCI_FILTERS_APPLIED, of_manifest,
};
use crate::oci::{Digest, ErrorBody, ErrorCode, MediaType, Registry};
use crate::registry_client::{Page, Part, TagPage};
use crate::trust::Relayed;

use super::body::Body;
use super::conditions::{InvalidRange, is_unchanged};
use super::config::DenialStatus;
use super::load::Load;
use super::metrics::Metrics;
use super::mirror::{self, Answer, AnswerContent};
use super::objection::Objection;
use super::route::Malformed;
use super::warnings;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// When to retry an undecided request: as long as the gate remembers the result.
const ASK_AGAIN: Duration = Duration::from_secs(5);

pub(super) fn base() -> Response<Body> {
    answer(StatusCode::OK, Some(JSON), Body::base())
}

/// An admitted manifest, or 304 if the client already has it; with warnings about its admission at `now`, if any.
pub(super) fn manifest(admitted: Admitted, request: &HeaderMap, now: Timestamp) -> Response<Body> {
    if is_unchanged(request, admitted.name().etag()) {
        let mut response = unchanged(admitted.name());
        warnings::put(response.headers_mut(), &admitted, now);
        return response;
    }
    let mut headers = admitted.headers().clone();
    warnings::put(&mut headers, &admitted, now);
    let mut response = Response::new(Body::manifest(admitted));
    *response.headers_mut() = headers;
    response
}

/// 304: the client already has the content of that name.
pub(super) fn unchanged(name: &ContentName) -> Response<Body> {
    let mut response = answer(StatusCode::NOT_MODIFIED, None, Body::empty());
    let headers = response.headers_mut();
    // It would state the length of the content (RFC 9110, 8.6), not of this response.
    headers.remove(CONTENT_LENGTH);
    name.put(headers);
    response
}

/// A blob, or the requested part of it.
pub(super) fn blob(blob: OpenBlob, name: &ContentName, metrics: &Metrics) -> Response<Body> {
    let (status, range) = match blob.part() {
        Part::Whole { .. } => (StatusCode::OK, None),
        Part::Range(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
    };
    let sent = metrics.blob_bytes(blob.origin());
    let mut response = answer(status, Some(OCTETS), Body::blob(blob, sent));
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, BYTES);
    if let Some(range) = range {
        put(headers, CONTENT_RANGE, range.to_header());
    }
    name.put(headers);
    response
}

/// The headers of a blob, with its length if that is known.
pub(super) fn blob_length(length: Option<u64>, name: &ContentName) -> Response<Body> {
    let mut response = answer(StatusCode::OK, Some(OCTETS), Body::empty());
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, BYTES);
    headers.remove(CONTENT_LENGTH);
    headers.extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
    name.put(headers);
    response
}

/// The list that a client requested, for the link to its next page.
pub(super) struct Listed<'a> {
    /// The repository as written in the path.
    pub(super) name: &'a str,
    pub(super) ns: Option<&'a Registry>,
}

impl Listed<'_> {
    /// Links to the next page, if there is one (distribution-spec, "Listing Tags").
    fn link(&self, headers: &mut HeaderMap, rest: &str, next: Option<&Page>, filter: Option<&str>) {
        let Some(next) = next else { return };
        let mut query = form_urlencoded::Serializer::new(next.to_query());
        query.extend_pairs(filter.map(|wanted| ("artifactType", wanted)));
        query.extend_pairs(self.ns.map(|ns| ("ns", ns.as_str())));
        let link = format!("</v2/{}/{rest}?{}>; rel=\"next\"", self.name, query.finish());
        put(headers, LINK, link);
    }
}

/// A page of tags; `None` if too many bytes of lists wait for their clients.
pub(super) fn tags(page: &TagPage, listed: &Listed<'_>, load: &Load) -> Option<Response<Body>> {
    let body = Body::tags(listed.name, &page.tags, load)?;
    let mut response = answer(StatusCode::OK, Some(JSON), body);
    listed.link(response.headers_mut(), "tags/list", page.next.as_ref(), None);
    Some(response)
}

/// A page of the referrers of `subject`; `wanted` is the requested artifact type. `None` if too many bytes of lists
/// wait for their clients.
pub(super) fn referrers(
    referrers: ReferrerList,
    listed: &Listed<'_>,
    subject: &Digest,
    wanted: Option<&str>,
    load: &Load,
) -> Option<Response<Body>> {
    let (filters, next) = (referrers.filters_applied.clone(), referrers.next.clone());
    let index = HeaderValue::from_static(MediaType::OciIndex.as_str());
    let mut response = answer(StatusCode::OK, Some(index), Body::referrers(referrers, load)?);
    let headers = response.headers_mut();
    if let Some(filters) = filters {
        put(headers, OCI_FILTERS_APPLIED, filters);
    }
    listed.link(headers, &format!("referrers/{subject}"), next.as_ref(), wanted);
    Some(response)
}

/// A Notary server's metadata, or 404. `None` if too many bytes of lists wait for their clients.
pub(super) fn trust_metadata(metadata: Option<Relayed>, load: &Load) -> Option<Response<Body>> {
    Some(match metadata {
        Some(metadata) => answer(StatusCode::OK, Some(JSON), Body::trust_metadata(metadata, load)?),
        None => {
            let message = "You have requested metadata that does not exist.";
            let body = ErrorBody::new(ErrorCode::MetadataNotFound, message);
            error(StatusCode::NOT_FOUND, &body.with_detail(json!({})))
        }
    })
}

/// The response to a denied request; `chosen` applies to absent and refused images.
pub(super) fn denied(denial: &Denial, id: RequestId, chosen: DenialStatus) -> Response<Body> {
    // No `_` arm: a new denial must choose its own status.
    let (status, code) = match denial {
        Denial::Absent(_) | Denial::Refused(_) => match chosen {
            DenialStatus::NotFound => (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown),
            DenialStatus::Forbidden => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        },
        Denial::Undecided(_) => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
        Denial::Missing { code, .. } => (StatusCode::NOT_FOUND, *code),
        Denial::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::Toomanyrequests),
        Denial::Unsatisfiable { .. } => {
            (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid)
        }
    };
    let by = DeniedBy::of(denial);
    let mut detail = json!({
        "image": denial.resource().to_string(),
        "verdict": denial.verdict().map(Verdict::as_str),
        "reason": denial.reason(),
        "rule": by.rule.map(|rule| &**rule),
        "anchor": by.anchor.map(|anchor| &**anchor),
        "scheme": by.scheme.map(|scheme| scheme.as_str()),
        "request_id": id.to_string(),
    });
    if let Some(members) = detail.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    let sentence = denial.to_string();
    let message = match denial {
        Denial::Absent(_)
        | Denial::Refused(_)
        | Denial::Undecided(_)
        | Denial::Throttled { .. } => with_id(&sentence, id),
        // Not a decision: the words of the upstream.
        Denial::Missing { .. } | Denial::Unsatisfiable { .. } => sentence.clone(),
    };
    let mut response = error(status, &ErrorBody::new(code, &*message).with_detail(detail));
    if let (Denial::Undecided(_), Some(reason)) = (denial, mirror::reason_phrase(&sentence, id)) {
        // For a 5xx, docker, containerd, podman and skopeo show only the status line.
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    match denial {
        Denial::Undecided(_) => {
            headers.insert(RETRY_AFTER, seconds(ASK_AGAIN));
        }
        Denial::Throttled { retry_after, .. } => {
            headers.insert(RETRY_AFTER, seconds(retry_after.unwrap_or(ASK_AGAIN)));
        }
        Denial::Unsatisfiable { size: Some(size), .. } => {
            put(headers, CONTENT_RANGE, format!("bytes */{size}"));
        }
        Denial::Unsatisfiable { size: None, .. }
        | Denial::Absent(_)
        | Denial::Refused(_)
        | Denial::Missing { .. } => {}
    }
    response
}

/// The response to a client that is not authenticated, with that message. It is final if the client cannot send a
/// password (RFC 9110, 15.5.2).
pub(super) fn unauthorized(
    why: Unauthorized,
    sentence: &str,
    clients: &Clients,
    challenge: HeaderValue,
) -> Response<Body> {
    let (status, code) = match why {
        Unauthorized::Unknown | Unauthorized::Wrong | Unauthorized::Token
            if clients.takes_passwords() =>
        {
            (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        }
        Unauthorized::Unknown | Unauthorized::Wrong | Unauthorized::Token => {
            (StatusCode::FORBIDDEN, ErrorCode::Denied)
        }
        Unauthorized::Busy => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
    };
    let mut response = error(status, &ErrorBody::new(code, sentence));
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, seconds(ASK_AGAIN));
    }
    response
}

/// A token with its lifetime.
pub(super) fn token(token: &Token) -> Response<Body> {
    let mut response = answer(StatusCode::OK, Some(JSON), Body::token(token));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A response that clients of a mirror accept as final.
pub(super) fn mirrored(denial: Answer) -> Response<Body> {
    let Answer { status, reason, content } = denial;
    let mut response = match content {
        AnswerContent::None => answer(status, None, Body::empty()),
        AnswerContent::Error(body) => error(status, &body),
        AnswerContent::Manifest(denial) => {
            let name = ContentName::of(&denial.digest());
            let headers = of_manifest(&name, denial.media_type(), denial.len());
            let mut response = Response::new(Body::denial(denial));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    if status == StatusCode::NOT_MODIFIED {
        headers.remove(CONTENT_LENGTH);
    }
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response
}

/// The sentence of a denial, with the id of its request.
fn with_id(sentence: &str, id: RequestId) -> String {
    format!("{sentence} (request {id})")
}

/// The response for a repository that the user may not pull, with that message.
pub(super) fn not_given(sentence: &str, id: RequestId) -> Response<Body> {
    let message = with_id(sentence, id);
    error(StatusCode::FORBIDDEN, &ErrorBody::new(ErrorCode::Denied, message))
}

/// The response to an invalid path or query.
pub(super) fn malformed(malformed: &Malformed) -> Response<Body> {
    let code = malformed.code();
    let status = match malformed {
        Malformed::UnknownRegistry(_) | Malformed::NoRegistry(_) => StatusCode::NOT_FOUND,
        Malformed::ArtifactType
        | Malformed::Count
        | Malformed::Digest(..)
        | Malformed::Name(..)
        | Malformed::Namespaces
        | Malformed::Tag(..) => StatusCode::BAD_REQUEST,
    };
    error(status, &ErrorBody::new(code, malformed.to_string()))
}

/// The response to a request that is refused whatever it means. Without a valid host, the connection is closed: the
/// client and a proxy in front of the gate may disagree on where requests end.
pub(super) fn objection(objection: Objection, version: Version) -> Response<Body> {
    let Objection::Host(sentence) = objection else { return busy(objection.sentence()) };
    let body = ErrorBody::new(ErrorCode::Unsupported, sentence);
    let mut response = error(StatusCode::BAD_REQUEST, &body);
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The response when a limit of the gate is reached; `sentence` names the limit.
pub(super) fn busy(sentence: &str) -> Response<Body> {
    let body = ErrorBody::new(ErrorCode::Unavailable, sentence);
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, &body);
    response.headers_mut().insert(RETRY_AFTER, seconds(ASK_AGAIN));
    response
}

/// The response to a request that this gate sent itself (RFC 5842, 7.2).
pub(super) fn looped(sentence: &str) -> Response<Body> {
    error(StatusCode::LOOP_DETECTED, &ErrorBody::new(ErrorCode::Unsupported, sentence))
}

/// The response to an invalid range.
pub(super) fn invalid_range(invalid: &InvalidRange) -> Response<Body> {
    let body = ErrorBody::new(ErrorCode::RangeInvalid, invalid.to_string());
    error(StatusCode::RANGE_NOT_SATISFIABLE, &body)
}

/// The response to a method that does not read. Closes the connection, so that the body need not be read.
pub(super) fn unsupported(version: Version) -> Response<Body> {
    let message = "this registry is read-only and serves only signed images";
    let body = ErrorBody::new(ErrorCode::Unsupported, message);
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &body);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    if version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

pub(super) fn not_found() -> Response<Body> {
    let message = "no such path in this registry";
    error(StatusCode::NOT_FOUND, &ErrorBody::new(ErrorCode::Unsupported, message))
}

/// `response` for a HEAD request: the same headers, without the body.
pub(super) fn without_body(response: Response<Body>) -> Response<Body> {
    response.map(|_| Body::empty())
}

fn error(status: StatusCode, error: &ErrorBody) -> Response<Body> {
    let mut response = answer(status, Some(JSON), Body::error(error));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A response with the headers that all responses share.
fn answer(status: StatusCode, content_type: Option<HeaderValue>, body: Body) -> Response<Body> {
    let len = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(DOCKER_DISTRIBUTION_API_VERSION, API_VERSION);
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if let Some(len) = len {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    response
}

/// Sets a header to a value that the gate built; omits it if it contains control characters.
fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
}

/// In whole seconds, rounded up, so that clients do not retry too early.
fn seconds(duration: Duration) -> HeaderValue {
    let more = u64::from(duration.subsec_nanos() > 0);
    HeaderValue::from(duration.as_secs().saturating_add(more))
}

#[cfg(test)]
mod tests;
