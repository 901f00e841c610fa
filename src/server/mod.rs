//! The public listener.
//!
//! [`Server`] accepts connections within limits and drains them at shutdown. It knows connections and time, not
//! registries: its caller provides the service, and it serves the admin listener, too. [`Proxy`] is the public
//! service: `Route` → gate → `respond`. On the mirror listener, `mirror` builds the responses to denied requests.

pub mod limits;
pub mod tls;
pub mod load;
pub mod objection;
mod idle_timeout;
mod exchange;
mod streams;
mod write_timeout;
mod connections;
mod connection;
pub mod route;
mod durations;
pub mod metrics;
mod audit;
pub mod listener_kind;
pub mod mirror;
pub mod body;
mod conditions;
mod warnings;
mod drain;
pub mod config;
pub mod generation;
mod respond;
mod denied;
mod login;
pub mod handle;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub use generation::{Generation, Generations};
pub use handle::Proxy;
use idle_timeout::Activity;
pub use limits::{Limits, Versions};
pub use listener_kind::{ListenerKind, Scheme};
pub use load::Load;
use load::Reached;
pub use metrics::Metrics;
pub use mirror::DenialManifest;
pub use objection::Objection;
pub use route::{Names, Route};
pub use tls::{Tls, TlsError};
use write_timeout::Transport as _;

use crate::tasks::{Supervisor, Task};

/// One listener and its connections. Each of its tasks can be restarted on its own.
pub struct Server<S> {
    /// `None` after `shutdown`.
    listener: Mutex<Option<Arc<TcpListener>>>,
    shared: Arc<Listener<S>>,
    seats: Arc<Connections>,
    connections: TaskTracker,
    cut: CancellationToken,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    load: Load,
    shutdown: CancellationToken,
}

impl<S, F, B> Server<S>
where
    S: Fn(SocketAddr, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    /// Serves `listener` until `shutdown`, then lets responses in progress finish for [`Limits::drain_timeout`] and
    /// aborts the rest.
    ///
    /// `load` is shared by the listeners of the process. `service` is called with the client's address for each request
    /// and must answer every one; a request with an [`Objection`] among its extensions must be refused. The request's
    /// body is read only if the service reads it.
    pub fn new(
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        limits: Limits,
        load: Load,
        shutdown: CancellationToken,
        service: S,
    ) -> Arc<Self> {
        Arc::new(Self {
            listener: Mutex::new(Some(Arc::new(listener))),
            shared: Arc::new(Listener::new(limits.clone(), load.clone(), tls.clone(), service)),
            seats: Arc::new(Connections::new(&limits)),
            connections: TaskTracker::new(),
            cut: CancellationToken::new(),
            tls,
            limits,
            load,
            shutdown,
        })
    }

    /// Starts the listener's tasks in `tasks`: `accept`, `certificate` if it has TLS, and the drain at shutdown.
    pub fn start(
        self: Arc<Self>,
        supervisor: &Supervisor,
        tasks: &TaskTracker,
        accept: Task,
        certificate: Option<Task>,
    ) {
        let server = Arc::clone(&self);
        supervisor.restarting(accept, tasks, &self.shutdown, move || Arc::clone(&server).accept());
        if let (Some(task), true) = (certificate, self.tls.is_some()) {
            let server = Arc::clone(&self);
            let watch = move || Arc::clone(&server).watch_certificate();
            supervisor.restarting(task, tasks, &self.shutdown, watch);
        }
        tasks.spawn(self.drain());
    }

    /// Accepts connections until `shutdown`.
    pub async fn accept(self: Arc<Self>) {
        let Some(listener) = self.listener().clone() else { return };
        loop {
            let (stream, peer) = tokio::select! {
                () = self.shutdown.cancelled() => return,
                next = accept(&listener, &self.limits) => next,
            };
            let activity = Arc::new(Activity::new());
            let (seat, left) = self.seats.enter(peer.ip(), &activity);
            if left > 0 || seat.is_none() {
                debug!(client.address = %peer, closed = left, "too many connections");
                self.load.count(Reached::Connections);
            }
            let Some(seat) = seat else { continue };
            let (shared, shutdown) = (Arc::clone(&self.shared), self.shutdown.clone());
            let cut = self.cut.clone();
            self.connections.spawn(async move {
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = shared.serve(stream, peer, activity, &seat, &shutdown) => {}
                }
            });
        }
    }

    /// Reloads the certificate when its files change, until `shutdown`; does nothing without TLS.
    pub async fn watch_certificate(self: Arc<Self>) {
        if let Some(tls) = &self.tls {
            watch(tls, &self.limits, &self.shutdown).await;
        }
    }

    /// Waits for `shutdown`, then for the responses in progress, and aborts those that take too long.
    pub async fn drain(self: Arc<Self>) {
        self.shutdown.cancelled().await;
        drop(self.listener().take());
        self.connections.close();
        let finished = self.connections.wait();
        if tokio::time::timeout(self.limits.drain_timeout, finished).await.is_err() {
            let connections = self.connections.len();
            warn!(connections, "aborting responses that did not finish in time");
            self.cut.cancel();
            self.connections.wait().await;
        }
    }

    fn listener(&self) -> MutexGuard<'_, Option<Arc<TcpListener>>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next connection; retries after errors.
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
                warn!(%why, "cannot accept connections; retrying");
                tokio::time::sleep(limits.accept_pause).await;
            }
        }
    }
}

/// Whether an error of accept(2) concerns only the one connection.
fn is_the_connections(why: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(why.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Reloads the certificate whenever its files change.
async fn watch(tls: &Arc<Tls>, limits: &Limits, shutdown: &CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(limits.tls_poll)).await.is_some() {
        let tls = Arc::clone(tls);
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(true)) => info!("certificate reloaded"),
            Ok(Ok(false)) => {}
            Ok(Err(why)) => warn!(%why, "certificate reload failed; keeping the previous one"),
            Err(why) => warn!(%why, "cannot check the certificate for changes"),
        }
    }
}
