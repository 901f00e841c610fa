//! The limit of requests and bytes that one decision may use, and the answers that it already has. All anchors of a
//! decision share it, so that nothing is fetched twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::limit::{Limit, MAX_BYTES, MAX_REQUESTS};
use super::located::Why;
use crate::oci::{Digest, Registry, RepositoryRef, Tag};
use crate::pull_through::{FetchError, Fetched};
use crate::registry_client::Listing;

/// The requests and bytes that one decision may still use, and its answers so far. Cheap to clone; all clones share one
/// state.
#[derive(Clone, Debug, Default)]
pub struct RequestBudget {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    requests: AtomicUsize,
    /// The bytes that arrived, and those reserved for answers in progress.
    bytes: AtomicUsize,
    /// The registries that answered with a rate limit, and their answers: they are not asked again.
    busy: Mutex<HashMap<Registry, FetchError>>,
    pub(super) tags: Memo<(RepositoryRef, Tag), Fetched>,
    pub(super) manifests: Memo<(RepositoryRef, Digest), Fetched>,
    /// By subject, filter, and the query of the page.
    pub(super) lists: Memo<(RepositoryRef, Digest, Option<&'static str>, String), Listing>,
    pub(super) blobs: Memo<(RepositoryRef, Digest, u64), Bytes>,
}

impl RequestBudget {
    /// The full budget of a new decision.
    pub fn new() -> Self {
        Self::default()
    }

    /// Permission for one more request to `registry`, for `bytes`.
    pub fn ask(&self, registry: &Registry, bytes: usize) -> Result<(), Why> {
        self.shared.ask(registry, bytes)?.spend(bytes);
        Ok(())
    }

    /// Permission to hold `bytes` more that have arrived, from any source.
    pub fn hold(&self, bytes: usize) -> Result<(), Limit> {
        self.shared.hold(bytes)
    }

    /// The number of requests so far.
    #[cfg(feature = "test-support")]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Permission for one more request to `registry`; reserves `bytes` for its answer.
    pub(super) fn ask(&self, registry: &Registry, bytes: usize) -> Result<Reserved<'_>, Why> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = busy.get(registry) {
            return Err(said.clone().into());
        }
        self.hold(bytes)?;
        let reserved = Reserved { shared: self, unused: bytes };
        take(&self.requests, 1, MAX_REQUESTS).ok_or(Limit::Requests)?;
        Ok(reserved)
    }

    /// Records that `registry` limits the rate of requests, as it `said`.
    pub(super) fn is_busy(&self, registry: &Registry, said: &FetchError) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.entry(registry.clone()).or_insert_with(|| said.clone());
    }

    /// Permission to hold `bytes` more.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Limit> {
        take(&self.bytes, bytes, MAX_BYTES).ok_or(Limit::Bytes)
    }
}

/// Bytes reserved for an answer. Unused ones are returned, even if the request is dropped.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    shared: &'a Shared,
    unused: usize,
}

impl Reserved<'_> {
    pub(super) fn bytes(&self) -> usize {
        self.unused
    }

    /// Records that `bytes` of them arrived.
    pub(super) fn spend(mut self, bytes: usize) {
        self.unused = self.unused.saturating_sub(bytes);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.shared.bytes.fetch_sub(self.unused, Ordering::Relaxed);
    }
}

fn take(of: &AtomicUsize, count: usize, most: usize) -> Option<()> {
    let taken = |spent: usize| spent.checked_add(count).filter(|spent| *spent <= most);
    of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).ok().map(|_| ())
}

/// Cached answers to one kind of request, each sent once. There are at most as many as requests.
#[derive(Debug)]
pub(super) struct Memo<K, V>(Mutex<HashMap<K, Cell<V>>>);

type Cell<V> = Arc<OnceCell<Result<V, Why>>>;

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// The answer to `question`: the cached one, or the result of `ask`, which otherwise does not start.
    pub(super) async fn answer(
        &self,
        question: K,
        ask: impl Future<Output = Result<V, Why>>,
    ) -> Result<V, Why> {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(question).or_default())
        };
        cell.get_or_init(|| ask).await.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stop_at_the_limit_of_a_decision() {
        let (budget, registry) = (RequestBudget::new(), "r.example".parse().unwrap());
        for _ in 0..MAX_REQUESTS {
            budget.clone().shared.ask(&registry, MAX_BYTES).unwrap();
        }
        let refused = budget.shared.ask(&registry, 1);
        assert!(matches!(refused, Err(Why::Limit(Limit::Requests))));
        assert_eq!(budget.requests(), MAX_REQUESTS);
    }

    #[test]
    fn bytes_stop_at_the_limit_of_a_decision() {
        let budget = RequestBudget::new();
        let reserved = budget.shared.ask(&"r.example".parse().unwrap(), MAX_BYTES).unwrap();
        assert_eq!(budget.shared.hold(1), Err(Limit::Bytes));
        reserved.spend(MAX_BYTES - 1);
        assert_eq!(budget.shared.hold(2), Err(Limit::Bytes));
        budget.shared.hold(1).unwrap();
        assert_eq!(budget.shared.hold(usize::MAX), Err(Limit::Bytes));
    }

    #[tokio::test]
    async fn an_answered_request_is_not_sent_again() {
        let memo = Memo::default();
        assert_eq!(memo.answer("a", async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(memo.answer("a", async { Err(Limit::Pages.into()) }).await.unwrap(), 1);
        assert!(memo.answer("b", async { Err(Limit::Pages.into()) }).await.is_err());
        assert!(memo.answer("b", async { Ok(1) }).await.is_err());
    }
}
