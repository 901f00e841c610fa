//! A gate that accepts connections: its long-lived tasks, and its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, Interval, MissedTickBehavior, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::dispatcher;

use super::import::serve_requests;
use super::parts::Parts;
use super::reload::{Listeners, Reloader, Reloads};
use super::url;
use crate::admin::{Part, Readiness};
use crate::audit::Audit;
use crate::clock::Clock;
use crate::config::Config;
use crate::server::{Generations, Tls};
use crate::store::{InPlace, StoreLock};
use crate::tasks::{Supervisor, Task};

/// How often trust data, exemptions and the store's folder are checked.
const TEND: Duration = Duration::from_millis(200);
/// How long a stop may take if `drain_timeout` is less, in case the disk is slow.
const LEAST_STOP: Duration = Duration::from_secs(5);

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All data is on disk.
    Whole,
    /// The disk did not respond in time: audit records or the last changes of the tag history may be missing.
    Unfinished,
}

/// A gate that accepts connections.
pub struct Running {
    pub(super) public: SocketAddr,
    pub(super) mirror: Option<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) mirror_tls: Option<Arc<Tls>>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) shutdown: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Ends the admin listener, which reports the drain until it is complete.
    pub(super) admin_shutdown: CancellationToken,
    pub(super) admin_tasks: TaskTracker,
    pub(super) generations: Generations,
    pub(super) parts: Arc<Parts>,
    pub(super) reloads: Reloads,
    pub(super) audit: Audit,
    /// Ends the maintenance of the store, after the last write.
    pub(super) store_shutdown: CancellationToken,
    pub(super) store_tasks: TaskTracker,
    pub(super) supervisor: Supervisor,
    pub(super) drain_timeout: Duration,
    pub(super) lock: StoreLock,
    /// The file that imports read the configuration from.
    pub(super) config_file: PathBuf,
    pub(super) store_folder: PathBuf,
    pub(super) clock: Clock,
}

impl Running {
    /// Starts the long-lived tasks other than the listeners.
    pub(super) fn look_after(&self) {
        let Self { supervisor, tasks, shutdown, .. } = self;
        let (generations, ends) = (self.generations.clone(), shutdown.clone());
        let refresh = move || refresh(generations.clone(), ends.clone());
        supervisor.restarting(Task::TrustRefresh, tasks, shutdown, refresh);
        let (generations, ends) = (self.generations.clone(), shutdown.clone());
        let exempt = move || look_at_exemptions(generations.clone(), ends.clone());
        supervisor.restarting(Task::Exemptions, tasks, shutdown, exempt);
        let (place, readiness) = (self.lock.place(), self.readiness.clone());
        let ends = shutdown.clone();
        let look = move || look_at_folder(place.clone(), readiness.clone(), ends.clone());
        supervisor.restarting(Task::StoreFolder, tasks, shutdown, look);
        let (parts, clock, ends) = (self.parts.clone(), self.clock.clone(), shutdown.clone());
        let files = (self.config_file.clone(), self.store_folder.clone());
        let import =
            move || serve_requests(parts.clone(), files.clone(), clock.clone(), ends.clone());
        supervisor.restarting(Task::Imports, tasks, shutdown, import);
        let tags = self.parts.tags.clone();
        let ended = async move { tags.ended().await };
        supervisor.essential(Task::TagHistory, tasks, shutdown, ended);
        if let Some(store) = self.parts.store.clone() {
            let ends = self.store_shutdown.clone();
            let (tasks, shutdown) = (&self.store_tasks, &self.store_shutdown);
            let tend = move || store.clone().tend(ends.clone());
            supervisor.restarting(Task::StoreUpkeep, tasks, shutdown, tend);
        }
    }

    /// Runs `reload`, which must not end, until the gate stops.
    pub fn reload_by(&self, reload: impl Future<Output = ()> + Send + 'static) {
        let Self { supervisor, tasks, shutdown, .. } = self;
        supervisor.essential(Task::Reload, tasks, shutdown, reload);
    }

    /// The supervisor of the long-lived tasks.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// The address of the public listener.
    #[cfg(feature = "test-support")]
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// The address of the mirror listener, if there is one.
    #[cfg(feature = "test-support")]
    pub fn mirror(&self) -> Option<SocketAddr> {
        self.mirror
    }

