//! The long-lived tasks of a process that serves. No task ends unnoticed: a task that can be restarted safely is
//! restarted and counted; if any other ends, the process ends. Knows nothing of what the tasks do.
//!
//! The thread that writes the log is not one of them: it restarts itself (`telemetry`).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry;

/// How long after a task ended it is restarted.
const PAUSE: Duration = Duration::from_millis(500);

/// Every task that runs as long as the process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Accepts connections of clients.
    ClientListener,
    /// Accepts connections of clients that use the gate as a mirror.
    MirrorListener,
    /// Accepts connections to the admin listener.
    AdminListener,
    /// Reloads the certificate of the public listener when it changes.
    ClientCertificate,
    /// The same for the mirror listener.
    MirrorCertificate,
    /// Refreshes trust data before it expires.
    TrustRefresh,
    /// Checks for new and ended exemptions.
    Exemptions,
    /// Writes pending changes of the store, scrubs and sweeps it.
    StoreUpkeep,
    /// Checks that this process still owns the store's folder.
    StoreFolder,
    /// Imports bundles for other processes.
    Imports,
    /// Writes the audit file. A thread.
    AuditFile,
    /// Writes the history of tags. A thread; if it dies, the process ends, because only a start reads the whole history
    /// again.
    TagHistory,
    /// Reloads a changed configuration. If it dies, the process ends, because a reload may be half done.
    Reload,
}

impl Task {
    /// All tasks, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::ClientListener,
        Self::MirrorListener,
        Self::AdminListener,
        Self::ClientCertificate,
        Self::MirrorCertificate,
        Self::TrustRefresh,
        Self::Exemptions,
        Self::StoreUpkeep,
        Self::StoreFolder,
        Self::Imports,
        Self::AuditFile,
        Self::TagHistory,
        Self::Reload,
    ];

    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientListener => "client_listener",
            Self::MirrorListener => "mirror_listener",
            Self::AdminListener => "admin_listener",
            Self::ClientCertificate => "client_certificate",
            Self::MirrorCertificate => "mirror_certificate",
            Self::TrustRefresh => "trust_refresh",
            Self::Exemptions => "exemptions",
            Self::StoreUpkeep => "store_upkeep",
            Self::StoreFolder => "store_folder",
            Self::Imports => "imports",
            Self::AuditFile => "audit_file",
            Self::TagHistory => "tag_memory",
            Self::Reload => "reload",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    task: &'static str,
}

/// Supervises the tasks of one process. Clones share one state.
#[derive(Clone, Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    restarts: Family<Labels, Counter>,
    failed: watch::Sender<Option<Task>>,
    faults: [Fault; Task::ALL.len()],
}

/// A fault that a test injects into a task.
#[derive(Debug, Default)]
struct Fault {
    due: AtomicBool,
    hangs: AtomicBool,
    raised: Notify,
}

impl Default for Supervisor {
    fn default() -> Self {
        let (restarts, faults) = (Family::default(), Default::default());
        let failed = watch::Sender::new(None);
        Self { shared: Arc::new(Shared { restarts, failed, faults }) }
    }
}

