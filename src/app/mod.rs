//! Builds a running gate from a configuration: the only place that constructs the parts and connects them.

pub mod import;
pub mod open_files;
mod parts;
mod reload;
mod running;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Certificates, Handshake};
use crate::admin::{Admin, Denials, Part, Readiness, Why};
use crate::audit::{self, Audit, AuditFile};
use crate::bundle::{Bundle, Bundles};
use crate::clock::Clock;
use crate::config::Config;
use crate::gate::Gate;
use crate::oci::ImageRef;
use crate::oci::name::InvalidName;
use crate::server::{
    self, Generations, Limits, ListenerKind, Load, Proxy, Scheme, Server, Tls, Versions,
};
use crate::store::StoreLock;
use crate::tasks::{Supervisor, Task};
use crate::telemetry;
use parts::Parts;
pub use reload::{Reloader, Reloads};
pub use running::{Running, Stopped};

/// The part of `drain_timeout` that is reserved for pending writes, and its maximum.
const CLOSE_PART: u32 = 10;
const CLOSE: Duration = Duration::from_secs(2);
/// The most connections to the admin listener, and the most requests at once on one of them. Of all requests
/// there, only explanations take long, and there are at most [`MAX_AT_ONCE`] of them: the other connections can
/// always be closed for a health check.
///
/// [`MAX_AT_ONCE`]: crate::admin::why::MAX_AT_ONCE
const MAX_ADMIN_CONNECTIONS: usize = 64;
const MAX_ADMIN_STREAMS: u32 = 4;
/// How long a connection to the admin listener may be idle.
const ADMIN_IDLE: Duration = Duration::from_secs(20);

/// Whether memory on disk is written (`serve`) or only read (`why`, `replay`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    Remember,
    OnlyRead,
}

/// The connected parts of a gate that does not listen yet.
pub struct App {
    generations: Generations,
    parts: Parts,
    metrics: Registry,
    clock: Clock,
}

impl App {
    /// Builds the parts that `config` names. Reads files and opens no connections.
    pub fn new(config: &Config, clock: Clock, keeping: Keeping) -> anyhow::Result<Self> {
        Self::with(config, clock, keeping, Bundles::default())
    }

    /// The same, with these bundles. With [`Bundles::only`], no registry is asked over the network.
    pub fn with(
        config: &Config,
        clock: Clock,
        keeping: Keeping,
        bundles: Bundles,
    ) -> anyhow::Result<Self> {
        let mut metrics = Registry::default();
        build_info(&mut metrics);
        telemetry::register(&mut metrics);
        let (parts, first) = Parts::open(config, &clock, keeping, bundles, &mut metrics)?;
        Ok(Self { generations: Generations::new(first), parts, metrics, clock })
    }

    /// The parts of a gate that gets everything from `bundle` and cannot open a connection.
    pub fn offline(
        config: &Config,
        clock: Clock,
        keeping: Keeping,
        bundle: Arc<Bundle>,
    ) -> anyhow::Result<Self> {
        Self::with(&config.offline(), clock, keeping, Bundles::only(bundle))
    }

    /// Completes the writes that are pending.
    pub async fn close(&self) {
        self.parts.pull_through.close().await;
        let tags = self.parts.tags.clone();
        if let Err(broken) = spawn_blocking(move || tags.close()).await {
            tracing::error!(%broken, "closing the tag history panicked");
        }
    }

    /// The current gate.
    pub fn gate(&self) -> Gate {
        self.generations.current().gate.clone()
    }

