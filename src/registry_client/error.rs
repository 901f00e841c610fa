//! The errors of requests to an upstream: one case for each that callers distinguish.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode};
use thiserror::Error;

use crate::http_client::{Body, Crowded, ForbiddenTarget, NetError, ReadError, Stage, retry_after};
use crate::json::{Document, InvalidJson, Value};
use crate::oci::ErrorCode;
use crate::oci::headers::DOCKER_DISTRIBUTION_API_VERSION;
use crate::oci::manifest::InvalidManifest;
use crate::text::is_plain;

use super::answer;

/// The longest error body that is read, in bytes.
const MAX_ERROR_BODY: usize = 64 << 10;
/// The most characters of upstream's own message that are passed on.
const MAX_MESSAGE: usize = 255;
/// The longest `Retry-After` that is passed on.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a request has no usable answer.
#[derive(Clone, Debug, Error)]
pub enum UpstreamError {
    /// 404, with upstream's own error code if it is one of absence.
    #[error("upstream does not have it{}", said(.message))]
    Absent { code: ErrorCode, message: String },
    /// 401 or 403, with the configured credentials, if any.
    #[error("upstream refused the request with status {status}")]
    Refused { status: StatusCode },
    #[error("upstream received too many requests")]
    TooManyRequests { retry_after: Option<Duration> },
    /// 416, with the size of the content if upstream sent it.
    #[error("the range is outside the content")]
    RangeUnsatisfiable { size: Option<u64> },
    /// The gate did not send the request because it is busy. This says nothing about the server.
    #[error("the gate is busy: {0}")]
    Busy(Busy),
    #[error("upstream is unavailable: {0}")]
    Unreachable(#[from] Outage),
    #[error("upstream violated the protocol: {0}")]
    Protocol(#[from] Violation),
}

/// Upstream's own message, if it sent one; an answer to HEAD has none.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// The limit of the gate that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Busy {
    #[error(transparent)]
    BlobQueue(Crowded),
    #[error("no place for another blob became free within {0} seconds")]
    Blobs(u64),
    #[error("the limit of concurrent requests to the server is reached")]
    Requests,
}

impl UpstreamError {
    /// Whether a later retry may succeed.
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

/// Why upstream gave no answer.
#[derive(Clone, Debug, Error)]
pub enum Outage {
    #[error(transparent)]
    Net(NetError),
    #[error("status {0}")]
    Status(StatusCode),
}

/// How upstream violated the protocol.
#[derive(Clone, Debug, Error)]
pub enum Violation {
    #[error("unexpected status {0}")]
    Status(StatusCode),
    #[error("the answer exceeds {ceiling} bytes")]
    TooLong { ceiling: usize },
    #[error("the answer has the content encoding {0:?}, which the gate did not request")]
    Encoding(String),
    #[error("the header {0} has two different values or is not text")]
    Ambiguous(HeaderName),
    #[error("the header {0} is invalid")]
    Header(&'static str),
    #[error(transparent)]
    Json(Arc<InvalidJson>),
    #[error("the answer has no {0}")]
    Missing(&'static str),
    #[error("the answer is neither a manifest nor an index, so it is not from a registry")]
    NoManifest,
    #[error("the answer with status {0} is a web page or unreadable, so it is not from a registry")]
    WebPage(StatusCode),
    #[error(
        "status {0} suggests that the registry has no referrers API, but no second repository of \
         this registry confirmed that"
    )]
    UnconfirmedNoReferrers(StatusCode),
    #[error(transparent)]
    Manifest(Arc<InvalidManifest>),
    #[error("the list of referrers is invalid: {0}")]
    List(String),
    #[error("upstream sent another range than requested")]
    Range,
    #[error("more than {0} redirects")]
    Redirects(usize),
    #[error(transparent)]
    Target(ForbiddenTarget),
    #[error(
        "invalid token realm {0:?}: it must be an http or https URL, and https for an https server"
    )]
    Realm(String),
    #[error(
        "the credentials for {upstream} are not sent to its token realm on {realm} \
         unless `token_realm` names that host, over https"
    )]
    ForeignRealm { realm: String, upstream: String },
}

impl Violation {
    /// Whether the answer exceeds a limit of this program.
    pub fn exceeds_limit(&self) -> bool {
        match self {
            Self::TooLong { .. } => true,
            Self::Json(error) => error.exceeds_limit(),
            Self::Manifest(error) => error.exceeds_limit(),
            Self::Status(_)
            | Self::NoManifest
            | Self::Encoding(_)
            | Self::Ambiguous(_)
            | Self::Header(_)
            | Self::Missing(_)
            | Self::WebPage(_)
            | Self::UnconfirmedNoReferrers(_)
            | Self::List(_)
            | Self::Range
            | Self::Redirects(_)
            | Self::Target(_)
            | Self::Realm(_)
            | Self::ForeignRealm { .. } => false,
        }
    }

    /// Whether the registry refused for good, so that a retry gets the same answer.
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
            | NetError::Offline { .. }
            | NetError::Local { .. }
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

/// The error for an unsuccessful `response`. `absent` is the code for a 404 that names no code of absence itself.
pub(super) async fn of_response(response: Response<Body>, absent: ErrorCode) -> UpstreamError {
    let status = response.status();
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        let is_registry = response.headers().contains_key(&DOCKER_DISTRIBUTION_API_VERSION);
        let body = error_body(response.into_body()).await.unwrap_or_default();
        // A portal, or a proxy that has lost the registry behind it, also answers 404.
        if !is_registry && answer::is_page(&body) {
            return Violation::WebPage(status).into();
        }
        let (code, message) = absence_in(&body);
        return UpstreamError::Absent { code: code.unwrap_or(absent), message };
    }
    of_status(&response)
}

/// The error for an unsuccessful `response` other than 404.
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

/// The error code, if it is one of absence, and the message in `body`.
pub(super) fn absence_in(body: &[u8]) -> (Option<ErrorCode>, String) {
    first_error(body).unwrap_or_default()
}

/// Code and message of the first error of a registry's error body.
fn first_error(body: &[u8]) -> Option<(Option<ErrorCode>, String)> {
    // Many 404s are a web server's own page in HTML: a body without an error code tells nothing.
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
    fn the_first_error_of_a_registry_is_parsed() {
        let body = br#"{"errors":[{"code":"NAME_UNKNOWN","message":"no\nsuch"},{"code":"X"}]}"#;
        assert_eq!(first_error(body), Some((Some(ErrorCode::NameUnknown), "nosuch".to_owned())));
        let other = br#"{"errors":[{"code":"SOMETHING"}]}"#;
        assert_eq!(first_error(other), Some((None, String::new())));
        for body in [&b"<html>"[..], b"", b"{}", b"[]", br#"{"errors":[]}"#, br#"{"errors":7}"#] {
            assert_eq!(first_error(body), None);
        }
    }
}
