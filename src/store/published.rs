//! What was published lately, in order. Whoever looked in the store just before finds here, without asking the
//! disk, that looking again is worth it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::oci::{Digest, Registry};

/// The most contents that are remembered.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Published(Mutex<Lately>);

/// The newest last.
#[derive(Default)]
struct Lately {
    count: u64,
    all: VecDeque<(u64, Registry, Digest)>,
}

impl Published {
    pub(super) fn note(&self, registry: &Registry, digest: &Digest) {
        let mut lately = self.locked();
        if lately.all.len() == MOST {
            lately.all.pop_front();
        }
        lately.count += 1;
        let count = lately.count;
        lately.all.push_back((count, registry.clone(), *digest));
    }

    /// How many contents were published so far.
    pub(super) fn count(&self) -> u64 {
        self.locked().count
    }

    /// Whether `digest` was published for `registry` after [`Self::count`] was `count`.
    pub(super) fn has_since(&self, count: u64, registry: &Registry, digest: &Digest) -> bool {
        let lately = self.locked();
        let since = lately.all.iter().rev().take_while(|(number, ..)| *number > count);
        since.into_iter().any(|(_, by, what)| what == digest && by == registry)
    }

    fn locked(&self) -> MutexGuard<'_, Lately> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_published_since_counts() {
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
