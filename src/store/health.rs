//! Tracks whether the disk works. Logs an error when it starts to fail and a message when it
//! recovers; repeated failures are debug events.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::in_place::InPlace;
use super::metrics::{Metrics, Operation};
use crate::clock::{Clock, Timestamp};

/// The disk counts as good again after this time without a failure.
const QUIET: Duration = Duration::from_secs(5);

/// The state of the disk.
pub(super) struct Health {
    clock: Clock,
    metrics: Metrics,
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    /// When an operation on content last failed.
    content: Option<Timestamp>,
    memory: Option<MemoryFailure>,
}

/// A write of trust memory that failed. No later one has succeeded.
#[derive(Clone)]
struct MemoryFailure {
    folder: InPlace,
    why: String,
}

/// The state of the disk for those who keep trust memory on it. Cheap to clone.
#[derive(Clone)]
pub struct MemoryHealth(Arc<Health>);

impl Health {
    pub(super) fn new(clock: Clock, metrics: Metrics) -> Arc<Self> {
        metrics.usable.set(1);
        Arc::new(Self { clock, metrics, failures: Mutex::default() })
    }

    /// Records a failed operation.
    pub(super) fn failed(&self, operation: Operation, error: &dyn fmt::Display) {
        self.metrics.failed(operation);
        let now = self.clock.now();
        let operation = operation.as_str();
        if self.change(|failures| failures.content.replace(now)).is_none() {
            tracing::error!(
                operation,
                %error,
                "the store cannot be used; until it recovers, new content is relayed but not stored"
            );
        } else {
            tracing::debug!(operation, %error, "the store still cannot be used");
        }
    }

    /// Records a write of content that reached the disk.
    pub(super) fn worked(&self) {
        let now = self.clock.now();
        // Do not wait if the clock was set back.
        let recovered = self.change(|failures| {
            failures.content.take_if(|last| *last > now || now.since(*last) >= QUIET)
        });
        if recovered.is_some() {
            tracing::info!("the store can be used again");
        }
    }

    /// Whether nothing failed recently.
    pub(super) fn is_good(&self) -> bool {
        self.lock().content.is_none()
    }

    /// The folder of the trust memory that could not be written.
    pub(super) fn unwritten_memory(&self) -> Option<InPlace> {
        self.lock().memory.as_ref().map(|failure| failure.folder.clone())
    }

    /// Records that a file can be written in `folder`.
    pub(super) fn memory_worked(&self, folder: &InPlace) {
        if self
            .change(|failures| failures.memory.take_if(|failure| failure.folder.is(folder)))
            .is_some()
        {
            tracing::info!("the trust memory can be written again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the failures, and the metric with them.
    fn change<T>(&self, change: impl FnOnce(&mut Failures) -> T) -> T {
        let mut failures = self.lock();
        let changed = change(&mut failures);
        let usable = failures.content.is_none() && failures.memory.is_none();
        self.metrics.usable.set(i64::from(usable));
        changed
    }
}

impl MemoryHealth {
    pub(super) fn new(health: Arc<Health>) -> Self {
        Self(health)
    }

    /// Records the result of a write of a trust memory in `folder`, or in a folder inside it.
    pub fn record<T, E: fmt::Display>(&self, folder: &InPlace, written: &Result<T, E>) {
        let health = &self.0;
        let failure = written.as_ref().err().map(|error| {
            health.metrics.failed(Operation::TrustMemory);
            MemoryFailure { folder: folder.clone(), why: error.to_string() }
        });
        health.change(|failures| failures.memory = failure);
    }

    /// Why trust memory cannot be written; `None` if the last write succeeded.
    pub fn failure(&self) -> Option<String> {
        self.0.lock().memory.as_ref().map(|failure| failure.why.clone())
    }
}

impl fmt::Debug for MemoryHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryHealth").field(&self.failure()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_good_again_after_a_write_and_a_time_without_failures() {
        let clock = Clock::manual(Timestamp::from_unix(0));
        let health = Health::new(clock.clone(), Metrics::default());
        assert!(health.is_good());
        health.failed(Operation::Write, &"full");
        health.worked();
        assert!(!health.is_good());
        assert_eq!(health.metrics.usable.get(), 0);
        clock.advance(QUIET);
        assert!(!health.is_good());
        health.worked();
        assert!(health.is_good());
        assert_eq!(health.metrics.usable.get(), 1);
    }

    #[test]
    fn trust_memory_that_cannot_be_written_makes_the_store_unusable_until_a_write_succeeds() {
        let clock = Clock::manual(Timestamp::from_unix(0));
        let health = Health::new(clock, Metrics::default());
        let memory = MemoryHealth::new(health.clone());
        let a = InPlace::open(&std::env::temp_dir()).unwrap();
        memory.record::<(), _>(&a, &Err("full"));
        assert_eq!(memory.failure().as_deref(), Some("full"));
        assert_eq!(health.metrics.usable.get(), 0);
        // Content can still be written.
        health.worked();
        assert_eq!(health.metrics.usable.get(), 0);
        memory.record::<_, String>(&a, &Ok(()));
        assert_eq!((memory.failure(), health.metrics.usable.get()), (None, 1));
    }

    #[test]
    fn a_probe_of_another_folder_does_not_clear_a_failure_of_trust_memory() {
        let health = Health::new(Clock::manual(Timestamp::from_unix(0)), Metrics::default());
        let memory = MemoryHealth::new(health.clone());
        let a = InPlace::open(&std::env::temp_dir()).unwrap();
        memory.record::<(), _>(&a, &Err("full"));
        health.memory_worked(&InPlace::open(&std::env::temp_dir()).unwrap());
        assert_eq!(memory.failure().as_deref(), Some("full"));
        assert!(health.unwritten_memory().is_some_and(|folder| folder.is(&a)));
        health.memory_worked(&a);
        assert_eq!((memory.failure(), health.metrics.usable.get()), (None, 1));
    }
}
