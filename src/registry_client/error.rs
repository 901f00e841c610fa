//! Why an upstream gave us nothing that we can use: as many cases as callers tell apart.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode};
use thiserror::Error;

use crate::http_client::{Body, Crowded, ForbiddenTarget, NetError, ReadError, Stage, retry_after};
use crate::json::{Document, InvalidJson, Value};
use crate::oci::ErrorCode;
use crate::oci::manifest::InvalidManifest;
use crate::text::is_plain;

/// The longest error body that is read, in bytes.
const MAX_ERROR_BODY: usize = 64 << 10;
/// The most characters of an upstream's own words that are passed on.
const MAX_MESSAGE: usize = 255;
/// The longest `Retry-After` that is passed on.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Why there is no answer to use.
#[derive(Clone, Debug, Error)]
pub enum UpstreamError {
    /// 404, with upstream's own code where it gave one that fits.
    #[error("upstream does not have it{}", said(.message))]
    Absent { code: ErrorCode, message: String },
    /// 401 or 403, with the credentials that we have, if any.
    #[error("upstream refused with status {status}")]
    Refused { status: StatusCode },
    #[error("upstream has had too many requests")]
    TooManyRequests { retry_after: Option<Duration> },
    /// 416, with the content's size where upstream told it.
    #[error("the range is not within the content")]
    RangeUnsatisfiable { size: Option<u64> },
    /// The gate did not ask, because it is busy. Says nothing of the server.
    #[error("the gate is busy: {0}")]
    Busy(Busy),
    #[error("upstream does not answer: {0}")]
    Unreachable(#[from] Outage),
    #[error("upstream broke the protocol: {0}")]
    Protocol(#[from] Violation),
}

/// Upstream's own words, if it had any: an answer to HEAD has none.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// What the gate has too many of to ask upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Busy {
    #[error(transparent)]
    BlobQueue(Crowded),
    #[error("no turn for another blob was free within {0} seconds")]
    Blobs(u64),
    #[error("as many requests as the server may get at once are in progress")]
    Requests,
}

impl UpstreamError {
    /// Whether the answer may well be another in a while.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::TooManyRequests { .. } | Self::Busy(_) | Self::Unreachable(_) => true,
            Self::Absent { .. }
            | Self::Refused { .. }
            | Self::RangeUnsatisfiable { .. }
            | Self::Protocol(_) => false,
        }
    }
}

/// How an upstream does not answer.
#[derive(Clone, Debug, Error)]
pub enum Outage {
    #[error(transparent)]
    Net(NetError),
    #[error("it failed with status {0}")]
    Status(StatusCode),
}

/// How an upstream broke the protocol.
#[derive(Clone, Debug, Error)]
pub enum Violation {
    #[error("unexpected status {0}")]
    Status(StatusCode),
    #[error("the answer is longer than {ceiling} bytes")]
    TooLong { ceiling: usize },
    #[error("the answer is encoded as {0:?}, which was not asked for")]
    Encoding(String),
    #[error("the header {0} has two different values, or is not text")]
    Ambiguous(HeaderName),
    #[error("the header {0} is invalid")]
    Header(&'static str),
    #[error(transparent)]
    Json(Arc<InvalidJson>),
    #[error("the answer has no {0}")]
    Missing(&'static str),
    #[error("the answer is neither a manifest nor an index, so it does not come from a registry")]
    NoManifest,
    #[error("the answer is a web page or unreadable (status {0}), not the answer of a registry")]
    WebPage(StatusCode),
    #[error(
        "the answer is status {0}, as from a registry without the referrers API, but no second repository of \
         this registry has confirmed that"
    )]
    UnconfirmedNoReferrers(StatusCode),
    #[error(transparent)]
    Manifest(Arc<InvalidManifest>),
    #[error("the list of referrers is invalid: {0}")]
    List(String),
    #[error("the part that came is not the part that was asked for")]
    Range,
    #[error("more than {0} redirects")]
    Redirects(usize),
    #[error(transparent)]
    Target(ForbiddenTarget),
    #[error(
        "the token realm {0:?} cannot be used: no http or https URL, or http for a server on https"
    )]
    Realm(String),
    #[error(
        "the token realm is on {realm}, and the credentials are for {upstream}: they are not sent there \
         unless `token_realm` names that host, over https"
    )]
    ForeignRealm { realm: String, upstream: String },
}

