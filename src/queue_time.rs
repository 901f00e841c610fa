//! Limits how long to wait for a server. Time that a task spends in the gate's own queues is measured separately,
//! because it says nothing about the server. Covers waits in the task itself, not in tasks that it spawns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How long work may spend in the gate's own queues, in total, before [`within`] ends it.
pub const MAX_QUEUED: Duration = Duration::from_secs(2);
/// How often the times are checked.
const LOOK: Duration = Duration::from_millis(100);

tokio::task_local! {
    static MEASURE: Arc<Mutex<Measure>>;
}

/// Why work did not end in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The servers did not answer in time.
    Silent,
    /// The work was in the gate's own queues for [`MAX_QUEUED`].
    Queued,
}

/// The time of one piece of work, in queues and waiting for servers.
struct Measure {
    /// The number of queue waits in progress.
    waits: usize,
    /// The time up to which `queued` and `waited` are counted.
    counted: Instant,
    queued: Duration,
    waited: Duration,
}

impl Measure {
    /// Counts the time until now. Work that waits in a queue and for a server at the same time counts as queued.
    fn count(&mut self) {
        let now = Instant::now();
        let passed = now.duration_since(self.counted);
        self.counted = now;
        match self.waits {
            0 => self.waited += passed,
            _ => self.queued += passed,
        }
    }

    /// The shortest time until the work can reach a limit, or the limit that it has reached.
    fn left(&mut self, limit: Duration) -> Result<Duration, Unanswered> {
        self.count();
        if self.waited >= limit {
            return Err(Unanswered::Silent);
        }
        if self.queued >= MAX_QUEUED {
            return Err(Unanswered::Queued);
        }
        Ok(match self.waits {
            0 => limit - self.waited,
            _ => MAX_QUEUED - self.queued,
        })
    }
}

/// A wait in a queue, until it is dropped.
struct Wait(Arc<Mutex<Measure>>);

impl Drop for Wait {
    fn drop(&mut self) {
        let mut measure = locked(&self.0);
        measure.count();
        measure.waits -= 1;
    }
}

fn locked(measure: &Mutex<Measure>) -> MutexGuard<'_, Measure> {
    measure.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits in one of the gate's own queues.
pub async fn queued<T>(wait: impl Future<Output = T>) -> T {
    let _wait = MEASURE.try_with(|measure| {
        let mut locked = locked(measure);
        locked.count();
        locked.waits += 1;
        Wait(measure.clone())
    });
    wait.await
}

/// Returns the result of `work`, if servers answer it within `limit`. Time in the gate's own queues does not count
/// towards `limit`, but ends the work after [`MAX_QUEUED`].
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Unanswered> {
    let (counted, none) = (Instant::now(), Duration::ZERO);
    let measure = Measure { waits: 0, counted, queued: none, waited: none };
    let measure = Arc::new(Mutex::new(measure));
    let mut work = std::pin::pin!(MEASURE.scope(measure.clone(), work));
    loop {
        let left = locked(&measure).left(limit)?;
        if let Ok(done) = timeout(left.min(LOOK), &mut work).await {
            return Ok(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn only_time_outside_the_queues_counts_as_silence() {
        let begun = Instant::now();
        let work = async {
            queued(tokio::time::sleep(SECOND)).await;
            pending::<()>().await;
        };
        assert_eq!(within(5 * SECOND, work).await, Err(Unanswered::Silent));
        assert!(begun.elapsed() >= 6 * SECOND, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_stays_in_a_queue_ends_soon_and_is_not_silence() {
        let begun = Instant::now();
        let work = queued(pending::<()>());
        assert_eq!(within(5 * SECOND, work).await, Err(Unanswered::Queued));
        assert!(begun.elapsed() < 3 * SECOND, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_finishes_in_time_returns_its_result() {
        assert_eq!(within(SECOND, queued(async { 1 })).await, Ok(1));
    }
}
