//! The public listener.
//!
//! [`Server`] accepts connections within limits and drains them at the end. It knows connections and
//! time, and nothing of registries: what to answer is its caller's, and the admin listener is served
//! by it too. [`Proxy`] answers: `Route` → gate → `respond`. On the listener for clients that use the
//! gate as a mirror, `mirror` answers denials.

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
    /// None from `shutdown` on.
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
    /// Serves `listener` until `shutdown`, then lets what is started finish for [`Limits::drain_timeout`] and cuts off
    /// the rest.
    ///
    /// `load` is what the listeners of the process share. `service` is called with the client's address for each
    /// request, and must answer every one, one with an [`Objection`] among its extensions by refusing it; the
    /// request's body is read only if it reads it.
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

    /// Starts the tasks of this listener among `tasks`: `accept`, `certificate` if it has TLS, and the drain at the end.
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
                debug!(client.address = %peer, closed = left, "there are too many connections");
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

    /// Looks at the certificate's files for changes until `shutdown`; does nothing without a certificate.
    pub async fn watch_certificate(self: Arc<Self>) {
        if let Some(tls) = &self.tls {
            watch(tls, &self.limits, &self.shutdown).await;
        }
    }

    /// Waits for `shutdown`, then for what is started, and cuts off what takes too long.
    pub async fn drain(self: Arc<Self>) {
        self.shutdown.cancelled().await;
        drop(self.listener().take());
        self.connections.close();
        let finished = self.connections.wait();
        if tokio::time::timeout(self.limits.drain_timeout, finished).await.is_err() {
            let connections = self.connections.len();
            warn!(connections, "answers take too long to finish and are cut off");
            self.cut.cancel();
            self.connections.wait().await;
        }
    }

    fn listener(&self) -> MutexGuard<'_, Option<Arc<TcpListener>>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
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
async fn watch(tls: &Arc<Tls>, limits: &Limits, shutdown: &CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(limits.tls_poll)).await.is_some() {
        let tls = Arc::clone(tls);
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(true)) => info!("the certificate changed, and the new one is used"),
            Ok(Ok(false)) => {}
            Ok(Err(why)) => warn!(%why, "the certificate changed, and the old one stays in use"),
            Err(why) => warn!(%why, "looking at the certificate failed"),
        }
    }
}