impl Violation {
    /// Whether the registry said no for good, so that a retry gives the same answer.
    pub fn is_final(&self) -> bool {
        match self {
            Self::TooLong { .. } => true,
            Self::Status(status) => status.is_client_error(),
            Self::NoManifest
            | Self::Encoding(_)
            | Self::Ambiguous(_)
            | Self::Header(_)
            | Self::Json(_)
            | Self::Missing(_)
            | Self::WebPage(_)
            | Self::UnconfirmedNoReferrers(_)
            | Self::Manifest(_)
            | Self::List(_)
            | Self::Range
            | Self::Redirects(_)
            | Self::Target(_)
            | Self::Realm(_)
            | Self::ForeignRealm { .. } => false,
        }
    }
}

impl From<NetError> for UpstreamError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Forbidden(target) => Self::Protocol(Violation::Target(target)),
            NetError::TimedOut { stage: Stage::Place, .. } => Self::Busy(Busy::Requests),
            NetError::TimedOut { .. }
            | NetError::Connect { .. }
            | NetError::Tls { .. }
            | NetError::Broken { .. } => Self::Unreachable(Outage::Net(error)),
        }
    }
}

impl From<ReadError> for UpstreamError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLong { ceiling } => Self::Protocol(Violation::TooLong { ceiling }),
            ReadError::Interrupted(error) => error.into(),
        }
    }
}

impl From<InvalidJson> for Violation {
    fn from(error: InvalidJson) -> Self {
        Self::Json(Arc::new(error))
    }
}

impl From<InvalidManifest> for Violation {
    fn from(error: InvalidManifest) -> Self {
        Self::Manifest(Arc::new(error))
    }
}

/// What a `response` that is no success says; `absent` is what is not there if it is a 404 that names
/// nothing itself.
pub(super) async fn of_response(response: Response<Body>, absent: ErrorCode) -> UpstreamError {
    let status = response.status();
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        let (code, message) = absence(response.into_body()).await;
        return UpstreamError::Absent { code: code.unwrap_or(absent), message };
    }
    of_status(&response)
}

/// As [`of_response`], where a 404 is not one of the answers.
pub(super) fn of_status<B>(response: &Response<B>) -> UpstreamError {
    let status = response.status();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => UpstreamError::Refused { status },
        StatusCode::TOO_MANY_REQUESTS => UpstreamError::TooManyRequests {
            retry_after: retry_after(response.headers()).map(|wait| wait.min(MAX_RETRY_AFTER)),
        },
        StatusCode::REQUEST_TIMEOUT => Outage::Status(status).into(),
        _ if status.is_server_error() => Outage::Status(status).into(),
        _ => Violation::Status(status).into(),
    }
}

/// What the body of a 404 says: a code, where that is one of absence, and a message.
pub(super) async fn absence(body: Body) -> (Option<ErrorCode>, String) {
    error_body(body).await.map_or_else(Default::default, |bytes| absence_in(&bytes))
}

/// The body of an error response; `None` if it cannot be read or is longer than [`MAX_ERROR_BODY`].
pub(super) async fn error_body(body: Body) -> Option<Bytes> {
    match body.read_whole(MAX_ERROR_BODY).await {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::debug!(%error, "the body of an error response cannot be read");
            None
        }
    }
}

/// The code, if it is one of absence, and the message in the body of a 404.
pub(super) fn absence_in(body: &[u8]) -> (Option<ErrorCode>, String) {
    first_error(body).unwrap_or_default()
}

/// Code and message of the first error of a registry's error body.
fn first_error(body: &[u8]) -> Option<(Option<ErrorCode>, String)> {
    // Plenty of 404s are a web server's own, in HTML: what is no error body says nothing.
    let document = Document::parse(body).ok()?;
    let error = document.root().member("errors")?.as_array()?.iter().next()?;
    let text = |name| error.member(name).and_then(Value::as_str).unwrap_or_default();
    let code = match text("code") {
        "BLOB_UNKNOWN" => Some(ErrorCode::BlobUnknown),
        "MANIFEST_UNKNOWN" => Some(ErrorCode::ManifestUnknown),
        "NAME_UNKNOWN" => Some(ErrorCode::NameUnknown),
        _ => None,
    };
    let shown = text("message").chars().filter(|c| is_plain(*c)).take(MAX_MESSAGE);
    Some((code, shown.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_a_registry_is_read() {
        let body = br#"{"errors":[{"code":"NAME_UNKNOWN","message":"no\nsuch"},{"code":"X"}]}"#;
        assert_eq!(first_error(body), Some((Some(ErrorCode::NameUnknown), "nosuch".to_owned())));
        let other = br#"{"errors":[{"code":"SOMETHING"}]}"#;
        assert_eq!(first_error(other), Some((None, String::new())));
        for body in [&b"<html>"[..], b"", b"{}", b"[]", br#"{"errors":[]}"#, br#"{"errors":7}"#] {
            assert_eq!(first_error(body), None);
        }
    }
}
