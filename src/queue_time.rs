//! Limits how long to wait for a server. Time that a task spends in the gate's own queues is measured separately,
//! because it says nothing about the server. Covers waits in the task itself and in the [`Shared`] work that it waits
//! for, not in tasks that it spawns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How long work may spend in the gate's own queues, in total, before [`within`] ends it.
pub const MAX_QUEUED: Duration = Duration::from_secs(2);
/// How often the times are checked.
const LOOK: Duration = Duration::from_millis(100);

tokio::task_local! {
    static MEASURE: Arc<Mutex<Measure>>;
    /// The shared work that this task does.
    static SHARED: Arc<Shared>;
}

/// Work that one task does and several tasks wait for, such as one request for all of them. Its time in the gate's own
/// queues counts as such for each of these tasks.
#[derive(Debug, Default)]
pub struct Shared {
    /// The number of queue waits in progress.
    waits: AtomicUsize,
    /// The shared work that this work waits for.
    waits_for: Mutex<Vec<Arc<Self>>>,
}

impl Shared {
    fn is_queued(&self) -> bool {
        self.waits.load(Ordering::Relaxed) > 0
            || locked(&self.waits_for).iter().any(|shared| shared.is_queued())
    }
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
    /// The shared work that this work waits for, and whether that was in a queue when time was last counted.
    waits_for: Vec<Arc<Shared>>,
    was_queued: bool,
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
        let was_queued = self.was_queued;
        self.was_queued = self.waits_for.iter().any(|shared| shared.is_queued());
        match was_queued || self.is_queued() {
            false => self.waited += passed,
            true => self.queued += passed,
        }
    }

    fn is_queued(&self) -> bool {
        self.waits > 0 || self.was_queued
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
        Ok(match self.is_queued() {
            false => limit - self.waited,
            true => MAX_QUEUED - self.queued,
        })
    }
}

/// The work of the current task. Each part is `None` outside of such work.
struct Current {
    measure: Option<Arc<Mutex<Measure>>>,
    shared: Option<Arc<Shared>>,
}

impl Current {
    fn task() -> Self {
        Self {
            measure: MEASURE.try_with(Arc::clone).ok(),
            shared: SHARED.try_with(Arc::clone).ok(),
        }
    }

    /// Changes what is measured, after counting the time before the change.
    fn change(&self, change: impl FnOnce(&mut Measure)) {
        if let Some(measure) = &self.measure {
            let mut measure = locked(measure);
            measure.count();
            change(&mut measure);
        }
    }
}

/// A wait in a queue, until it is dropped.
struct Wait(Current);

impl Wait {
    fn begin() -> Self {
        let current = Current::task();
        current.change(|measure| measure.waits += 1);
        if let Some(shared) = &current.shared {
            shared.waits.fetch_add(1, Ordering::Relaxed);
        }
        Self(current)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.change(|measure| measure.waits -= 1);
        if let Some(shared) = &self.0.shared {
            shared.waits.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A wait for shared work, until it is dropped.
struct Join {
    current: Current,
    work: Arc<Shared>,
}

impl Join {
    fn begin(work: Arc<Shared>) -> Self {
        let current = Current::task();
        current.change(|measure| {
            measure.was_queued |= work.is_queued();
            measure.waits_for.push(work.clone());
        });
        if let Some(shared) = &current.shared {
            locked(&shared.waits_for).push(work.clone());
        }
        Self { current, work }
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        self.current.change(|measure| {
            remove(&mut measure.waits_for, &self.work);
            measure.was_queued = measure.waits_for.iter().any(|shared| shared.is_queued());
        });
        if let Some(shared) = &self.current.shared {
            remove(&mut locked(&shared.waits_for), &self.work);
        }
    }
}

fn remove(all: &mut Vec<Arc<Shared>>, work: &Arc<Shared>) {
    if let Some(at) = all.iter().position(|other| Arc::ptr_eq(other, work)) {
        all.swap_remove(at);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits in one of the gate's own queues.
pub async fn queued<T>(wait: impl Future<Output = T>) -> T {
    let _wait = Wait::begin();
    wait.await
}

/// Waits for shared work, which this task or another one does.
pub async fn joined<T>(work: Arc<Shared>, wait: impl Future<Output = T>) -> T {
    let _join = Join::begin(work);
    wait.await
}

/// Does work that other tasks wait for with [`joined`].
pub async fn shared<T>(shared: Arc<Shared>, work: impl Future<Output = T>) -> T {
    SHARED.scope(shared, work).await
}

/// Returns the result of `work`, if servers answer it within `limit`. Time in the gate's own queues does not count
/// towards `limit`, but ends the work after [`MAX_QUEUED`].
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Unanswered> {
    let measure = Arc::new(Mutex::new(Measure {
        waits: 0,
        waits_for: Vec::new(),
        was_queued: false,
        counted: Instant::now(),
        queued: Duration::ZERO,
        waited: Duration::ZERO,
    }));
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

    /// Before, this counted as silence of the server: the other task was in the queue, not this one.
    #[tokio::test(start_paused = true)]
    async fn the_queue_of_work_that_another_task_does_is_not_silence() {
        let work = Arc::new(Shared::default());
        let leader = tokio::spawn(shared(work.clone(), queued(pending::<()>())));
        tokio::task::yield_now().await;
        let begun = Instant::now();
        assert_eq!(
            within(5 * SECOND, joined(work, pending::<()>())).await,
            Err(Unanswered::Queued)
        );
        assert!(begun.elapsed() < 3 * SECOND, "{:?}", begun.elapsed());
        leader.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_of_work_that_shared_work_waits_for_is_not_silence() {
        let (outer, inner) = (Arc::new(Shared::default()), Arc::new(Shared::default()));
        let queue = tokio::spawn(shared(inner.clone(), queued(pending::<()>())));
        let leader = tokio::spawn(shared(outer.clone(), joined(inner, pending::<()>())));
        tokio::task::yield_now().await;
        assert_eq!(
            within(5 * SECOND, joined(outer, pending::<()>())).await,
            Err(Unanswered::Queued)
        );
        leader.abort();
        queue.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_shared_work_is_silent() {
        let work = Arc::new(Shared::default());
        let leader = tokio::spawn(shared(work.clone(), async {
            queued(tokio::time::sleep(SECOND)).await;
            pending::<()>().await;
        }));
        tokio::task::yield_now().await;
        let begun = Instant::now();
        assert_eq!(
            within(5 * SECOND, joined(work, pending::<()>())).await,
            Err(Unanswered::Silent)
        );
        assert!(begun.elapsed() >= 6 * SECOND, "{:?}", begun.elapsed());
        leader.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_finishes_in_time_returns_its_result() {
        assert_eq!(within(SECOND, queued(async { 1 })).await, Ok(1));
    }
}
