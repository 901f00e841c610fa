//! A client for one configured server and for the hosts that this server names. The server may be in this process
//! ([`super::local`]). Only the origin of the URL distinguishes server and named hosts, so that no caller can confuse them.
//! The client follows no redirects and decodes no content-encoding.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_ok;
use http::header::{ACCEPT_ENCODING, PROXY_AUTHORIZATION, USER_AGENT, VIA};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use super::body::{Body, Content};
use super::connect::Connector;
use super::error::{NetError, Stage, peer};
use super::informational::Informational;
use super::local::{Local, LocalBody, LocalServer};
use super::proxy::{Proxies, ProxyServer};
use super::retry::Retries;
use super::reuse;
use super::ssrf::{self, ForbiddenTarget, Guard};
use super::timeouts::Timeouts;
use super::tls::{self, TlsError};
use super::tunnel::ProxyFailed;
use super::via;
use crate::queue_time::queued;

/// The longest head of a response, and the largest piece of a body, in bytes (HTTP/1.1).
pub(super) const MAX_HEAD: usize = 64 << 10;
/// The longest head of a response in bytes (HTTP/2).
const MAX_HEADER_LIST: u32 = 64 << 10;
/// How many bytes of one body a server may send before the gate reads them (HTTP/2). All bodies together get
/// `max_requests` times that, so that a few unread bodies cannot stop the others.
const STREAM_WINDOW: u32 = 512 << 10;
/// The largest window of HTTP/2.
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// The interval of pings on an HTTP/2 connection.
const PING: Duration = Duration::from_secs(5);
/// How long a request waits on a connection that answered before (HTTP/1.1) until the gate doubts the connection, and sends
/// the request over a new one.
const DOUBT: Duration = Duration::from_secs(2);
/// How long an idle connection is kept.
const KEEP: Duration = Duration::from_secs(60);
/// The most idle connections to one host: as many as there were requests at once.
const MAX_IDLE: usize = usize::MAX;
pub(super) const USER_AGENT_VALUE: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// The methods that this client sends: only safe ones, which may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
        }
    }
}

/// A client of one server. Cheap to clone; clones share connections and places.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// The `Via` header of requests.
    via: Option<HeaderValue>,
    /// The server in this process, if there is one.
    local: Option<Local>,
}

struct Shared {
    base: Url,
    /// `None`: no connection can be opened.
    network: Option<Network>,
    places: Arc<Semaphore>,
    timeouts: Timeouts,
}

struct Network {
    /// Connects only to the configured server.
    own: Pools,
    /// Connects to hosts that the server names, if the guard permits them.
    named: Pools,
    proxies: Proxies,
}

/// The connections to a group of hosts.
struct Pools {
    reusing: Pool<Connector, Empty<Bytes>>,
    /// Opens a connection for each request.
    anew: Pool<Connector, Empty<Bytes>>,
}

impl Client {
    /// A client of the server at `base` (http or https) with at most `max_requests` concurrent requests. It also trusts
    /// the root certificates in the PEM file `ca`.
    pub fn new(
        base: &Url,
        ca: Option<&Path>,
        max_requests: usize,
        timeouts: Timeouts,
    ) -> Result<Self, TlsError> {
        Self::through(&Proxies::none(), base, ca, max_requests, timeouts)
    }

    /// The same client, which connects through `proxies`.
    pub fn through(
        proxies: &Proxies,
        base: &Url,
        ca: Option<&Path>,
        max_requests: usize,
        timeouts: Timeouts,
    ) -> Result<Self, TlsError> {
        let tls = tls::client_config(ca, base.scheme() == "https")?;
        let host = base.host().map_or(Host::Domain(String::new()), |host| host.to_owned());
        let connector = |tls, guard| Connector::new(tls, guard, proxies.clone(), timeouts.connect);
        let pools = |connector: Connector| Pools {
            reusing: pool(connector.clone(), max_requests, timeouts, MAX_IDLE),
            anew: pool(connector, max_requests, timeouts, 0),
        };
        let network = Network {
            own: pools(connector(tls.clone(), None)),
            named: pools(connector(tls, Some(Guard::new(host)))),
            proxies: proxies.clone(),
        };
        Ok(Self::with(base, Some(network), max_requests, timeouts))
    }

