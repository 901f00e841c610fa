//! Tracks whether the disk works. Logs an error when it starts to fail and a message when it
//! recovers; repeated failures are debug events.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::metrics::{Metrics, Operation};
use crate::clock::{Clock, Timestamp};

/// The disk counts as good again after this time without a failure.
const QUIET: Duration = Duration::from_secs(5);

/// The state of the disk.
pub(super) struct Health {
    clock: Clock,
    metrics: Metrics,
    failed: Mutex<Option<Timestamp>>,
    /// Why the last write of trust memory failed.
    memory: Mutex<Option<String>>,
}

/// The state of the disk for those who keep trust memory on it. Cheap to clone.
#[derive(Clone)]
pub struct MemoryHealth(Arc<Health>);

impl Health {
    pub(super) fn new(clock: Clock, metrics: Metrics) -> Arc<Self> {
        metrics.usable.set(1);
        Arc::new(Self { clock, metrics, failed: Mutex::default(), memory: Mutex::default() })
    }

    /// Records a failed operation.
    pub(super) fn failed(&self, operation: Operation, error: &dyn fmt::Display) {
        self.metrics.failed(operation);
        let now = self.clock.now();
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.replace(now).is_none() {
            self.metrics.usable.set(0);
            let operation = operation.as_str();
            tracing::error!(
                operation,
                %error,
                "the store cannot be used; until it recovers, new content is relayed but not stored"
            );
        } else {
            tracing::debug!(operation = operation.as_str(), %error, "the store still cannot be used");
        }
    }

    /// Records a write that reached the disk.
    pub(super) fn worked(&self) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        // Do not wait if the clock was set back.
        if failed.is_some_and(|last| last > now || now.since(last) >= QUIET) {
            *failed = None;
            self.metrics.usable.set(i64::from(self.memory_failure().is_none()));
            tracing::info!("the store can be used again");
        }
    }

    fn memory_failure(&self) -> Option<String> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nothing failed recently.
    pub(super) fn is_good(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl MemoryHealth {
    pub(super) fn new(health: Arc<Health>) -> Self {
        Self(health)
    }

    /// Records the result of a write of trust memory.
    pub fn record<T, E: fmt::Display>(&self, written: &Result<T, E>) {
        let health = &self.0;
        let failure = written.as_ref().err().map(ToString::to_string);
        if failure.is_some() {
            health.metrics.failed(Operation::TrustMemory);
        }
        let is_usable = failure.is_none() && health.is_good();
        *health.memory.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        health.metrics.usable.set(i64::from(is_usable));
    }

    /// Why the last write of trust memory failed; `None` if it succeeded.
    pub fn failure(&self) -> Option<String> {
        self.0.memory_failure()
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
        memory.record::<(), _>(&Err("full"));
        assert_eq!(memory.failure().as_deref(), Some("full"));
        assert_eq!(health.metrics.usable.get(), 0);
        // Content can still be written.
        health.worked();
        assert_eq!(health.metrics.usable.get(), 0);
        memory.record::<_, String>(&Ok(()));
        assert_eq!((memory.failure(), health.metrics.usable.get()), (None, 1));
    }
}
