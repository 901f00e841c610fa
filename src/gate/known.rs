//! The images that were admitted recently, and the content that they list. Requests for them do not wait behind
//! requests for other names. This admits nothing: the gate still decides about every request.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{PoisonError, RwLock};

use super::admitted::Admitted;
use crate::oci::{Digest, ImageRef, Reference, RepositoryRef};

/// The most names and digests of one generation. Two generations are remembered, at about 16 bytes each.
const MAX_NAMES: usize = 200_000;

/// A keyed hash of a name or a digest in a repository: nobody can construct a collision.
pub(super) type Key = u64;

/// Whether a name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Known,
    /// Known, and soon forgotten unless it is admitted again.
    Fading,
    Unknown,
}

/// The known names and digests.
pub(super) struct KnownNames {
    hasher: RandomState,
    generations: RwLock<Generations>,
}

#[derive(Default)]
struct Generations {
    new: HashSet<Key>,
    old: HashSet<Key>,
}

impl KnownNames {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), generations: RwLock::default() }
    }

    /// The key of `image`.
    pub(super) fn key(&self, image: &ImageRef) -> Key {
        match &image.reference {
            Reference::Digest(digest) => self.key_of(&image.repository, digest),
            Reference::Tag(tag) => self.hasher.hash_one((&image.repository, tag)),
        }
    }

    /// The key of a manifest or a blob.
    fn key_of(&self, repository: &RepositoryRef, digest: &Digest) -> Key {
        self.hasher.hash_one((repository, digest.raw()))
    }

    pub(super) fn look(&self, key: Key) -> Look {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        if generations.new.contains(&key) {
            Look::Known
        } else if generations.old.contains(&key) {
            Look::Fading
        } else {
            Look::Unknown
        }
    }

    /// Remembers `image`, which was admitted, and what it lists.
    pub(super) fn learn(&self, image: &ImageRef, admitted: &Admitted) {
        let manifest = admitted.fetched().manifest();
        let listed = manifest.children().iter().chain(manifest.blobs());
        let digests = listed.map(|listed| &listed.digest).chain([admitted.fetched().digest()]);
        let repository = &image.repository;
        let keys = digests.map(|digest| self.key_of(repository, digest));
        self.insert(keys.chain([self.key(image)]));
    }

    fn insert(&self, keys: impl Iterator<Item = Key>) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if generations.new.len() >= MAX_NAMES {
                generations.old = std::mem::take(&mut generations.new);
            }
            generations.new.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_not_admitted_again_is_forgotten_and_memory_is_bounded() {
        let known = KnownNames::new();
        let image: ImageRef = "r.example/app:v1".parse().unwrap();
        let key = known.key(&image);
        assert_eq!(known.look(key), Look::Unknown);
        known.insert([key].into_iter());
        assert_eq!(known.look(key), Look::Known);
        let max = MAX_NAMES as u64;
        let others = |from: u64| (from..from + max).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        known.insert(others(1));
        assert_eq!(known.look(key), Look::Fading);
        known.insert(others(1 + max));
        known.insert(others(1 + 2 * max));
        assert_eq!(known.look(key), Look::Unknown);
        let generations = known.generations.read().unwrap();
        assert!(generations.new.len() + generations.old.len() <= 2 * MAX_NAMES);
    }
}
