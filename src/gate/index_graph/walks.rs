//! Limits the searches through all signed manifests of a repository: one at a time, a number of upstream requests per
//! hour, and no second search of a set of signed digests that was searched completely. No verdict depends on it alone:
//! a completed search only means that the same search finds nothing new.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::clock::Timestamp;
use crate::oci::{Digest, ImageRef, RepositoryRef};

/// The most upstream requests that the searches in one repository may cost in `PERIOD`.
pub const MAX_SEARCH_REQUESTS: usize = 2_000;
/// The time to which [`MAX_SEARCH_REQUESTS`] applies.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// The most repositories whose searches are remembered.
const MAX_REPOSITORIES: u64 = 10_000;

/// The searches in all repositories.
pub(in crate::gate) struct Walks {
    search_budgets: Cache<RepositoryRef, Arc<Mutex<SearchBudget>>>,
    /// The sets of signed digests whose manifests were all examined.
    complete: Cache<RepositoryRef, SignedSet>,
}

/// Upstream requests that the searches in one repository used. Its lock is held during a search.
pub(in crate::gate) struct SearchBudget {
    since: Timestamp,
    used: usize,
}

/// Identifies a set of signed digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct SignedSet([u8; 32]);

impl SignedSet {
    /// The set of these digests, in any order.
    pub(in crate::gate) fn of(digests: impl Iterator<Item = Digest>) -> Self {
        let mut digests: Vec<Digest> = digests.collect();
        digests.sort_unstable();
        digests.dedup();
        let mut hash = Sha256::new();
        for digest in digests {
            hash.update(digest.algorithm().name());
            hash.update(digest.raw());
        }
        Self(hash.finalize().into())
    }
}

impl Walks {
    pub(in crate::gate) fn new() -> Self {
        let complete = Cache::new(MAX_REPOSITORIES);
        Self { search_budgets: Cache::new(MAX_REPOSITORIES), complete }
    }

    /// The budget of the image's repository. Only one search at a time holds it; the others find what it
    /// found.
    pub(in crate::gate) async fn search_budget(
        &self,
        image: &ImageRef,
        now: Timestamp,
    ) -> Arc<Mutex<SearchBudget>> {
        let fresh = async { Arc::new(Mutex::new(SearchBudget { since: now, used: 0 })) };
        self.search_budgets.get_with(image.repository.clone(), fresh).await
    }

    /// Whether every manifest of `signed` was examined.
    pub(in crate::gate) async fn is_complete(&self, image: &ImageRef, signed: SignedSet) -> bool {
        self.complete.get(&image.repository).await == Some(signed)
    }

    pub(in crate::gate) async fn completed(&self, image: &ImageRef, signed: SignedSet) {
        self.complete.insert(image.repository.clone(), signed).await;
    }

    /// A handle that lets a repository be searched again.
    pub(in crate::gate) fn reopener(&self) -> Reopener {
        Reopener(self.complete.clone())
    }
}

/// Lets a repository be searched again after an entry of it was evicted.
#[derive(Clone)]
pub(in crate::gate) struct Reopener(Cache<RepositoryRef, SignedSet>);

impl Reopener {
    pub(in crate::gate) async fn reopen(&self, repository: &RepositoryRef) {
        self.0.invalidate(repository).await;
    }
}

impl SearchBudget {
    /// Takes one request, if the budget has one left at `now`.
    pub(in crate::gate) fn take(&mut self, now: Timestamp) -> bool {
        // A clock that was set back begins a new period.
        if now < self.since || now.since(self.since) >= PERIOD {
            *self = Self { since: now, used: 0 };
        }
        let has_one = self.used < MAX_SEARCH_REQUESTS;
        self.used += usize::from(has_one);
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_budget_is_renewed_after_an_hour() {
        let start = Timestamp::from_unix(0);
        let mut budget = SearchBudget { since: start, used: 0 };
        assert!((0..MAX_SEARCH_REQUESTS).all(|_| budget.take(start)));
        let before = Timestamp::from_unix(PERIOD.as_secs() as i64 - 1);
        assert!(!budget.take(before));
        assert!(budget.take(start.plus(PERIOD)));
    }

    #[test]
    fn the_order_of_digests_does_not_change_their_set() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let set = |digests: &[Digest]| SignedSet::of(digests.iter().copied());
        assert_eq!(set(&[one, two]), set(&[two, one, two]));
        assert_ne!(set(&[one]), set(&[one, two]));
    }
}
