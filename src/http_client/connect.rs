//! Makes connections: resolves names, checks addresses with the [`Guard`] if a server named the target, and performs
//! TLS, through the configured proxies; one deadline covers all of it.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use rustls::ClientConfig;
use tower_service::Service;

use super::error::ConnectTimedOut;
use super::proxy::Proxies;
use super::ssrf::Guard;
use super::tunnel::{Connection, Dialer};

pub(super) type BoxError = Box<dyn Error + Send + Sync>;
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Resolves names; with a guard, only to addresses that it permits.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolver {
    guard: Option<Guard>,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.guard.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            if let Some(guard) = guard {
                addresses = guard.permitted(name.as_str(), addresses).await?;
            }
            let sockets: Vec<_> =
                addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(sockets.into_iter())
        })
    }
}

/// Connects to the host of a URI over TCP or TLS.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Dialer>,
    proxies: Proxies,
    guard: Option<Guard>,
    timeout: Duration,
}

impl Connector {
    /// A connector with a `timeout`; with a `guard` if a server names the targets.
    pub(super) fn new(
        tls: ClientConfig,
        guard: Option<Guard>,
        proxies: Proxies,
        timeout: Duration,
    ) -> Self {
        let resolver = Resolver { guard: guard.clone() };
        let dialer = Dialer::new(resolver, proxies.clone(), tls.clone(), timeout);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(dialer);
        Self { https, proxies, guard, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Connection>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guard = self.guard.clone();
        let mut https = self.https.clone();
        let timeout = self.timeout;
        let is_proxied = self.proxies.for_uri(&uri).is_some();
        Box::pin(async move {
            let connecting = async {
                // An IP address needs no resolver and would bypass the guard in it. A proxy resolves the other names.
                let known = literal(&uri).or_else(|| is_proxied.then(|| localhost(&uri)).flatten());
                if let (Some(guard), Some(address)) = (guard, known) {
                    guard.permitted(uri.host().unwrap_or_default(), vec![address]).await?;
                }
                https.call(uri).await
            };
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectTimedOut.into()),
            }
        })
    }
}

/// The address of `localhost` and the names below it (RFC 6761).
fn localhost(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?.trim_end_matches('.').to_ascii_lowercase();
    (host == "localhost" || host.ends_with(".localhost")).then_some(Ipv4Addr::LOCALHOST.into())
}

fn literal(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let v4 = inner.parse::<Ipv4Addr>().map(IpAddr::V4);
    v4.or_else(|_| inner.parse::<Ipv6Addr>().map(IpAddr::V6)).ok()
}
