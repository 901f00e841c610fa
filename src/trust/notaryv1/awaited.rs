//! A refresh and the clients that wait for it: whether a client still waits, and for how long the server has
//! been asked. Time in the gate's own queue is not silence of the server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::entry::Key;

/// Connects a refresh with the client that waits for it. The clones are connected as well.
#[derive(Clone, Default)]
pub(super) struct Awaited {
    abandoned: CancellationToken,
    /// The refresh goes on although no client waits for it.
    committed: Arc<AtomicBool>,
}

impl Awaited {
    /// A client waits until this is dropped.
    pub(super) fn wait(&self) -> DropGuard {
        self.abandoned.clone().drop_guard()
    }

    /// Completes when no client waits any more, unless the refresh is committed.
    pub(super) async fn abandoned(&self) {
        self.abandoned.cancelled().await;
        if self.committed.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    }

    /// From now on the refresh goes on to its end.
    pub(super) fn commit(&self) {
        self.committed.store(true, Ordering::Relaxed);
    }
}

/// The repositories that the gate is asking servers about. The clones share them.
#[derive(Clone, Default)]
pub(super) struct Queries {
    asked: Arc<Mutex<HashMap<Key, Asked>>>,
}

/// For how long the server was asked.
#[derive(Default)]
struct Asked {
    before: Duration,
    /// When the request that is in progress was sent.
    since: Option<Instant>,
}

/// A query that ends when this is dropped. It consists of several requests to the server.
pub(super) struct Query {
    queries: Queries,
    key: Key,
}

impl Queries {
    pub(super) fn begin(&self, key: Key) -> Query {
        self.locked().insert(key.clone(), Asked::default());
        Query { queries: self.clone(), key }
    }

    /// Whether the server has been asked about `key` for at least `duration`, in all requests of the query that is
    /// in progress. Parsing and writing do not count.
    pub(super) fn last(&self, key: &Key, duration: Duration) -> bool {
        self.locked().get(key).is_some_and(|asked| asked.time() >= duration)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Key, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn time(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Query {
    /// A request is sent to the server now.
    pub(super) fn asks(&self) {
        if let Some(asked) = self.queries.locked().get_mut(&self.key) {
            asked.since = Some(Instant::now());
        }
    }

    /// The request has ended.
    pub(super) fn asked(&self) {
        if let Some(asked) = self.queries.locked().get_mut(&self.key) {
            *asked = Asked { before: asked.time(), since: None };
        }
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.queries.locked().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn only_the_time_of_requests_to_the_server_counts() {
        let queries = Queries::default();
        let key: Key = (Arc::from("team"), "registry.example.com/library/app".parse().unwrap());
        let query = queries.begin(key.clone());
        tokio::time::advance(60 * SECOND).await;
        assert!(!queries.last(&key, SECOND), "no request was sent yet");
        query.asks();
        tokio::time::advance(3 * SECOND).await;
        query.asked();
        // The file is parsed, which waits for its turn.
        tokio::time::advance(60 * SECOND).await;
        assert!(!queries.last(&key, 5 * SECOND));
        query.asks();
        tokio::time::advance(2 * SECOND).await;
        assert!(queries.last(&key, 5 * SECOND));
        drop(query);
        assert!(!queries.last(&key, Duration::ZERO));
    }
}
