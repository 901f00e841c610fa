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
    since: Arc<Mutex<HashMap<Key, Instant>>>,
}

/// A query that ends when this is dropped.
pub(super) struct Query {
    queries: Queries,
    key: Key,
}

impl Queries {
    pub(super) fn begin(&self, key: Key) -> Query {
        self.locked().insert(key.clone(), Instant::now());
        Query { queries: self.clone(), key }
    }

    /// Whether a query about `key` has been in progress for at least `duration`.
    pub(super) fn last(&self, key: &Key, duration: Duration) -> bool {
        self.locked().get(key).is_some_and(|since| since.elapsed() >= duration)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.queries.locked().remove(&self.key);
    }
}
