//! Reloads the configuration on a signal and when one of its files changes. An invalid configuration changes nothing,
//! and all its errors are logged.

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

/// How often the files are checked. Two checks must agree, so a change takes effect within twice this time and the time
/// of reading it: at most 2 s.
const LOOK: Duration = Duration::from_millis(700);

/// The metrics of reloads. Clones share their values.
#[derive(Clone, Debug)]
pub struct Reloads {
    generation: Gauge<u64, AtomicU64>,
    successful: Gauge,
    succeeded: Gauge,
    failed: Gauge,
    clock: Clock,
}

impl Reloads {
    /// Creates the gauges and registers them in `registry`, after the first load.
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
            "Number of the configuration in use, counted from 1",
            reloads.generation.clone(),
        );
        registry.register(
            "countersign_config_last_reload_successful",
            "1 if the last reload succeeded, 0 if the configuration was invalid",
            reloads.successful.clone(),
        );
        registry.register(
            "countersign_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was loaded",
            reloads.succeeded.clone(),
        );
        registry.register(
            "countersign_config_last_reload_failure_timestamp_seconds",
            "When a reload last failed; 0 if none did",
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

/// Reloads a configuration.
pub struct Reloader {
    config: Config,
    /// The files to watch, also those that an invalid configuration names.
    files: WatchedFiles,
    /// The state of the files just before the configuration was last read.
    seen: FileStamps,
    /// The state of the files at the last check.
    looked: Option<FileStamps>,
    parts: Arc<Parts>,
    generations: Generations,
    listeners: Listeners,
    audit: Audit,
    reloads: Reloads,
}

/// The listeners, whose addresses do not change until the next start.
pub(super) struct Listeners {
    pub(super) at: Vec<SocketAddr>,
    /// Of each listener that has a certificate.
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

    /// Waits until a file of the configuration has changed and is stable. Cancel safe.
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

    /// Reads the configuration and uses it if it is valid; returns whether it is in use. Always reopens the audit file,
    /// because log rotation may have moved it.
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
                error!(%broken, "reading the configuration panicked; keeping the previous one");
                self.reloads.refused();
                return false;
            }
        };
        match config {
            Ok(config) => self.take(config).await,
            Err(problems) => {
                for problem in &problems.0 {
                    error!(%problem, "the new configuration is invalid");
                }
                self.refuse();
                false
            }
        }
    }

    async fn take(&mut self, config: Config) -> bool {
        // The check at load time used the addresses in the file, which may differ from those of the open listeners.
        if let Some(problem) = self.listeners.at.iter().find_map(|at| config.clients.unsaid_at(*at))
        {
            error!(problem, "the new configuration is invalid");
            self.refuse();
            return false;
        }
        let last = self.generations.current();
        let (parts, fresh) = (self.parts.clone(), config.clone());
        let made = spawn_blocking(move || parts.next(&fresh, &last)).await;
        let next = match made {
            Ok(Ok(next)) => next,
            Ok(Err(why)) => {
                error!(problem = format!("{why:#}"), "the new configuration is invalid");
                self.refuse();
                return false;
            }
            Err(broken) => {
                error!(%broken, "applying the new configuration panicked");
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
        info!(generation = number, "configuration reloaded");
    }

    fn refuse(&self) {
        self.reloads.refused();
        let generation = self.generations.current().number;
        warn!(generation, "configuration reload failed; keeping the previous one");
    }

    /// Reloads the certificates; keeps the previous one if the new one is invalid.
    async fn reload_certificate(&self, clients: Option<Certificates>) {
        for tls in &self.listeners.tls {
            let (tls, clients) = (tls.clone(), clients.clone());
            match spawn_blocking(move || tls.ask(clients.as_ref())).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => error!(%why, "certificate reload failed; keeping the previous one"),
                Err(broken) => {
                    error!(%broken, "certificate reload panicked; keeping the previous one");
                }
            }
        }
    }

    async fn look(&self) -> FileStamps {
        let files = self.files.clone();
        spawn_blocking(move || files.look()).await.unwrap_or_default()
    }
}
