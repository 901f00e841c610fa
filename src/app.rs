//! From a configuration to a running gate: the only place that constructs the parts and joins them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Part, Readiness};
use crate::clock::Clock;
use crate::config::Config;
use crate::exemptions::{self, ExemptionFile, Exemptions, Telling};
use crate::gate::Gate;
use crate::pull_through::{self, PullThrough};
use crate::server::{self, Generation, Generations, Limits, Names, Proxy, Tls};
use crate::store::{self, Store, StoreLock};
use crate::trust::content::{self, Verdicts};
use crate::trust::cosign;
use crate::trust::notaryv1::{self, TrustCache};
use crate::trust::notation;
use crate::trust::places::Places;
use crate::trust::tags::TagMemory;
use crate::trust::{self, Trust};
use crate::upstream::{self, Upstream};

/// How often it is looked at which trust data soon runs out.
const TEND: Duration = Duration::from_millis(200);
/// The most connections to the admin listener.
const MAX_ADMIN_CONNECTIONS: usize = 64;

/// What is remembered on disk: a gate that serves keeps it, one that explains only reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    Remember,
    OnlyRead,
}

/// The parts of a gate, joined and not yet listening.
pub struct App {
    generations: Generations,
    pull_through: PullThrough,
    /// None where nothing is kept.
    store: Option<Store>,
    metrics: Registry,
    clock: Clock,
}

/// A gate that accepts connections.
pub struct Running {
    public: SocketAddr,
    admin: Option<SocketAddr>,
    secure: bool,
    tls: Option<Arc<Tls>>,
    readiness: Arc<Readiness>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    /// Ends the admin listener, which tells of the drain until there is nothing more to drain.
    admin_shutdown: CancellationToken,
    admin_tasks: TaskTracker,
    pull_through: PullThrough,
    /// Ends the tending of the store, once nothing more is to be kept.
    store_shutdown: CancellationToken,
    store_tasks: TaskTracker,
    _lock: StoreLock,
}

impl App {
    /// Joins the parts that `config` names. Reads files, and connects to nothing yet.
    pub fn new(config: &Config, clock: Clock, keeping: Keeping) -> anyhow::Result<Self> {
        let mut metrics = Registry::default();
        build_info(&mut metrics);
        let requests = upstream::Metrics::registered(&mut metrics);
        let refreshes = trust::Metrics::registered(&mut metrics);
        let cache = TrustCache::new(clock.clone(), refreshes.clone());

        let mut anchors = Vec::new();
        for anchor in &config.anchors {
            anchors.push(open(anchor, config, keeping, &requests)?);
        }
        let mut upstreams = Vec::new();
        for upstream in &config.upstreams {
            let opened = Upstream::new(upstream, &requests);
            upstreams.push(opened.with_context(|| format!("the upstream {}", upstream.registry))?);
        }
        let registries: Vec<_> =
            config.upstreams.iter().map(|upstream| upstream.registry.clone()).collect();
        let default = config.upstreams.iter().find(|upstream| upstream.default);
        let names = Names {
            registries: registries.clone(),
            default: default.map(|upstream| upstream.registry.clone()),
        };
        let mut pull_through = PullThrough::new(upstreams, PullThrough::CACHE);
        let store = match keeping {
            Keeping::Remember => {
                let kept = store::Metrics::registered(&mut metrics);
                Some(Store::open(&config.store, clock.clone(), &kept)?)
            }
            Keeping::OnlyRead => None,
        };
        if let Some(store) = &store {
            let downloads = pull_through::Metrics::registered(&mut metrics);
            pull_through = pull_through.keeping(store.clone(), downloads);
        }
        let places = Places::new(pull_through.clone(), clock.clone());
        let verdicts = Verdicts::new(places, clock.clone(), refreshes);
        trust::Expiries::register(&mut metrics, &cache, &verdicts, &clock);
        let trust = Trust::new(anchors, cache, verdicts);
        let tags = match keeping {
            Keeping::Remember => TagMemory::open(&config.store.path)?,
            Keeping::OnlyRead => TagMemory::look(&config.store.path),
        };
        let telling = match keeping {
            Keeping::Remember => Telling::Log,
            Keeping::OnlyRead => Telling::Nothing,
        };
        let exemptions = Exemptions::new(
            ExemptionFile::below(&config.store.path),
            clock.clone(),
            exemptions::Metrics::registered(&mut metrics),
            telling,
        );
        let gate = Gate::new(
            config.policy.clone(),
            trust,
            pull_through.clone(),
            tags,
            exemptions,
            registries,
            clock.clone(),
        );
        let generations = Generations::new(Generation { number: 1, gate, names });
        Ok(Self { generations, pull_through, store, metrics, clock })
    }

