//! The public listener.
//!
//! [`serve`] accepts connections within limits and drains them at the end. It knows connections and
//! time, and nothing of registries: what to answer is its caller's, and the admin listener is served
//! by it too. [`Proxy`] answers: `Route` → gate → `respond`. On the listener for clients that use the
//! gate as a mirror, what is denied is answered by `sticky`.

pub mod limits;
pub mod tls;
pub mod load;
pub mod objection;
mod pulse;
mod exchange;
mod streams;
mod paced;
mod connections;
mod connection;
pub mod route;
mod durations;
pub mod metrics;
mod audit;
pub mod facing;
pub mod sticky;
pub mod body;
mod conditions;
mod drain;
pub mod config;
pub mod generation;
mod respond;
mod instead;
mod login;
pub mod handle;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use body::Body;
pub use config::{Config, DenialStatus, Mirror, TlsFiles};
use connection::Listener;
use connections::Connections;
pub use facing::{Facing, Scheme};
pub use generation::{Generation, Generations};
pub use handle::Proxy;
pub use limits::{Limits, Versions};
pub use load::Load;
use load::Reached;
pub use metrics::Metrics;
pub use objection::Objection;
use paced::Transport as _;
use pulse::Pulse;
pub use route::{Names, Route};
pub use sticky::DenialManifest;
pub use tls::{Tls, TlsError};

/// Serves `listener` until `shutdown`, then lets what is started finish for
/// [`Limits::drain_timeout`] and cuts off the rest.
///
/// `load` is what the listeners of the process share. `service` is called with the client's address for each
/// request, and must answer every one, one with an [`Objection`] among its extensions by refusing it; the
/// request's body is read only if it reads it.
pub async fn serve<S, F, B>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    load: Load,
    shutdown: CancellationToken,
    service: S,
) where
    S: Fn(SocketAddr, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    let shared = Arc::new(Listener::new(limits.clone(), load.clone(), tls.clone(), service));
    let seats = Arc::new(Connections::new(&limits));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let watch = tls.map(|tls| tokio::spawn(watch(tls, limits.clone(), shutdown.clone())));

    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = accept(&listener, &limits) => next,
        };
        let pulse = Arc::new(Pulse::new());
        let (seat, left) = seats.enter(peer.ip(), &pulse);
        if left > 0 || seat.is_none() {
            debug!(client.address = %peer, closed = left, "there are too many connections");
            load.count(Reached::Connections);
        }
        let Some(seat) = seat else { continue };
        let (shared, shutdown, cut) = (Arc::clone(&shared), shutdown.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                () = shared.serve(stream, peer, pulse, &seat, &shutdown) => {}
            }
        });
    }

    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain_timeout, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "answers take too long to finish and are cut off");
        cut.cancel();
        connections.wait().await;
    }
    if let Some(watch) = watch {
        watch.abort();
    }
}

/// The next connection, however many fail before it.
async fn accept(listener: &TcpListener, limits: &Limits) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if stream.bound(limits.write_timeout).is_ok() {
                    return (stream, peer);
                }
            }
            Err(why) if is_the_connections(&why) => {}
            Err(why) => {
                warn!(%why, "cannot accept connections for now");
                tokio::time::sleep(limits.accept_pause).await;
            }
        }
    }
}

/// Whether an error of accept(2) is about the one connection, and not about us.
fn is_the_connections(why: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(why.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Looks at the certificate's files for changes, again and again.
async fn watch(tls: Arc<Tls>, limits: Limits, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(limits.tls_poll)).await.is_some() {
        let tls = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(true)) => info!("the certificate changed, and the new one is used"),
            Ok(Ok(false)) => {}
            Ok(Err(why)) => warn!(%why, "the certificate changed, and the old one stays in use"),
            Err(why) => warn!(%why, "looking at the certificate failed"),
        }
    }
}