    /// The address of the admin listener, if there is one.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The public listener as a URL.
    pub fn url(&self) -> String {
        url(self.tls.as_deref(), self.public)
    }

    /// The mirror listener as a URL, if there is one.
    pub fn mirror_url(&self) -> Option<String> {
        self.mirror.map(|mirror| url(self.mirror_tls.as_deref(), mirror))
    }

    /// The reloader of the file that `config` was read from.
    pub fn reloader(&self, config: Config) -> Reloader {
        let Self { generations, parts, reloads, audit, .. } = self;
        let listeners = Listeners {
            at: [Some(self.public), self.mirror].into_iter().flatten().collect(),
            tls: self.tls.iter().chain(&self.mirror_tls).cloned().collect(),
        };
        let generations = generations.clone();
        Reloader::new(config, parts.clone(), generations, listeners, audit.clone(), reloads.clone())
    }

    /// Refuses new connections, finishes requests in progress, and ends within `drain_timeout`, or within
    /// `LEAST_STOP` if that is longer, even if a disk hangs.
    pub async fn stop(self) -> Stopped {
        let deadline = Instant::now() + self.drain_timeout.max(LEAST_STOP);
        self.readiness.set(Part::Listener, false);
        self.shutdown.cancel();
        self.tasks.close();
        let whole = timeout_at(deadline, async {
            self.tasks.wait().await;
            self.close().await;
        });
        let stopped = if whole.await.is_ok() { Stopped::Whole } else { Stopped::Unfinished };
        self.admin_shutdown.cancel();
        self.admin_tasks.close();
        // Its last responses are not needed.
        let _ = timeout_at(deadline, self.admin_tasks.wait()).await;
        stopped
    }

    /// Completes the writes that are pending.
    async fn close(&self) {
        let audit = async {
            if let Some(file) = self.audit.file() {
                file.close().await;
            }
        };
        let tags = self.parts.tags.clone();
        let tags = async move {
            if let Err(broken) = spawn_blocking(move || tags.close()).await {
                tracing::error!(%broken, "closing the tag history panicked");
            }
        };
        tokio::join!(audit, tags, self.parts.pull_through.close());
        self.store_shutdown.cancel();
        self.store_tasks.close();
        self.store_tasks.wait().await;
    }
}

/// Refreshes trust data before it expires until `shutdown`.
async fn refresh(generations: Generations, shutdown: CancellationToken) {
    let mut ticks = ticks();
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        drop(generations.current().gate.trust().tend());
    }
}

/// Rereads the exemptions until `shutdown`, off the async workers: their disk may hang.
async fn look_at_exemptions(generations: Generations, shutdown: CancellationToken) {
    let mut ticks = ticks();
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let generation = generations.current();
        // The blocking thread logs to the subscriber of this task.
        let subscriber = dispatcher::get_default(Clone::clone);
        let look = move || generation.gate.exemptions().tend();
        let looked = spawn_blocking(move || dispatcher::with_default(&subscriber, look));
        if let Some(Err(error)) = shutdown.run_until_cancelled(looked).await {
            tracing::error!(%error, "reading the exemptions panicked");
        }
    }
}

/// Sets the gate to not ready while the store's folder is not the one that it locked, until `shutdown`.
async fn look_at_folder(place: InPlace, readiness: Arc<Readiness>, shutdown: CancellationToken) {
    let (mut ticks, mut was_there) = (ticks(), true);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let place = place.clone();
        let checked = spawn_blocking(move || place.check());
        let Some(checked) = shutdown.run_until_cancelled(checked).await else { return };
        let checked = checked.unwrap_or_else(|error| Err(error.into()));
        match &checked {
            Ok(()) if !was_there => tracing::info!("the store's folder is back and in use again"),
            Err(error) if was_there => tracing::error!(
                %error,
                "the store's folder was replaced or cannot be read: nothing is written to it"
            ),
            Ok(()) | Err(_) => {}
        }
        was_there = checked.is_ok();
        readiness.set(Part::Store, was_there);
    }
}

fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(TEND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
