//! Remembers lookups for a moment, so that popular content needs no disk access for each request. An eviction
//! clears this cache first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::in_use::Opened;
use super::index::HeldAs;
use crate::oci::{Digest, RepositoryRef};

/// How long a lookup stays valid.
const LIFETIME: Duration = Duration::from_millis(200);
/// The maximum number of remembered lookups.
const MOST: usize = 64;

/// Newest last.
#[derive(Default)]
pub(super) struct Warm {
    finds: Mutex<VecDeque<Find>>,
}

struct Find {
    at: Instant,
    digest: Digest,
    repository: RepositoryRef,
    opened: Arc<Opened>,
    seen: HeldAs,
}

impl Warm {
    /// The result of a recent lookup of `digest` in `repository`.
    pub(super) fn find(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Option<(Arc<Opened>, HeldAs)> {
        let finds = self.locked();
        let is = |find: &&Find| find.digest == *digest && find.repository == *repository;
        let find = finds.iter().rev().find(is)?;
        (find.at.elapsed() < LIFETIME).then(|| (find.opened.clone(), find.seen.clone()))
    }

    /// Remembers a lookup.
    pub(super) fn keep(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        opened: &Arc<Opened>,
        seen: &HeldAs,
    ) {
        let find = Find {
            at: Instant::now(),
            digest: *digest,
            repository: repository.clone(),
            opened: opened.clone(),
            seen: seen.clone(),
        };
        let mut finds = self.locked();
        let old = if finds.len() == MOST { finds.pop_front() } else { None };
        finds.push_back(find);
        drop(finds);
        // Unmapping is slow: do it outside the lock.
        drop(old);
    }

    /// Forgets expired lookups.
    pub(super) fn forget_old(&self) {
        let mut finds = self.locked();
        let old = finds.iter().take_while(|find| find.at.elapsed() >= LIFETIME).count();
        let old: Vec<_> = finds.drain(..old).collect();
        drop(finds);
        drop(old);
    }

    /// Forgets all lookups.
    pub(super) fn clear(&self) {
        let finds = std::mem::take(&mut *self.locked());
        drop(finds);
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Find>> {
        self.finds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
