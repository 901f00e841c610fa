//! One question and its answer: counted, redirects followed (without credentials once they leave the
//! upstream), encodings refused. What the answer means is for the caller.

use http::header::{CONTENT_ENCODING, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use url::Url;

use super::auth::Authenticator;
use super::error::{UpstreamError, Violation};
use super::metrics::{Endpoint, Metrics};
use crate::http_client::{Body, Client, Method};

/// How many redirects are followed for one question.
const MAX_REDIRECTS: usize = 5;
/// The longest place to be redirected to, in bytes: presigned URLs are long.
const MAX_LOCATION: usize = 16 << 10;

/// A question to a registry.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) scope: &'a str,
}

/// Asks, and follows where that leads. `headers` go along to every host, `Authorization` to none but
/// the upstream; once a redirect has left it, not even back to it.
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
            send(client, upstream.metrics(), Endpoint::Redirect, method, &url, &headers).await?
        };
        match redirect(&response, &url)? {
            Some(next) => url = next,
            None => return Ok(response),
        }
    }
    Err(Violation::Redirects(MAX_REDIRECTS).into())
}

/// Sends one request and counts it; refuses an answer whose content is encoded.
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
    match response.headers().get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" && response.status().is_success() => {
            let shown = String::from_utf8_lossy(encoding.as_bytes());
            Err(Violation::Encoding(shown.chars().take(40).collect()).into())
        }
        Some(_) | None => Ok(response),
    }
}

/// Where `response`, which `url` gave, sends us; `None` if it does not.
fn redirect(response: &Response<Body>, url: &Url) -> Result<Option<Url>, Violation> {
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
