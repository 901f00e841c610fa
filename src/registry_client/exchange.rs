//! One request and its response: counts requests, follows redirects (without credentials once they leave the upstream), and
//! rejects encoded content. The caller interprets the response.

use http::header::{CONTENT_ENCODING, LOCATION};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use url::Url;

use super::auth::Authenticator;
use super::error::{UpstreamError, Violation};
use super::metrics::{Endpoint, Metrics};
use crate::http_client::{Body, Client, Method};

/// The most redirects for one request.
const MAX_REDIRECTS: usize = 5;
/// The longest `Location` in bytes. Presigned URLs are long.
const MAX_LOCATION: usize = 16 << 10;

/// A request to a registry.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) scope: &'a str,
}

/// Sends the request and follows redirects. Every host gets `headers`. Only the upstream gets credentials, and only
/// before the first redirect to another host.
pub(super) async fn ask(
    upstream: &Authenticator,
    question: Question<'_>,
) -> Result<Response<Body>, UpstreamError> {
    let Question { endpoint, method, mut url, headers, scope } = question;
    let client = upstream.client();
    let mut own = true;
    for _ in 0..=MAX_REDIRECTS {
        own = own && client.is_own(&url);
        let response = if own {
            upstream.send(endpoint, method, &url, &headers, scope).await?
        } else {
            upstream.send_elsewhere(method, &url, &headers).await?
        };
        match redirect(&response, &url)? {
            Some(next) => url = next,
            None => return Ok(response),
        }
    }
    Err(Violation::Redirects(MAX_REDIRECTS).into())
}

/// Sends one request and counts it; rejects a response with encoded content.
pub(super) async fn send(
    client: &Client,
    metrics: &Metrics,
    endpoint: Endpoint,
    method: Method,
    url: &Url,
    headers: &HeaderMap,
) -> Result<Response<Body>, UpstreamError> {
    let sent = client.send(method, url, headers).await;
    metrics.count(endpoint, sent.as_ref().ok().map(Response::status));
    let response = sent?;
    let mut encodings = response.headers().get_all(CONTENT_ENCODING).iter();
    match encodings.find(|encoding| !changes_nothing(encoding)) {
        Some(encoding) if response.status().is_success() => {
            let shown = String::from_utf8_lossy(encoding.as_bytes());
            Err(Violation::Encoding(shown.chars().take(40).collect()).into())
        }
        Some(_) | None => Ok(response),
    }
}

/// Whether the bytes are the same with and without this `Content-Encoding`. S3 stores the `aws-chunked` of an upload with the
/// object and sends it with the plain bytes.
fn changes_nothing(encoding: &HeaderValue) -> bool {
    encoding.as_bytes().split(|byte| *byte == b',').all(|coding| {
        let coding = coding.trim_ascii();
        coding.is_empty()
            || coding.eq_ignore_ascii_case(b"identity")
            || coding.eq_ignore_ascii_case(b"aws-chunked")
    })
}

/// The target of a redirect from `url`; `None` if `response` is not a redirect.
pub(super) fn redirect(response: &Response<Body>, url: &Url) -> Result<Option<Url>, Violation> {
    let moved = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !moved {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).ok_or(Violation::Missing("Location"))?;
    let text = location.to_str().map_err(|_| Violation::Header("Location"))?;
    if text.len() > MAX_LOCATION {
        return Err(Violation::Header("Location"));
    }
    let mut next = url.join(text).map_err(|_| Violation::Header("Location"))?;
    next.set_fragment(None);
    Ok(Some(next))
}