    /// A client that gets everything from `server` and cannot open a connection. `base` is only a name.
    pub fn local(
        base: &Url,
        server: Arc<dyn LocalServer>,
        max_requests: usize,
        timeouts: Timeouts,
    ) -> Self {
        Self::with(base, None, max_requests, timeouts).beside(server)
    }

    fn with(base: &Url, network: Option<Network>, most: usize, timeouts: Timeouts) -> Self {
        let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Shared { base: base.clone(), network, places, timeouts };
        Self { shared: Arc::new(shared), via: via::value(), local: None }
    }

    /// The same client, which gets content by its digest from `server` first, and everything else from it if the network
    /// does not answer.
    #[must_use]
    pub fn beside(self, server: Arc<dyn LocalServer>) -> Self {
        Self { local: Some(Local::new(server)), ..self }
    }

    pub(super) fn has_network(&self) -> bool {
        self.shared.network.is_some()
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.shared.timeouts
    }

    /// The same client without `Via`, for requests that do not come from a gate.
    #[must_use]
    pub fn without_via(self) -> Self {
        Self { via: None, ..self }
    }

    /// The configured server.
    pub fn base(&self) -> &Url {
        &self.shared.base
    }

    /// Whether `url` is on the configured server: same scheme, host and port.
    pub fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.shared.base.origin()
    }

    /// Sends a request and returns the head of the answer, whatever its status; the body follows. Retries a few times
    /// within a short time if the connection or the server fails.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, NetError> {
        ssrf::check_url(url)?;
        match &self.local {
            // Boxed: the future of a request is large, and is only rarely local.
            Some(local) if self.is_own(url) => {
                Box::pin(local.send(self, method, url, headers)).await
            }
            Some(_) | None => self.send_out(method, url, headers).await,
        }
    }

    /// Turns a local answer into a response, once there is a place for it.
    pub(super) async fn local_response(
        &self,
        url: &Url,
        answer: Response<LocalBody>,
    ) -> Result<Response<Body>, NetError> {
        let Timeouts { idle, total, .. } = self.shared.timeouts;
        let place = self.place(url, self.deadline()).await?;
        let host: Arc<str> = url.host_str().unwrap_or_default().into();
        Ok(answer.map(|local| Body::new(Content::Local(local), host, idle, total, place)))
    }

    /// Sends a request over the network.
    pub(super) async fn send_out(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, NetError> {
        let deadline = self.deadline();
        let place = self.place(url, deadline).await?;
        self.send_from((place, deadline), method, url, headers).await
    }

    /// The end of a request that begins now, with all its attempts and the wait for a place.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.timeouts.total
    }

    /// The same until a deadline, for a request that has its place among the concurrent requests.
    pub(super) async fn send_from(
        &self,
        (mut place, deadline): (OwnedSemaphorePermit, Instant),
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, NetError> {
        let mut retries = Retries::new();
        loop {
            let once = self.once(method, url, headers, place);
            let outcome = match tokio::time::timeout_at(deadline, once).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(self.timed_out(url, Stage::FirstByte)),
            };
            match retries.next_delay(&outcome) {
                Some(delay) if Instant::now() + delay < deadline => {
                    // Drops the failed body first: it may hold the last place.
                    drop(outcome);
                    tokio::time::sleep(delay).await;
                    place = self.place(url, deadline).await?;
                }
                Some(_) | None => return outcome,
            }
        }
    }

    /// Waits for a place among the concurrent requests. This is never reported as a server that does not answer.
    pub(super) async fn place(
        &self,
        url: &Url,
        by: Instant,
    ) -> Result<OwnedSemaphorePermit, NetError> {
        let until = by.min(Instant::now() + self.shared.timeouts.first_byte);
        let waiting = Arc::clone(&self.shared.places).acquire_owned();
        // The semaphore is never closed. A closed one would have no place either.
        match tokio::time::timeout_at(until, queued(waiting)).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(self.timed_out(url, Stage::Place)),
        }
    }

    async fn once(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        place: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, NetError> {
        let Shared { network, timeouts, .. } = &*self.shared;
        let offline = || NetError::Offline { host: url.host_str().unwrap_or_default().to_owned() };
        let Network { own, named, proxies } = network.as_ref().ok_or_else(offline)?;
        let Pools { reusing, anew } = if self.is_own(url) { own } else { named };
        let proxy = proxies.for_url(url);
        let host: Arc<str> = peer(url, proxy).into();
        // The proxy of an https:// target sees only the tunnel.
        let forwarding = proxy.filter(|_| url.scheme() == "http");
        let request = || -> Result<Request<Empty<Bytes>>, ForbiddenTarget> {
            let mut request = request(method, url, headers)?;
            request.headers_mut().extend(self.via.clone().map(|via| (VIA, via)));
            let authorization = forwarding.and_then(ProxyServer::authorization);
            request.headers_mut().extend(authorization.map(|it| (PROXY_AUTHORIZATION, it.clone())));
            Ok(request)
        };
        let mut first = request()?;
        let connection = capture_connection(&mut first);
        let mut first = Box::pin(head(reusing, first, &host));
        let answer = match timeout(DOUBT.min(timeouts.first_byte), first.as_mut()).await {
            Ok(answer) => Ok(answer),
            Err(_) if reuse::is_doubtful(&connection) => {
                tracing::debug!(%host, "no answer on a reused connection; opening a new one");
                // A slow server may still answer the first request first.
                let both = select_ok([first, Box::pin(head(anew, request()?, &host))]);
                timeout(timeouts.first_byte, both).await.map(|answer| answer.map(|(head, _)| head))
            }
            Err(_) => timeout(timeouts.first_byte.saturating_sub(DOUBT), first).await,
        };
        let response = match answer {
            Ok(answer) => answer?,
            Err(_) => return Err(self.timed_out(url, Stage::FirstByte)),
        };
        reuse::answered(&connection);
        if let Some(proxy) = forwarding
            && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        {
            let source = Arc::new(ProxyFailed::unauthorized(proxy));
            return Err(NetError::Connect { host: host.to_string(), source });
        }
        let Timeouts { idle, total, .. } = *timeouts;
        Ok(response
            .map(Content::Network)
            .map(|content| Body::new(content, host.clone(), idle, total, place)))
    }

    fn timed_out(&self, url: &Url, stage: Stage) -> NetError {
        let network = self.shared.network.as_ref();
        let proxy = network.and_then(|network| network.proxies.for_url(url));
        NetError::TimedOut { host: peer(url, proxy), stage }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.shared.base.as_str()).finish()
    }
}

