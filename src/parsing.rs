//! Parses large texts: not on the threads that serve clients, few at a time, and within one memory budget for the
//! process. Knows no format; callers state how much memory a parse takes.

use std::sync::LazyLock;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::queue_time::queued;

/// The longest text in bytes that is parsed in place, which takes about a millisecond.
pub const MAX_IN_PLACE: usize = 64 << 10;
/// How much memory all parses together may take, in bytes. A parse that could take more waits until it has the whole
/// budget to itself.
pub const MAX_MEMORY: usize = 64 << 20;
/// The most parses at once, if the machine has enough processors.
const MAX_PARSES: usize = 4;
/// The unit of the budget in bytes, because a semaphore counts in `u32`.
const UNIT: usize = 1 << 10;

static BUDGET: LazyLock<Budget> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Half of the processors, so that clients are served during parses.
    Budget::new(MAX_MEMORY, (processors / 2).clamp(1, MAX_PARSES))
});

struct Budget {
    memory: Semaphore,
    places: Semaphore,
}

/// The permission to parse one large text.
#[derive(Debug)]
pub struct Turn<'a> {
    _memory: Option<SemaphorePermit<'a>>,
    _place: Option<SemaphorePermit<'a>>,
}

impl Turn<'static> {
    /// Waits for permission to use `memory` bytes.
    pub async fn wait(memory: usize) -> Self {
        queued(BUDGET.turn(memory)).await
    }
}

impl Budget {
    fn new(memory: usize, places: usize) -> Self {
        Self { memory: Semaphore::new(memory / UNIT), places: Semaphore::new(places) }
    }

    async fn turn(&self, memory: usize) -> Turn<'_> {
        let units = memory.min(MAX_MEMORY).div_ceil(UNIT);
        let memory = self.memory.acquire_many(u32::try_from(units).unwrap_or(u32::MAX)).await;
        // These semaphores are never closed.
        Turn { _memory: memory.ok(), _place: self.places.acquire().await.ok() }
    }
}

/// Returns the result of `parse` for a text of `length` bytes; `parse` allocates at most `memory` bytes. A large text
/// waits for its turn. If the caller stops waiting, a parse that has started continues and keeps its turn until it
/// ends.
pub async fn run<T, F>(length: usize, memory: usize, parse: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if length <= MAX_IN_PLACE {
        return parse();
    }
    let turn = Turn::wait(memory).await;
    let parsed = tokio::task::spawn_blocking(move || {
        let parsed = parse();
        drop(turn);
        parsed
    });
    match parsed.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(parsed) => parsed,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is shutting down, and drops the caller as well.
        Err(Err(_)) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_large_text_is_parsed_on_another_thread_and_a_small_one_is_not() {
        let own = thread::current().id();
        let thread = || thread::current().id();
        assert_eq!(run(MAX_IN_PLACE, 1, thread).await, own);
        assert_ne!(run(MAX_IN_PLACE + 1, 1, thread).await, own);
    }

    #[tokio::test]
    async fn concurrent_parses_stay_within_the_budget() {
        let budget = Budget::new(MAX_MEMORY, 4);
        let half = MAX_MEMORY / 2;
        let (one, two) = (budget.turn(half).await, budget.turn(half).await);
        assert!(budget.turn(UNIT).now_or_never().is_none());
        drop(one);
        let three = budget.turn(half).now_or_never().unwrap();
        drop((two, three));
        // More than the whole budget: it gets all of it, and does not wait forever.
        let all = budget.turn(usize::MAX).now_or_never().unwrap();
        assert!(budget.turn(1).now_or_never().is_none());
        drop(all);
        let places = Budget::new(MAX_MEMORY, 1);
        let _one = places.turn(1).await;
        assert!(places.turn(1).now_or_never().is_none());
    }

    #[tokio::test]
    async fn clients_are_served_while_a_large_text_is_parsed() {
        let (started, begun) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let parse = tokio::spawn(run(MAX_IN_PLACE + 1, 1, move || {
            started.send(()).unwrap();
            ended.recv().unwrap();
        }));
        // On this single thread, other tasks run while the test awaits the parse.
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        assert!(!parse.is_finished());
        end.send(()).unwrap();
        parse.await.unwrap();
    }
}
