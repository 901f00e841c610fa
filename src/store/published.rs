//! Remembers recently published content, in order. After a miss, a caller can learn here, without disk access,
//! that a second lookup will succeed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::oci::{Digest, Registry};

/// The maximum number of remembered publications.
const MAX_REMEMBERED: usize = 1024;

#[derive(Default)]
pub(super) struct Published(Mutex<Publications>);

/// Newest last.
#[derive(Default)]
struct Publications {
    count: u64,
    all: VecDeque<(u64, Registry, Digest)>,
}

impl Published {
    pub(super) fn note(&self, registry: &Registry, digest: &Digest) {
        let mut publications = self.locked();
        if publications.all.len() == MAX_REMEMBERED {
            publications.all.pop_front();
        }
        publications.count += 1;
        let count = publications.count;
        publications.all.push_back((count, registry.clone(), *digest));
    }

    /// The number of publications so far.
    pub(super) fn count(&self) -> u64 {
        self.locked().count
    }

    /// Whether `digest` was published for `registry` after [`Self::count`] returned `count`.
    pub(super) fn has_since(&self, count: u64, registry: &Registry, digest: &Digest) -> bool {
        let publications = self.locked();
        let since = publications.all.iter().rev().take_while(|(number, ..)| *number > count);
        since.into_iter().any(|(_, by, what)| what == digest && by == registry)
    }

    fn locked(&self) -> MutexGuard<'_, Publications> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_later_publications_count() {
        let (published, registry) = (Published::default(), "r.example".parse().unwrap());
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        published.note(&registry, &one);
        let count = published.count();
        published.note(&registry, &two);
        assert!(!published.has_since(count, &registry, &one));
        assert!(published.has_since(count, &registry, &two));
        assert!(!published.has_since(count, &"other.example".parse().unwrap(), &two));
    }
}
