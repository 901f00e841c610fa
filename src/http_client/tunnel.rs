//! Connections to servers, through the proxy that is configured for them: `http://` targets by requests in absolute
//! form, `https://` targets through a tunnel (`CONNECT`). Every error is about the proxy; the caller names it.

use std::error::Error;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection as Connecting, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;
use tower_service::Service;

use super::client::{MAX_HEAD, USER_AGENT_VALUE};
use super::connect::{BoxError, BoxFuture, Resolver};
use super::proxy::{Proxies, ProxyServer, port};
use super::reuse::Answered;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Why there is no connection through a proxy. Has no source: its text says everything.
#[derive(Debug, Error)]
pub(super) enum ProxyFailed {
    #[error("the proxy cannot be reached: {0}")]
    Unreachable(String),
    #[error("the proxy requires a user name and a password (407)")]
    NoCredentials,
    #[error("the proxy rejects the user name or the password (407)")]
    WrongCredentials,
    #[error("the proxy answered {0}")]
    Refused(StatusCode),
    #[error("the proxy closed the connection or does not speak HTTP: {0}")]
    Broken(String),
}

impl ProxyFailed {
    /// The failure that status 407 means.
    pub(super) fn unauthorized(proxy: &ProxyServer) -> Self {
        if proxy.authorization().is_some() { Self::WrongCredentials } else { Self::NoCredentials }
    }

    /// Whether the same request may soon succeed.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => true,
            Self::Refused(status) => status.is_server_error(),
            Self::NoCredentials | Self::WrongCredentials => false,
        }
    }
}

/// Connects over TCP, or through a proxy.
#[derive(Clone)]
pub(super) struct Dialer {
    direct: HttpConnector<Resolver>,
    /// An operator chose the proxy: it may have any address.
    proxied: HttpsConnector<HttpConnector<Resolver>>,
    proxies: Proxies,
}

impl Dialer {
    /// Resolves the names of servers with `resolver`. Verifies the certificates of proxies with `tls`.
    pub(super) fn new(
        resolver: Resolver,
        proxies: Proxies,
        tls: ClientConfig,
        timeout: Duration,
    ) -> Self {
        let tcp = |resolver| {
            let mut http = HttpConnector::new_with_resolver(resolver);
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(timeout));
            http
        };
        let proxied = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(Resolver::default()));
        Self { direct: tcp(resolver), proxied, proxies }
    }
}

impl Service<Uri> for Dialer {
    type Response = Connection;
    type Error = BoxError;
    type Future = BoxFuture<Connection>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.for_uri(&target).cloned() else {
            let connecting = self.direct.call(target);
            return Box::pin(async move {
                let stream = MaybeHttpsStream::Http(connecting.await?);
                Ok(Connection::new(stream, false))
            });
        };
        let connecting = self.proxied.call(proxy.uri().clone());
        Box::pin(async move {
            let stream = connecting.await.map_err(|error| unreachable(&*error))?;
            if target.scheme_str() == Some("http") {
                return Ok(Connection::new(stream, true));
            }
            let stream = tunnel(stream, &target, &proxy).await?;
            Ok(Connection::new(stream, false))
        })
    }
}

fn unreachable(error: &(dyn Error + 'static)) -> ProxyFailed {
    ProxyFailed::Unreachable(super::error::last_cause(error))
}

/// Asks the proxy for a tunnel to `target`.
async fn tunnel(stream: Stream, target: &Uri, proxy: &ProxyServer) -> Result<Stream, ProxyFailed> {
    let broken = |error: hyper::Error| ProxyFailed::Broken(super::error::last_cause(&error));
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = http.handshake(stream).await.map_err(broken)?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
    let request = connect(target, proxy.authorization());
    let response = sender.send_request(request.map_err(ProxyFailed::Broken)?);
    let response = response.await.map_err(broken)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => return Err(ProxyFailed::unauthorized(proxy)),
        other => return Err(ProxyFailed::Refused(other)),
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
    match upgraded.downcast::<Stream>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io),
        Ok(_) | Err(_) => Err(ProxyFailed::Broken("it sent data before the server did".to_owned())),
    }
}

fn connect(
    target: &Uri,
    authorization: Option<&HeaderValue>,
) -> Result<Request<Empty<Bytes>>, String> {
    let authority = format!("{}:{}", target.host().unwrap_or_default(), port(target));
    let host = HeaderValue::try_from(&authority).map_err(|error| error.to_string())?;
    let mut request =
        Request::connect(authority).body(Empty::new()).map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
    headers.extend(authorization.map(|value| (PROXY_AUTHORIZATION, value.clone())));
    Ok(request)
}

/// A connection to a server, perhaps through a proxy.
pub(super) struct Connection {
    stream: Stream,
    /// Whether a proxy reads the requests, which therefore name their server.
    is_forwarded: bool,
    answered: Answered,
}

impl Connection {
    fn new(stream: Stream, is_forwarded: bool) -> Self {
        Self { stream, is_forwarded, answered: Answered::default() }
    }
}

impl Connecting for Connection {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_forwarded).extra(self.answered.clone())
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }
}
