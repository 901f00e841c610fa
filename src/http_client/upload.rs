//! Uploads: the only requests of this program that change a server. A command that publishes creates an [`Uploader`];
//! the serving gate has only [`Client`](super::Client)s, which cannot send such requests.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

use super::body::{Body, Content};
use super::client::{MAX_HEAD, USER_AGENT_VALUE};
use super::connect::Connector;
use super::error::{NetError, Stage};
use super::informational::Informational;
use super::proxy::{Proxies, ProxyServer};
use super::ssrf::{self, ForbiddenTarget};
use super::timeouts::Timeouts;
use super::tls::{self, TlsError};

/// The methods of uploads. A request is sent once, because a server may have processed a failed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadMethod {
    Post,
    Put,
}

impl From<UploadMethod> for http::Method {
    fn from(method: UploadMethod) -> Self {
        match method {
            UploadMethod::Post => Self::POST,
            UploadMethod::Put => Self::PUT,
        }
    }
}

/// Sends small content to one configured server, one request at a time, and to no other server. Follows no redirects.
pub struct Uploader {
    base: Url,
    pool: Pool<Connector, Full<Bytes>>,
    proxies: Proxies,
    timeouts: Timeouts,
    place: Arc<Semaphore>,
}

impl Uploader {
    /// An uploader to the server at `base` through `proxies`. It also trusts the root certificates in the PEM file `ca`.
    pub fn new(
        proxies: &Proxies,
        base: &Url,
        ca: Option<&Path>,
        timeouts: Timeouts,
    ) -> Result<Self, TlsError> {
        let tls = tls::client_config(ca, base.scheme() == "https")?;
        let connector = Connector::new(tls, None, proxies.clone(), timeouts.connect);
        let pool = Pool::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(MAX_HEAD)
            .build(connector);
        let (base, proxies) = (base.clone(), proxies.clone());
        Ok(Self { base, pool, proxies, timeouts, place: Arc::new(Semaphore::new(1)) })
    }

    /// Whether `url` is on the configured server: same scheme, host and port.
    pub fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Sends `body` to `url`, which must be on the configured server, and returns the head of the answer, whatever its
    /// status. The caller limits the length of the body.
    pub async fn send(
        &self,
        method: UploadMethod,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, NetError> {
        ssrf::check_url(url)?;
        let host = url.host_str().unwrap_or_default();
        let refused = || ForbiddenTarget::Url(host.to_owned());
        if !self.is_own(url) {
            return Err(refused().into());
        }
        let timed_out = |stage| NetError::TimedOut { host: host.to_owned(), stage };
        let place = Arc::clone(&self.place).acquire_owned();
        // The semaphore is never closed.
        let place = match timeout(self.timeouts.total, place).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) | Err(_) => return Err(timed_out(Stage::Place)),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.into();
        *request.uri_mut() = url.as_str().parse::<Uri>().map_err(|_| refused())?;
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // The proxy of an https:// target sees only the tunnel.
        let forwarding = self.proxies.for_url(url).filter(|_| url.scheme() == "http");
        let authorization = forwarding.and_then(ProxyServer::authorization);
        headers.extend(authorization.map(|it| (PROXY_AUTHORIZATION, it.clone())));
        let informational = Informational::of(&mut request);
        let answer = async {
            tokio::select! {
                too_many = informational.too_many() => {
                    Err(NetError::Broken { host: host.to_owned(), source: Arc::new(too_many) })
                }
                answer = self.pool.request(request) => {
                    answer.map_err(|error| NetError::of_request(host, error))
                }
            }
        };
        let answer = match timeout(self.timeouts.total, answer).await {
            Ok(answer) => answer?,
            Err(_) => return Err(timed_out(Stage::FirstByte)),
        };
        let Timeouts { idle, total, .. } = self.timeouts;
        let answer = answer.map(Content::Network);
        Ok(answer.map(|content| Body::new(content, host.into(), idle, total, place)))
    }
}
