//! Runs work on a disk that may hang: outside the threads that serve clients, with limited concurrency and a
//! deadline. While work is overdue, no new work starts. When the overdue work ends, the disk works again.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

/// The maximum number of threads that may wait for a disk that hangs.
const AT_ONCE: usize = 16;

/// Why work gave no result.
#[derive(Debug, Error)]
pub enum Undone {
    /// Other work used up the time. That says nothing about the disk.
    #[error("too much other work waits for the disk")]
    Busy,
    /// This work or other work on the disk is overdue.
    #[error("the disk does not answer")]
    Hangs,
}

/// Called before each piece of work.
type Before = Box<dyn Fn() + Send + Sync>;

/// A queue of work for the disk. All clones share it.
#[derive(Clone)]
pub struct Lane {
    deadline: Duration,
    permits: Arc<Semaphore>,
    overdue: Arc<AtomicUsize>,
    before: Arc<OnceLock<Before>>,
}

impl Lane {
    pub fn new(deadline: Duration) -> Self {
        let (permits, overdue) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::default());
        Self { deadline, permits, overdue, before: Arc::default() }
    }

    /// Whether some work is overdue.
    pub(super) fn hangs(&self) -> bool {
        self.overdue.load(Ordering::Relaxed) > 0
    }

    /// Calls `before` before each piece of work. For tests, which block in it to simulate a disk that hangs.
    #[cfg(feature = "test-support")]
    pub(super) fn before_each(&self, before: Before) {
        let _ = self.before.set(before);
    }

    /// Runs `work` and returns its result. The deadline applies to the caller and includes the wait for a thread. When
    /// it passes, started work continues, but its result is dropped. Work is overdue one whole deadline after its start.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        if self.hangs() {
            return Err(Undone::Hangs);
        }
        let deadline = Instant::now() + self.deadline;
        // Work that waited for a thread has less than the whole deadline left, so exceeding it does not prove that the
        // disk hangs.
        let (permit, late) = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => (permit, Undone::Hangs),
            Err(_) => {
                let permit = timeout_at(deadline, self.permits.clone().acquire_owned()).await;
                // The disk may have started to hang during the wait.
                if self.hangs() {
                    return Err(Undone::Hangs);
                }
                let Ok(Ok(permit)) = permit else { return Err(Undone::Busy) };
                (permit, Undone::Busy)
            }
        };
        let before = self.before.clone();
        let working = spawn_blocking(move || {
            let _permit = permit;
            if let Some(before) = before.get() {
                before();
            }
            work()
        });
        let (overdue_at, overdue) = (Instant::now() + self.deadline, self.overdue.clone());
        let mut watched = Watched { working: Some(working), overdue_at, overdue };
        let until = if matches!(late, Undone::Hangs) { overdue_at } else { deadline };
        timeout_at(until, watched.done()).await.unwrap_or(Err(late))
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Running work. Detects that the work is overdue even if its caller stops waiting.
struct Watched<T: Send + 'static> {
    /// `None` once the work is done.
    working: Option<JoinHandle<T>>,
    overdue_at: Instant,
    overdue: Arc<AtomicUsize>,
}

impl<T: Send + 'static> Watched<T> {
    async fn done(&mut self) -> Result<T, Undone> {
        let Some(working) = &mut self.working else { return Err(Undone::Hangs) };
        let done = working.await;
        self.working = None;
        done.map_err(|_| Undone::Hangs)
    }
}

impl<T: Send + 'static> Drop for Watched<T> {
    fn drop(&mut self) {
        let (Some(mut working), Ok(runtime)) = (self.working.take(), Handle::try_current()) else {
            return;
        };
        let (overdue_at, all) = (self.overdue_at, self.overdue.clone());
        // If the work is already overdue, count it at once, so that the next caller sees it.
        let counted = (Instant::now() >= overdue_at).then(|| Overdue::count(&all));
        runtime.spawn(async move {
            let counted = match counted {
                Some(counted) => counted,
                None => match timeout_at(overdue_at, &mut working).await {
                    Ok(_) => return,
                    Err(_) => Overdue::count(&all),
                },
            };
            drop(working.await);
            drop(counted);
        });
    }
}

/// Overdue work. Dropping this ends the count.
struct Overdue(Arc<AtomicUsize>);

impl Overdue {
    fn count(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all.clone())
    }
}

impl Drop for Overdue {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn no_work_starts_while_work_is_overdue() {
        let lane = Lane::new(Duration::from_millis(20));
        assert_eq!(lane.run(|| 1).await.ok(), Some(1));
        let (answer, answers) = channel::<()>();
        assert!(lane.run(move || answers.recv()).await.is_err());
        assert!(lane.hangs());
        assert!(lane.run(|| 2).await.is_err());
        answer.send(()).unwrap();
        while lane.hangs() {
            tokio::task::yield_now().await;
        }
        assert_eq!(lane.run(|| 3).await.ok(), Some(3));
    }

    #[tokio::test]
    async fn work_becomes_overdue_even_if_its_caller_has_left() {
        let lane = Lane::new(Duration::from_millis(20));
        let (answer, answers) = channel::<()>();
        {
            let mut run = Box::pin(lane.run(move || answers.recv()));
            // The work starts, and the caller leaves.
            assert!((&mut run).now_or_never().is_none());
        }
        assert!(!lane.hangs());
        let start = Instant::now();
        while !lane.hangs() {
            assert!(start.elapsed() < Duration::from_secs(30), "the work never became overdue");
            tokio::task::yield_now().await;
        }
        drop(answer);
        while lane.hangs() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_disk_that_hangs_blocks_few_threads() {
        let lane = Lane::new(Duration::from_millis(20));
        let (answer, answers) = channel::<String>();
        let answers = Arc::new(std::sync::Mutex::new(answers));
        let all = (0..AT_ONCE * 4).map(|_| {
            let (lane, answers) = (lane.clone(), answers.clone());
            async move { lane.run(move || drop(answers.lock().unwrap().recv())).await.is_err() }
        });
        assert!(futures_util::future::join_all(all).await.into_iter().all(|hangs| hangs));
        assert_eq!(lane.permits.available_permits(), 0);
        drop(answer);
        while lane.hangs() {
            tokio::task::yield_now().await;
        }
        assert_eq!(lane.permits.available_permits(), AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_other_work_does_not_mean_that_the_disk_hangs() {
        let lane = Lane::new(Duration::from_secs(60));
        let others =
            lane.permits.clone().acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        assert!(matches!(lane.run(|| 1).await, Err(Undone::Busy)));
        assert!(!lane.hangs());
        // A thread that becomes free late leaves the work too little time.
        let (answer, answers) = channel::<()>();
        let late = tokio::spawn({
            let lane = lane.clone();
            async move { lane.run(move || answers.recv()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(50)).await;
        drop(others);
        while !late.is_finished() {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!(matches!(late.await.unwrap(), Err(Undone::Busy)));
        assert!(!lane.hangs());
        // The work is still watched, and becomes overdue after one whole deadline.
        while !lane.hangs() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        drop(answer);
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_not_overdue() {
        let lane = Lane::new(Duration::from_secs(30));
        assert!(lane.run(|| panic!("a bug")).await.is_err());
        assert!(!lane.hangs());
    }
}