    /// The image that a client calls `name`.
    pub fn image(&self, name: &str) -> Result<ImageRef, InvalidName> {
        self.generations.current().names.called(name)
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Locks the store, binds the listeners and serves.
    pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Running> {
        let readiness = Arc::new(Readiness::default());
        let lock = StoreLock::take(&config.store.path)?;
        let mut app = Self::new(config, clock, Keeping::Remember)?;
        if let Some(store) = &app.parts.store {
            store.only_while(lock.place());
            readiness.watch(store.memory_health());
        }
        readiness.set(Part::Config, true);
        readiness.set(Part::Store, true);
        let certificates = config.clients.certificates();
        let tls = load(config.server.tls.as_ref(), certificates, Handshake::Strict)?;
        let of_mirror = config.mirror.as_ref().and_then(|mirror| mirror.tls.as_ref());
        let mirror_tls = load(of_mirror, certificates, Handshake::Lenient)?;
        let public = bind(config.server.listen, "server").await?;
        let mirror = match &config.mirror {
            Some(mirror) => Some(bind(mirror.listen, "mirror").await?),
            None => None,
        };
        let lost = audit::Metrics::registered(&mut app.metrics);
        let supervisor = Supervisor::registered(&mut app.metrics);
        let open = |config| AuditFile::open(config, lost, &supervisor);
        let file = config.audit.as_ref().map(open);
        let audit = Audit::new(app.clock.clone(), file.transpose()?);
        let admin = match config.admin {
            Some(listen) => Some(bind(listen, "admin").await?),
            None => None,
        };
        app.parts.keep(&app.generations.current()).await;
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let running = Running {
            public: public.local_addr()?,
            mirror: mirror.as_ref().map(TcpListener::local_addr).transpose()?,
            admin: admin.as_ref().map(TcpListener::local_addr).transpose()?,
            tls: tls.clone(),
            mirror_tls: mirror_tls.clone(),
            readiness: readiness.clone(),
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
            admin_shutdown: CancellationToken::new(),
            admin_tasks: TaskTracker::new(),
            generations: app.generations.clone(),
            parts: Arc::new(app.parts),
            reloads: Reloads::registered(&mut app.metrics, &app.clock),
            audit: audit.clone(),
            store_shutdown: CancellationToken::new(),
            store_tasks: TaskTracker::new(),
            supervisor: supervisor.clone(),
            drain_timeout: config.server.limits.drain_timeout,
            lock,
            config_file: config.file.clone(),
            store_folder: config.store.path.clone(),
            clock: app.clock.clone(),
        };
        let metrics = server::Metrics::registered(&mut app.metrics);
        let mut limits = open_files::within_limit(config);
        limits.drain_timeout -= CLOSE.min(limits.drain_timeout / CLOSE_PART);
        let load = Load::registered(&limits, &mut app.metrics);
        let proxy = Proxy::new(app.generations.clone(), load.clone(), metrics, audit.clone());
        let proxy = Arc::new(proxy);
        let service = |kind| {
            let proxy = proxy.clone();
            move |client, request| {
                let proxy = proxy.clone();
                async move { proxy.handle(kind, client, request).await }
            }
        };
        if let Some(mirror) = mirror {
            let limits = Limits { versions: Versions::OnlyHttp1, ..limits.clone() };
            let scheme = if mirror_tls.is_some() { Scheme::Https } else { Scheme::Http };
            let answer = service(ListenerKind::Mirror(scheme));
            let load = load.clone();
            let server = Server::new(mirror, mirror_tls, limits, load, shutdown.clone(), answer);
            let certificate = Some(Task::MirrorCertificate);
            server.start(&supervisor, &tasks, Task::MirrorListener, certificate);
        }
        let answer = service(ListenerKind::Clients);
        let server = Server::new(public, tls, limits, load, shutdown, answer);
        server.start(&supervisor, &tasks, Task::ClientListener, Some(Task::ClientCertificate));
        if let Some(listener) = admin {
            let denials = Denials::new(audit.clone());
            let why = Why::new(app.generations.clone(), audit);
            let admin = Arc::new(Admin::new(readiness.clone(), app.metrics, why, denials));
            let answer = move |_, request| {
                let admin = admin.clone();
                async move { admin.handle(request).await }
            };
            let limits = Limits {
                max_connections: MAX_ADMIN_CONNECTIONS,
                max_streams: MAX_ADMIN_STREAMS,
                idle_timeout: ADMIN_IDLE,
                reader_grace: Duration::ZERO,
                ..Limits::default()
            };
            // Separate limits, so that clients of the other listeners cannot exhaust them.
            let load = Load::new(&limits);
            let shutdown = running.admin_shutdown.clone();
            let server = Server::new(listener, None, limits, load, shutdown, answer);
            server.start(&supervisor, &running.admin_tasks, Task::AdminListener, None);
        }
        running.look_after();
        readiness.set(Part::Listener, true);
        Ok(running)
    }
}

fn load(
    files: Option<&server::TlsFiles>,
    clients: Option<&Certificates>,
    handshake: Handshake,
) -> anyhow::Result<Option<Arc<Tls>>> {
    let tls = files.map(|(cert, key)| Tls::load(cert, key, clients, handshake));
    Ok(tls.transpose()?.map(Arc::new))
}

fn url(tls: Option<&Tls>, address: SocketAddr) -> String {
    let scheme = if tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

async fn bind(address: SocketAddr, which: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        let taken = error.kind() == ErrorKind::AddrInUse;
        let end = if taken { "stop the process that uses it, or " } else { "" };
        anyhow!("[{which}] cannot listen on {address}: {error}; {end}set another `listen`")
    })
}

fn build_info(metrics: &mut Registry) {
    let info = Family::<Vec<(&'static str, &'static str)>, Gauge>::default();
    info.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))]).set(1);
    metrics.register("countersign_build_info", "The running version; always 1", info);
}
