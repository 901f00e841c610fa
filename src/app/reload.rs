//! Reading the configuration again while the gate runs: upon a signal, and when one of its files changed.
//! What is wrong changes nothing, and is told with all its errors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::access::Certificates;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::config::{Config, Reading};
use crate::server::{Generation, Generations, Tls};
use crate::toml_reader::{FileStamps, WatchedFiles};

use super::parts::Parts;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How readings of the configuration went. The clones tell the same.
#[derive(Clone, Debug)]
pub struct Reloads {
    generation: Gauge<u64, AtomicU64>,
    successful: Gauge,
    succeeded: Gauge,
    failed: Gauge,
    clock: Clock,
}

impl Reloads {
    /// Makes the gauges and registers them in `registry`; the configuration has been read once.
    pub fn registered(registry: &mut Registry, clock: &Clock) -> Self {
        let reloads = Self {
            generation: Gauge::default(),
            successful: Gauge::default(),
            succeeded: Gauge::default(),
            failed: Gauge::default(),
            clock: clock.clone(),
        };
        registry.register(
            "countersign_config_generation",
            "Which reading of the configuration is in use, counted from 1",
            reloads.generation.clone(),
        );
        registry.register(
            "countersign_config_last_reload_successful",
            "1 if the last reading of the configuration is in use, 0 if it was refused",
            reloads.successful.clone(),
        );
        registry.register(
            "countersign_config_last_reload_success_timestamp_seconds",
            "When the configuration that is in use was read",
            reloads.succeeded.clone(),
        );
        registry.register(
            "countersign_config_last_reload_failure_timestamp_seconds",
            "When a configuration was last refused; 0 if none was",
            reloads.failed.clone(),
        );
        reloads.used(1);
        reloads
    }

    fn used(&self, generation: u64) {
        self.generation.set(generation);
        self.successful.set(1);
        self.succeeded.set(self.clock.now().unix());
    }

    fn refused(&self) {
        self.successful.set(0);
        self.failed.set(self.clock.now().unix());
    }
}

/// Reads a configuration again.
pub struct Reloader {
    config: Config,
    /// What to look at: also what a configuration names that was refused.
    files: WatchedFiles,
    /// What was there just before the configuration was last read.
    seen: FileStamps,
    /// What was there when it was last looked at.
    looked: Option<FileStamps>,
    parts: Arc<Parts>,
    generations: Generations,
    listeners: Listeners,
    audit: Audit,
    reloads: Reloads,
}

/// What clients connect to, which stays where it is until the next start.
pub(super) struct Listeners {
    pub(super) at: Vec<SocketAddr>,
    /// Of each that has a certificate.
    pub(super) tls: Vec<Arc<Tls>>,
}

impl Reloader {
    pub(super) fn new(
        config: Config,
        parts: Arc<Parts>,
        generations: Generations,
        listeners: Listeners,
        audit: Audit,
        reloads: Reloads,
    ) -> Self {
        let files = config.files.clone();
        let (seen, looked) = (config.seen.clone(), None);
        Self { config, files, seen, looked, parts, generations, listeners, audit, reloads }
    }

    /// Waits until a file of the configuration has changed, and is not being changed any more. May be
    /// dropped and called again.
    pub async fn changed(&mut self) {
        loop {
            let looked = self.look().await;
            if self.seen != looked && self.looked.as_ref() == Some(&looked) {
                return;
            }
            self.looked = Some(looked);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads the configuration, and uses it from now on if nothing is wrong with it; whether it is used. The
    /// audit file is opened again in any case: whoever rotates it has moved it away.
    pub async fn reload(&mut self) -> bool {
        if let Some(file) = self.audit.file() {
            file.reopen();
        }
        let (file, files) = (self.config.file.clone(), self.files.clone());
        let config = match spawn_blocking(move || Reading::of(&file, files)).await {
            Ok(Reading { config, files, seen }) => {
                (self.files, self.seen) = (files, seen);
                config
            }
            Err(broken) => {
                error!(%broken, "reading the configuration broke off; the old one stays in use");
                self.reloads.refused();
                return false;
            }
        };
        match config {
            Ok(config) => self.take(config).await,
            Err(problems) => {
                for problem in &problems.0 {
                    error!(%problem, "the new configuration is refused");
                }
                self.refuse();
                false
            }
        }
    }

    async fn take(&mut self, config: Config) -> bool {
        // It was read with the addresses that it names, which are not those that are listened on.
        if let Some(problem) = self.listeners.at.iter().find_map(|at| config.clients.unsaid_at(*at))
        {
            error!(problem, "the new configuration is refused");
            self.refuse();
            return false;
        }
        let last = self.generations.current();
        let (parts, fresh) = (self.parts.clone(), config.clone());
        let made = spawn_blocking(move || parts.next(&fresh, &last)).await;
        let next = match made {
            Ok(Ok(next)) => next,
            Ok(Err(why)) => {
                error!(problem = format!("{why:#}"), "the new configuration is refused");
                self.refuse();
                return false;
            }
            Err(broken) => {
                error!(%broken, "the new configuration cannot be used");
                self.refuse();
                return false;
            }
        };
        self.reload_certificate(config.clients.certificates().cloned()).await;
        for key in config.differs_at_start(&self.config) {
            warn!(key, "the new value takes effect at the next start");
        }
        self.config = config;
        self.replace(next).await;
        true
    }

    async fn replace(&self, next: Generation) {
        let number = next.number;
        self.generations.replace(next);
        self.parts.keep(&self.generations.current()).await;
        self.reloads.used(number);
        info!(generation = number, "the configuration was read again, and is in use");
    }

    fn refuse(&self) {
        self.reloads.refused();
        let generation = self.generations.current().number;
        warn!(generation, "the configuration that was read before stays in use");
    }

    /// The certificate that is in use stays if the new one is no good.
    async fn reload_certificate(&self, clients: Option<Certificates>) {
        for tls in &self.listeners.tls {
            let (tls, clients) = (tls.clone(), clients.clone());
            match spawn_blocking(move || tls.ask(clients.as_ref())).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => error!(%why, "the new certificate is no good; the old one stays"),
                Err(broken) => {
                    error!(%broken, "reading the certificate broke off; the old one stays");
                }
            }
        }
    }

    async fn look(&self) -> FileStamps {
        let files = self.files.clone();
        spawn_blocking(move || files.look()).await.unwrap_or_default()
    }
}