impl Supervisor {
    /// A supervisor that counts restarts in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let supervisor = Self::default();
        registry.register(
            "countersign_task_restarts",
            "Long-lived tasks that ended unexpectedly and were restarted",
            supervisor.shared.restarts.clone(),
        );
        supervisor
    }

    /// Runs the future that `make` returns among `tasks` until `shutdown`, and calls `make` again whenever it ends.
    pub fn restarting<F>(
        &self,
        task: Task,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
        make: impl Fn() -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (supervisor, shutdown) = (self.clone(), shutdown.clone());
        tasks.spawn(async move {
            loop {
                let why = supervisor.run(task, make()).await;
                if shutdown.is_cancelled() {
                    return;
                }
                supervisor.restarts(task, &why);
                tokio::time::sleep(PAUSE).await;
            }
        });
    }

    /// Runs `future` among `tasks` until `shutdown`. If it ends earlier, [`Self::failed`] returns `task`.
    pub fn essential(
        &self,
        task: Task,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let (supervisor, shutdown) = (self.clone(), shutdown.clone());
        tasks.spawn(async move {
            let ended = async {
                let _ = shutdown.run_until_cancelled(future).await;
            };
            let why = supervisor.run(task, ended).await;
            if !shutdown.is_cancelled() {
                tracing::error!(task = task.name(), why, "an essential task ended");
                supervisor.shared.failed.send_replace(Some(task));
            }
        });
    }

    /// Runs `run` on this thread until it returns; runs it again after a panic.
    pub fn run_thread(&self, task: Task, mut run: impl FnMut()) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(&mut run)) {
            self.restarts(task, &reason(&*panic));
            thread::sleep(PAUSE);
        }
    }

    /// Waits until a task ends that must not end and cannot be restarted; returns it.
    pub async fn failed(&self) -> Task {
        let mut failed = self.shared.failed.subscribe();
        loop {
            if let Some(task) = *failed.borrow_and_update() {
                return task;
            }
            if failed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Makes `task` panic, at once or, if it is a thread, within a second. For tests.
    #[cfg(feature = "test-support")]
    pub fn kill(&self, task: Task) {
        let fault = &self.shared.faults[task as usize];
        fault.due.store(true, Ordering::Release);
        fault.raised.notify_one();
    }

    /// Makes the thread of `task` hang within a second, as on a disk that does not respond, or continue. For tests.
    #[cfg(feature = "test-support")]
    pub fn hang(&self, task: Task, hangs: bool) {
        self.shared.faults[task as usize].hangs.store(hangs, Ordering::Release);
    }

    /// Where a thread panics or hangs if a test injected that.
    pub fn check(&self, task: Task) {
        let fault = &self.shared.faults[task as usize];
        if fault.due.swap(false, Ordering::AcqRel) {
            resume_unwind(Box::new(KILLED));
        }
        while fault.hangs.load(Ordering::Acquire) {
            thread::sleep(PAUSE);
        }
    }

    /// Runs `future`, and returns why it ended.
    async fn run(&self, task: Task, future: impl Future<Output = ()>) -> String {
        let killed = async {
            self.shared.faults[task as usize].raised.notified().await;
            self.check(task);
        };
        let either = async {
            tokio::select! {
                () = future => {}
                () = killed => {}
            }
        };
        match AssertUnwindSafe(either).catch_unwind().await {
            Ok(()) => "it returned".to_owned(),
            Err(panic) => reason(&*panic),
        }
    }

    fn restarts(&self, task: Task, why: &str) {
        let task = task.name();
        tracing::error!(task, why, "a task ended unexpectedly; restarting it");
        self.shared.restarts.get_or_create(&Labels { task }).inc();
    }
}

/// The panic message of a task that a test kills.
const KILLED: &str = "killed by a test";

fn reason(panic: &(dyn Any + Send)) -> String {
    format!("it panicked: {}", telemetry::panic_message(panic))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn all_tasks_are_listed_in_the_order_of_their_declaration() {
        for (at, task) in Task::ALL.into_iter().enumerate() {
            assert_eq!(task as usize, at);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_returns_or_panics_is_restarted_and_counted() {
        let (supervisor, tasks, shutdown) =
            (Supervisor::default(), TaskTracker::new(), CancellationToken::new());
        let (runs, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counted, all, ends) = (runs.clone(), seen.clone(), shutdown.clone());
        supervisor.restarting(Task::TrustRefresh, &tasks, &shutdown, move || {
            let (run, all) = (counted.fetch_add(1, Ordering::Relaxed), all.clone());
            let ends = ends.clone();
            async move {
                match run {
                    0 => {}
                    1 => panic!("a bug"),
                    _ => {
                        all.notify_one();
                        ends.cancelled().await;
                    }
                }
            }
        });
        seen.notified().await;
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
        let labels = Labels { task: Task::TrustRefresh.name() };
        assert_eq!(supervisor.shared.restarts.get_or_create(&labels).get(), 2);
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn an_essential_task_that_ends_is_reported_unless_the_process_ends() {
        let (supervisor, tasks) = (Supervisor::default(), TaskTracker::new());
        let ending = CancellationToken::new();
        ending.cancel();
        supervisor.essential(Task::Reload, &tasks, &ending, async {});
        tasks.close();
        tasks.wait().await;
        assert!(supervisor.failed().now_or_never().is_none());
        tasks.reopen();
        supervisor.essential(Task::Reload, &tasks, &CancellationToken::new(), async {});
        assert_eq!(supervisor.failed().await, Task::Reload);
    }
}
