//! What earlier searches learned about registries: which ones have no referrers API, and where each repository had its
//! signatures. It saves requests; no verdict depends on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

use super::SignatureKind;
use super::order::SearchHistory;
use crate::clock::{Clock, Timestamp};
use crate::oci::{Digest, Registry, Repository, RepositoryRef};

/// How long a registry without the referrers API is not asked for it again, because it may be upgraded. Also how long
/// the answer of one repository waits for confirmation by a second one.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// The most repositories whose last signature location is cached.
const MAX_REPOSITORIES: u64 = 10_000;
/// The most examined entries in the cache, about 200 bytes each.
const MAX_EXAMINED: u64 = 50_000;

/// Where signatures are stored in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Tag,
    Referrers,
}

/// Cheap to clone; clones share the state.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    clock: Clock,
    /// At most one entry per configured registry.
    registries: Arc<Mutex<HashMap<Registry, Api>>>,
    last: Cache<(RepositoryRef, SignatureKind), Layout>,
    /// The history of referrer manifests and of layers of a tag's manifest.
    examined: Cache<(RepositoryRef, SignatureKind, Digest), SearchHistory>,
    turns: Arc<AtomicU64>,
}

/// What is known about a registry's referrers API.
#[derive(Clone, Debug)]
enum Api {
    There,
    /// One repository answered as if there were no API; a second one has to confirm it.
    Doubted {
        by: Repository,
        until: Timestamp,
    },
    Missing {
        until: Timestamp,
    },
}

impl Learned {
    pub(super) fn new(clock: Clock) -> Self {
        let registries = Arc::default();
        let (last, examined) = (Cache::new(MAX_REPOSITORIES), Cache::new(MAX_EXAMINED));
        Self { clock, registries, last, examined, turns: Arc::default() }
    }

    /// Whether two repositories of `registry` recently answered as if there were no referrers API.
    pub(super) fn has_no_api(&self, registry: &Registry) -> bool {
        let registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        match registries.get(registry) {
            Some(Api::Missing { until }) => self.clock.now() < *until,
            Some(Api::There | Api::Doubted { .. }) | None => false,
        }
    }

    pub(super) fn api_is_there(&self, registry: &Registry) {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        registries.insert(registry.clone(), Api::There);
    }

    /// Records that the repository `at` answered as if its registry had no referrers API. Returns whether a second
    /// repository confirms it. A registry that ever listed referrers has the API: then the answer is about one
    /// repository only, or comes from a server in front of the registry.
    pub(super) fn api_is_missing(&self, at: &RepositoryRef) -> bool {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let until = now.plus(REMEMBERED);
        let (known, confirmed) = match registries.get(&at.registry) {
            Some(Api::There) => return false,
            Some(Api::Missing { until: end }) if now < *end => (Api::Missing { until }, true),
            Some(Api::Doubted { by, until: end }) if now < *end && *by != at.name => {
                (Api::Missing { until }, true)
            }
            Some(Api::Doubted { .. } | Api::Missing { .. }) | None => {
                (Api::Doubted { by: at.name.clone(), until }, false)
            }
        };
        registries.insert(at.registry.clone(), known);
        confirmed
    }

    /// What earlier searches found at `digest`.
    pub(super) fn history(
        &self,
        at: &RepositoryRef,
        kind: SignatureKind,
        digest: &Digest,
    ) -> SearchHistory {
        self.examined.get(&(at.clone(), kind, *digest)).unwrap_or(SearchHistory::New)
    }

    /// Records that the entry was examined, whatever the result.
    pub(super) fn examined(&self, at: &RepositoryRef, kind: SignatureKind, digest: &Digest) {
        if self.history(at, kind, digest) != SearchHistory::Good {
            let turn = self.turns.fetch_add(1, Ordering::Relaxed);
            self.examined.insert((at.clone(), kind, *digest), SearchHistory::Examined(turn));
        }
    }

    /// Records that the entry is a valid signature.
    pub(super) fn good(&self, at: &RepositoryRef, kind: SignatureKind, digest: &Digest) {
        self.examined.insert((at.clone(), kind, *digest), SearchHistory::Good);
    }

    /// Where the last signatures of `kind` in that repository were.
    pub(super) fn last(&self, at: &RepositoryRef, kind: SignatureKind) -> Option<Layout> {
        self.last.get(&(at.clone(), kind))
    }

    pub(super) fn found(&self, at: &RepositoryRef, kind: SignatureKind, layout: Layout) {
        if self.last(at, kind) != Some(layout) {
            self.last.insert((at.clone(), kind), layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(repository: &str) -> RepositoryRef {
        RepositoryRef { registry: "r.example".parse().unwrap(), name: repository.parse().unwrap() }
    }

    #[test]
    fn a_second_repository_confirms_temporarily_that_a_registry_has_no_api() {
        let clock = Clock::manual(Timestamp::from_unix(0));
        let learned = Learned::new(clock.clone());
        for _ in 0..2 {
            assert!(!learned.api_is_missing(&at("one")));
            assert!(!learned.has_no_api(&at("one").registry));
        }
        assert!(learned.api_is_missing(&at("two")));
        assert!(learned.has_no_api(&at("one").registry));
        clock.advance(REMEMBERED);
        assert!(!learned.has_no_api(&at("one").registry));
        assert!(!learned.api_is_missing(&at("two")));
    }

    #[test]
    fn an_old_answer_of_another_repository_confirms_nothing() {
        let clock = Clock::manual(Timestamp::from_unix(0));
        let learned = Learned::new(clock.clone());
        assert!(!learned.api_is_missing(&at("one")));
        clock.advance(REMEMBERED);
        assert!(!learned.api_is_missing(&at("two")));
    }

    #[test]
    fn a_registry_that_had_the_api_still_has_it() {
        let learned = Learned::new(Clock::manual(Timestamp::from_unix(0)));
        learned.api_is_missing(&at("one"));
        learned.api_is_there(&at("one").registry);
        assert!(!learned.api_is_missing(&at("one")));
        assert!(!learned.api_is_missing(&at("two")));
        assert!(!learned.has_no_api(&at("one").registry));
    }
}