    /// The gate as it is now.
    pub fn gate(&self) -> Gate {
        self.generations.current().gate.clone()
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Takes the store, binds the listeners and serves.
    pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Running> {
        let readiness = Arc::new(Readiness::default());
        let lock = StoreLock::take(&config.store.path)?;
        let mut app = Self::new(config, clock, Keeping::Remember)?;
        readiness.set(Part::Config, true);
        readiness.set(Part::Store, true);
        let tls = match &config.server.tls {
            Some((cert, key)) => Some(Arc::new(Tls::load(cert, key)?)),
            None => None,
        };
        let public = bind(config.server.listen, "server").await?;
        let admin = match config.admin {
            Some(listen) => Some(bind(listen, "admin").await?),
            None => None,
        };
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let running = Running {
            public: public.local_addr()?,
            admin: admin.as_ref().map(TcpListener::local_addr).transpose()?,
            secure: tls.is_some(),
            tls: tls.clone(),
            readiness: readiness.clone(),
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
            admin_shutdown: CancellationToken::new(),
            admin_tasks: TaskTracker::new(),
            pull_through: app.pull_through,
            store_shutdown: CancellationToken::new(),
            store_tasks: TaskTracker::new(),
            _lock: lock,
        };
        let metrics = server::Metrics::registered(&mut app.metrics);
        let proxy = Arc::new(Proxy::new(app.generations.clone(), metrics));
        let answer = move |client, request| {
            let proxy = proxy.clone();
            async move { proxy.handle(client, request).await }
        };
        let limits = config.server.limits.clone();
        tasks.spawn(server::serve(public, tls, limits, shutdown.clone(), answer));
        if let Some(listener) = admin {
            let admin = Arc::new(Admin::new(readiness.clone(), app.metrics));
            let answer = move |_, request| {
                let admin = admin.clone();
                async move { admin.handle(&request) }
            };
            let limits = Limits { max_connections: MAX_ADMIN_CONNECTIONS, ..Limits::default() };
            let shutdown = running.admin_shutdown.clone();
            running.admin_tasks.spawn(server::serve(listener, None, limits, shutdown, answer));
        }
        tasks.spawn(tend(app.generations, shutdown));
        if let Some(store) = app.store {
            running.store_tasks.spawn(store.tend(running.store_shutdown.clone()));
        }
        readiness.set(Part::Listener, true);
        Ok(running)
    }
}

impl Running {
    /// Where clients connect to.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the admin listener is, if there is one.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The public listener as a URL.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.public)
    }

    /// Reads the certificate again, if there is one.
    pub fn reload(&self) {
        let Some(tls) = &self.tls else {
            tracing::info!(
                "there is no certificate to read again; the configuration is read at start"
            );
            return;
        };
        match tls.reload() {
            Ok(true) => tracing::info!("the certificate was read again"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the new certificate is no good; the old one stays")
            }
        }
    }

    /// Refuses new connections, lets what is started finish, and ends.
    pub async fn stop(self) {
        self.readiness.set(Part::Listener, false);
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.pull_through.close().await;
        self.store_shutdown.cancel();
        self.store_tasks.close();
        self.store_tasks.wait().await;
        self.admin_shutdown.cancel();
        self.admin_tasks.close();
        self.admin_tasks.wait().await;
    }
}

fn open(
    anchor: &trust::Config,
    config: &Config,
    keeping: Keeping,
    requests: &upstream::Metrics,
) -> anyhow::Result<trust::Anchor> {
    let store = &config.store.path;
    // What certificates name may be private only where the registry is.
    let near = config.upstreams.first().map(|upstream| &upstream.url);
    Ok(match anchor.clone() {
        trust::Config::NotaryV1(config) => {
            let name = config.name.clone();
            let opened = match keeping {
                Keeping::Remember => notaryv1::Anchor::open(config, store, requests),
                Keeping::OnlyRead => notaryv1::Anchor::look(config, store, requests),
            };
            let opened = opened.with_context(|| format!("the anchor {name}"))?;
            trust::Anchor::NotaryV1(Arc::new(opened))
        }
        trust::Config::Cosign(config) => {
            let anchor = cosign::Anchor::new(config);
            trust::Anchor::Content(content::Anchor::Cosign(Arc::new(anchor)))
        }
        trust::Config::Notation(config) => {
            let near = near.context("there is no upstream")?;
            let responder = notation::Responder::new(near)
                .with_context(|| format!("the anchor {}", config.name))?;
            let anchor = Arc::new(notation::Anchor::new(config));
            trust::Anchor::Content(content::Anchor::Notation(anchor, responder))
        }
    })
}

async fn bind(address: SocketAddr, which: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("[{which}] cannot listen on {address}"))
}

/// Refreshes trust data ahead of its end, and looks at what is exempted, until `shutdown`.
async fn tend(generations: Generations, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(TEND);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {
                let gate = &generations.current().gate;
                drop(gate.trust().tend());
                gate.exemptions().tend();
            }
        }
    }
}

fn build_info(metrics: &mut Registry) {
    let info = Family::<Vec<(&'static str, &'static str)>, Gauge>::default();
    info.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))]).set(1);
    metrics.register("countersign_build_info", "The version that runs; always 1", info);
}
