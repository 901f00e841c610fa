//! Combines identical requests at the same time: one of them asks upstream, and all of them get its answer. Nothing is
//! kept once the last one has it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OnceCell;

use crate::queue_time::{self, Shared};

/// The waiting requests by key. Clones share them.
#[derive(Debug)]
pub(super) struct Together<K, V>(Arc<Mutex<HashMap<K, Weak<Asked<V>>>>>);

/// One request to upstream, and its answer.
#[derive(Debug)]
struct Asked<V> {
    answer: OnceCell<V>,
    /// While the request is in one of the gate's own queues, all that wait for it are.
    work: Arc<Shared>,
}

impl<V> Default for Asked<V> {
    fn default() -> Self {
        Self { answer: OnceCell::new(), work: Arc::default() }
    }
}

impl<K, V> Clone for Together<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Together<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// One waiting request. The last one removes the entry.
struct Waiting<'a, K: Eq + Hash, V> {
    together: &'a Together<K, V>,
    key: K,
    asked: Arc<Asked<V>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Together<K, V> {
    /// The answer to `key`: the result of `ask`, or of an identical request in progress. If the request that asks is
    /// dropped, the next one asks.
    pub(super) async fn answer(&self, key: K, ask: impl Future<Output = V>) -> V {
        let asked = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let known = waiting.get(&key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                waiting.insert(key.clone(), Arc::downgrade(&new));
                new
            })
        };
        let waiting = Waiting { together: self, key, asked };
        let Asked { answer, work } = &*waiting.asked;
        let answer = answer.get_or_init(|| queue_time::shared(work.clone(), ask));
        queue_time::joined(work.clone(), answer).await.clone()
    }
}

impl<K: Eq + Hash, V> Drop for Waiting<'_, K, V> {
    fn drop(&mut self) {
        let mut waiting = self.together.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A new request needs the lock to join.
        if Arc::strong_count(&self.asked) == 1 {
            waiting.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;
    use crate::queue_time::{Unanswered, queued, within};

    #[tokio::test(start_paused = true)]
    async fn the_queue_of_an_identical_request_is_not_silence_of_the_server() {
        let (together, limit) = (Together::default(), Duration::from_secs(5));
        let asks = tokio::spawn({
            let together = together.clone();
            async move { together.answer("a", queued(std::future::pending::<()>())).await }
        });
        tokio::task::yield_now().await;
        // This one only waits for the other, which is in the queue.
        let joins = together.answer("a", std::future::pending::<()>());
        assert_eq!(within(limit, joins).await, Err(Unanswered::Queued));
        asks.abort();
    }

    #[tokio::test]
    async fn identical_concurrent_requests_are_sent_once_and_not_cached() {
        let (together, asked) = (Together::default(), AtomicUsize::new(0));
        let ask = |key: &'static str| {
            together.answer(key, async {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::SeqCst)
            })
        };
        assert_eq!(join_all([ask("a"), ask("a"), ask("b"), ask("a")]).await, [0, 0, 1, 0]);
        assert_eq!(ask("a").await, 2);
        assert!(together.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn if_the_asking_request_is_dropped_the_next_one_asks() {
        let together = Together::default();
        let mut first = Box::pin(together.answer("a", std::future::pending()));
        assert!(first.as_mut().now_or_never().is_none());
        let second = together.answer("a", async { 2 });
        drop(first);
        assert_eq!(second.await, 2);
    }
}
