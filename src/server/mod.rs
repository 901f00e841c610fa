//! The public listener.
//!
//! [`serve`] accepts connections within limits and drains them at the end. It knows connections and
//! time, and nothing of registries: what to answer is its caller's, and the admin listener is served
//! by it too. [`Proxy`] answers: `Route` → gate → `respond`. On the listener for clients that use the
//! gate as a mirror, what is denied is answered by `sticky`.

pub mod limits;
pub mod tls;
mod pulse;
mod paced;
mod connection;
pub mod route;
mod durations;
pub mod metrics;
mod audit;
pub mod facing;
pub mod sticky;
pub mod body;
mod conditions;
pub mod config;
pub mod generation;
mod respond;
mod instead;
pub mod handle;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use body::Body;
pub use config::{Config, DenialStatus, Mirror, TlsFiles};
use connection::Listener;
pub use facing::Facing;
pub use generation::{Generation, Generations};
pub use handle::Proxy;
pub use limits::{Limits, Versions};
pub use metrics::Metrics;
pub use route::{Names, Route};
pub use sticky::DenialManifest;
pub use tls::{Tls, TlsError};

/// Serves `listener` until `shutdown`, then lets what is started finish for
/// [`Limits::drain_timeout`] and cuts off the rest.
///
/// `service` is called with the client's address for each request, and must answer every one; the
/// request's body is read only if it reads it.
pub async fn serve<S, F, B>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: Limits,
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
    let shared = Arc::new(Listener::new(limits.clone(), tls.clone(), service));
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let watch = tls.map(|tls| tokio::spawn(watch(tls, limits.clone(), shutdown.clone())));

    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (accept(&listener, &limits).await, place)
        };
        let ((stream, peer), place) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        let (shared, shutdown, cut) = (Arc::clone(&shared), shutdown.clone(), cut.clone());
        connections.spawn(async move {
            let _place = place;
            tokio::select! {
                () = cut.cancelled() => {}
                () = shared.serve(stream, peer, &shutdown) => {}
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
                // Answers are written whole; waiting to fill a segment only delays them.
                if stream.set_nodelay(true).is_ok() {
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
