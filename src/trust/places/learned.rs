//! What was learned of registries: which has no referrers API, for a time, and where a repository had
//! its signatures last. Saves questions; no verdict rests on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

use super::Kind;
use super::inquiry::At;
use crate::clock::{Clock, Timestamp};
use crate::oci::Registry;

/// For how long a registry is not asked again for what it cannot do: it may be upgraded.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// For how many repositories it is known where they had their signatures last.
const MAX_REPOSITORIES: u64 = 10_000;

/// Where signatures are kept beside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Tag,
    Referrers,
}

/// Cheap to clone; the clones learn together.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    clock: Clock,
    /// As many as are configured.
    registries: Arc<Mutex<HashMap<Registry, Api>>>,
    last: Cache<(At, Kind), Layout>,
}

/// What is known of a registry's referrers API.
#[derive(Clone, Copy, Debug)]
enum Api {
    There,
    Missing { until: Timestamp },
}

impl Learned {
    pub(super) fn new(clock: Clock) -> Self {
        let registries = Arc::default();
        Self { clock, registries, last: Cache::new(MAX_REPOSITORIES) }
    }

    /// Whether `registry` answered lately as one that has no referrers API.
    pub(super) fn has_no_api(&self, registry: &Registry) -> bool {
        let registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        match registries.get(registry) {
            Some(Api::Missing { until }) => self.clock.now() < *until,
            Some(Api::There) | None => false,
        }
    }

    pub(super) fn api_is_there(&self, registry: &Registry) {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        registries.insert(registry.clone(), Api::There);
    }

    /// Remembers that `registry` has no referrers API. One that ever had it has it: what it says now is
    /// said of one repository, or by something that stands before it.
    pub(super) fn api_is_missing(&self, registry: &Registry) {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let until = self.clock.now().plus(REMEMBERED);
        let known = registries.entry(registry.clone()).or_insert(Api::Missing { until });
        if let Api::Missing { until: before } = known {
            *before = until;
        }
    }

    /// Where signatures of `kind` were the last time in that repository.
    pub(super) fn last(&self, at: &At, kind: Kind) -> Option<Layout> {
        self.last.get(&(at.clone(), kind))
    }

    pub(super) fn found(&self, at: &At, kind: Kind, layout: Layout) {
        if self.last(at, kind) != Some(layout) {
            self.last.insert((at.clone(), kind), layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        "r.example".parse().unwrap()
    }

    #[test]
    fn that_a_registry_has_no_api_is_remembered_for_a_time() {
        let clock = Clock::manual(Timestamp::from_unix(0));
        let learned = Learned::new(clock.clone());
        assert!(!learned.has_no_api(&registry()));
        learned.api_is_missing(&registry());
        assert!(learned.has_no_api(&registry()));
        clock.advance(REMEMBERED);
        assert!(!learned.has_no_api(&registry()));
    }

    #[test]
    fn a_registry_that_had_the_api_has_it() {
        let learned = Learned::new(Clock::manual(Timestamp::from_unix(0)));
        learned.api_is_missing(&registry());
        learned.api_is_there(&registry());
        learned.api_is_missing(&registry());
        assert!(!learned.has_no_api(&registry()));
    }
}
