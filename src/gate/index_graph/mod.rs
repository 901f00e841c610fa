//! Remembers which index lists which manifest, within bounds. These are hints: they say where to look for an index that
//! admits a digest. The index itself, fetched by its digest, decides whether it lists the manifest.

pub(super) mod search;
pub(super) mod walks;

use std::sync::Arc;
use std::time::Duration;

use moka::Equivalent;
use moka::future::Cache;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;

use crate::clock::Timestamp;
use crate::oci::{Digest, ImageRef, RepositoryRef, Tag};
use crate::pull_through::{Fetched, PullThrough};
use walks::Walks;

/// How many manifests the hints cover.
const MAX_HINTS: u64 = 200_000;
/// How many parents of one manifest, and tags of one digest without an endorsement, are remembered.
const MAX_PARENTS: usize = 16;
/// How long a manifest is assumed to be in the store. After that it is stored again: the store may have evicted it.
const KEPT: Duration = Duration::from_secs(10 * 60);

type Key = (RepositoryRef, Digest);

/// A borrowed [`Key`].
#[derive(Hash)]
struct Sought<'a>(&'a RepositoryRef, &'a Digest);

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.1 == key.1 && *self.0 == key.0
    }
}

/// The known indexes that list a digest: the recent ones in memory, the others in the store.
pub(in crate::gate) struct IndexGraph {
    pull_through: PullThrough,
    parents: Cache<Key, Arc<[Digest]>>,
    /// Manifests all of whose children are in `parents`, and when they were added.
    remembered: Cache<Key, Timestamp>,
    /// Manifests below which everything was examined.
    walked: Cache<Key, ()>,
    /// Tags by which digests were admitted without an endorsement.
    passed: Cache<Key, Arc<[Tag]>>,
    pub(in crate::gate) walks: Walks,
}

impl IndexGraph {
    pub(in crate::gate) fn new(pull_through: PullThrough) -> Self {
        Self::with_room(pull_through, MAX_HINTS)
    }

    fn with_room(pull_through: PullThrough, capacity: u64) -> Self {
        let (remembered, walked): (Cache<Key, Timestamp>, Cache<Key, ()>) =
            (Cache::new(capacity), Cache::new(capacity));
        let walks = Walks::new();
        let forgotten = (remembered.clone(), walked.clone(), walks.reopener());
        // If a child is evicted, its index must be examined again. Otherwise the child would be absent for as long as
        // the index is remembered.
        let parents = Cache::builder()
            .max_capacity(capacity)
            .eviction_policy(EvictionPolicy::lru())
            .async_eviction_listener(move |child: Arc<Key>, parents: Arc<[Digest]>, cause| {
                let (remembered, walked, walks) = forgotten.clone();
                Box::pin(async move {
                    for parent in parents.iter().filter(|_| cause.was_evicted()) {
                        let index = (child.0.clone(), *parent);
                        remembered.invalidate(&index).await;
                        walked.invalidate(&index).await;
                        walks.reopen(&child.0).await;
                    }
                })
            })
            .build();
        Self { pull_through, parents, remembered, walked, passed: Cache::new(capacity), walks }
    }

    /// The indexes of the repository that are known to list `digest`.
    pub(in crate::gate) async fn parents(
        &self,
        image: &ImageRef,
        digest: &Digest,
    ) -> Arc<[Digest]> {
        match self.parents.get(&sought(image, digest)).await {
            Some(parents) => parents,
            None => {
                let ImageRef { repository, .. } = image;
                self.pull_through.parents(repository, digest).await.into()
            }
        }
    }

    /// The tags of the repository by which `digest` was admitted without an endorsement.
    pub(in crate::gate) async fn tags(&self, image: &ImageRef, digest: &Digest) -> Arc<[Tag]> {
        self.passed.get(&sought(image, digest)).await.unwrap_or_default()
    }

    pub(in crate::gate) async fn passed(&self, image: &ImageRef, digest: Digest, tag: &Tag) {
        add(&self.passed, key(image, &digest), tag.clone()).await;
    }