/// The head of the answer to `request`.
async fn head(
    pool: &Pool<Connector, Empty<Bytes>>,
    mut request: Request<Empty<Bytes>>,
    host: &str,
) -> Result<Response<Incoming>, NetError> {
    let informational = Informational::of(&mut request);
    tokio::select! {
        too_many = informational.too_many() => {
            Err(NetError::Broken { host: host.to_owned(), source: Arc::new(too_many) })
        }
        answer = pool.request(request) => {
            answer.map_err(|error| NetError::of_request(host, error))
        }
    }
}

fn request(
    method: Method,
    url: &Url,
    headers: &HeaderMap,
) -> Result<Request<Empty<Bytes>>, ForbiddenTarget> {
    let refused = || ForbiddenTarget::Url(url.host_str().unwrap_or_default().to_owned());
    let uri = url.as_str().parse::<Uri>().map_err(|_| refused())?;
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.into();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers.clone();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(request)
}

fn pool(
    connector: Connector,
    max_requests: usize,
    timeouts: Timeouts,
    max_idle: usize,
) -> Pool<Connector, Empty<Bytes>> {
    let streams = u32::try_from(max_requests).unwrap_or(u32::MAX);
    let window = STREAM_WINDOW.saturating_mul(streams).clamp(STREAM_WINDOW, MAX_WINDOW);
    Pool::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEEP)
        .pool_max_idle_per_host(max_idle)
        .http1_max_buf_size(MAX_HEAD)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(window)
        // Finds a connection that a NAT dropped before the next request uses it.
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(timeouts.connect)
        .http2_keep_alive_while_idle(true)
        .build(connector)
}
