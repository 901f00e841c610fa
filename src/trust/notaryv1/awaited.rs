//! The state of a refresh: whether a client still waits for it, and how long its requests to the server have taken.
//! Time in the gate's own queue does not count as time of the server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::entry::Key;

/// Connects a refresh with the client that waits for it. Clones share one state.
#[derive(Clone, Default)]
pub(super) struct Awaited {
    abandoned: CancellationToken,
    /// The refresh continues even if no client waits for it.
    committed: Arc<AtomicBool>,
}

impl Awaited {
    /// A client waits until this is dropped.
    pub(super) fn wait(&self) -> DropGuard {
        self.abandoned.clone().drop_guard()
    }

    /// Completes when no client waits any more. Never completes if the refresh is committed.
    pub(super) async fn abandoned(&self) {
        self.abandoned.cancelled().await;
        if self.committed.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    }

    /// From now on, the refresh runs to its end even if no client waits for it.
    pub(super) fn commit(&self) {
        self.committed.store(true, Ordering::Relaxed);
    }
}

/// The queries in progress, by repository. Clones share one map.
#[derive(Clone, Default)]
pub(super) struct Queries {
    times: Arc<Mutex<HashMap<Key, RequestTime>>>,
}

/// The time that the requests of one query have taken.
#[derive(Default)]
struct RequestTime {
    /// Of the requests that have ended.
    before: Duration,
    /// When the current request was sent.
    since: Option<Instant>,
}

/// One query, which consists of several requests to the server. Ends when dropped.
pub(super) struct Query {
    queries: Queries,
    key: Key,
}

impl Queries {
    pub(super) fn begin(&self, key: Key) -> Query {
        self.locked().insert(key.clone(), RequestTime::default());
        Query { queries: self.clone(), key }
    }

    /// Whether the requests of the current query about `key` have taken at least `duration` together. Parsing and
    /// writing do not count.
    pub(super) fn has_lasted(&self, key: &Key, duration: Duration) -> bool {
        self.locked().get(key).is_some_and(|requests| requests.time() >= duration)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Key, RequestTime>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestTime {
    fn time(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Query {
    /// To be called when a request is sent to the server.
    pub(super) fn request_sent(&self) {
        if let Some(requests) = self.queries.locked().get_mut(&self.key) {
            requests.since = Some(Instant::now());
        }
    }

    /// To be called when the request has ended.
    pub(super) fn request_ended(&self) {
        if let Some(requests) = self.queries.locked().get_mut(&self.key) {
            *requests = RequestTime { before: requests.time(), since: None };
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
        assert!(!queries.has_lasted(&key, SECOND), "no request has been sent yet");
        query.request_sent();
        tokio::time::advance(3 * SECOND).await;
        query.request_ended();
        // Meanwhile the gate queues and parses the file.
        tokio::time::advance(60 * SECOND).await;
        assert!(!queries.has_lasted(&key, 5 * SECOND));
        query.request_sent();
        tokio::time::advance(2 * SECOND).await;
        assert!(queries.has_lasted(&key, 5 * SECOND));
        drop(query);
        assert!(!queries.has_lasted(&key, Duration::ZERO));
    }
}