    /// Whether everything below `digest` was examined.
    pub(in crate::gate) fn is_walked(&self, image: &ImageRef, digest: &Digest) -> bool {
        self.walked.contains_key(&sought(image, digest))
    }

    /// Records that everything below `digest` was examined, or that there is nothing.
    pub(in crate::gate) async fn walked(&self, image: &ImageRef, digest: &Digest) {
        self.walked.insert(key(image, digest), ()).await;
    }

    /// Remembers the children of an admitted or signed manifest, and stores the manifest.
    pub(in crate::gate) async fn remember(
        &self,
        image: &ImageRef,
        fetched: &Fetched,
        now: Timestamp,
    ) {
        let before = self.remembered.get(&sought(image, fetched.digest())).await;
        if before.is_some_and(|before| now >= before && now.since(before) < KEPT) {
            return;
        }
        if before.is_some() {
            // Before the manifest is stored, so that only one of several concurrent requests stores it.
            self.remembered.insert(key(image, fetched.digest()), now).await;
        }
        self.pull_through.keep(&image.repository, fetched);
        let children = fetched.manifest().children().iter().map(|child| child.digest);
        self.list(image, fetched.digest(), children, now).await;
    }

    async fn list(
        &self,
        image: &ImageRef,
        parent: &Digest,
        children: impl Iterator<Item = Digest>,
        now: Timestamp,
    ) {
        for child in children {
            if let Some(crowded_out) = add(&self.parents, key(image, &child), *parent).await {
                // The dropped parent may be the only one that is still signed.
                let index = key(image, &crowded_out);
                self.remembered.invalidate(&index).await;
                self.walked.invalidate(&index).await;
                self.walks.reopener().reopen(&image.repository).await;
            }
        }
        self.remembered.insert(key(image, parent), now).await;
    }
}

fn sought<'a>(image: &'a ImageRef, digest: &'a Digest) -> Sought<'a> {
    Sought(&image.repository, digest)
}

fn key(image: &ImageRef, digest: &Digest) -> Key {
    (image.repository.clone(), *digest)
}

/// Adds a fact. Returns the oldest one if it was dropped to make room.
async fn add<T: Clone + PartialEq + Send + Sync + 'static>(
    hints: &Cache<Key, Arc<[T]>>,
    key: Key,
    fact: T,
) -> Option<T> {
    let mut crowded_out = None;
    hints
        .entry(key)
        .and_compute_with(async |known| {
            let known = known.map(moka::Entry::into_value).unwrap_or_default();
            if known.contains(&fact) {
                return Op::Nop;
            }
            // Keeps the newest: an old index is the least likely to still be signed.
            let kept = known.len().min(MAX_PARENTS - 1);
            crowded_out = known.get(kept).cloned();
            let newest = std::iter::once(fact.clone()).chain(known[..kept].iter().cloned());
            Op::Put(newest.collect())
        })
        .await;
    crowded_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_index_of_an_evicted_child_is_examined_again() {
        let graph = IndexGraph::with_room(PullThrough::new([], PullThrough::CACHE), 100);
        let image: ImageRef = "r.example/app:v1".parse().unwrap();
        let digest = |text: String| Digest::of(text.as_bytes());
        for index in 0..50 {
            let children = (0..10).map(|child| digest(format!("{index}/{child}")));
            let now = Timestamp::from_unix(0);
            graph.list(&image, &digest(index.to_string()), children, now).await;
            graph.parents.run_pending_tasks().await;
        }
        graph.remembered.run_pending_tasks().await;
        for index in 0..50 {
            let parent = digest(index.to_string());
            for child in (0..10).map(|child| digest(format!("{index}/{child}"))) {
                let known = graph.parents(&image, &child).await.contains(&parent);
                let remembered = graph.remembered.contains_key(&sought(&image, &parent));
                assert!(known || !remembered, "{index}: {child}");
            }
        }
        let newest = graph.parents(&image, &digest("49/9".to_owned())).await;
        assert_eq!(*newest, [digest("49".to_owned())]);
    }
}
