//! The store for those who serve clients: whatever waits for the disk is done in a lane, and a disk that does
//! not answer is a miss, or keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use super::lane::{Lane, Undone};
use super::metrics::Operation;
use super::{Ingest, Store, StoredContent, Unkept};
use crate::oci::{Digest, Registry, Repository};

/// How long a client waits for content that is kept.
const READ: Duration = Duration::from_secs(1);
/// How long a download waits for the disk before it goes on without.
const WRITE: Duration = Duration::from_secs(2);
/// How long what is complete may take to be on the disk. No client waits for it.
const PUBLISH: Duration = Duration::from_secs(60);

/// The ways to one disk, by what is done there.
pub(super) struct Lanes {
    read: Lane,
    write: Lane,
    publish: Lane,
}

impl Default for Lanes {
    fn default() -> Self {
        let (read, write) = (Lane::new(READ), Lane::new(WRITE));
        Self { read, write, publish: Lane::new(PUBLISH) }
    }
}

impl Store {
    /// As [`Store::content`], without waiting long for the disk.
    pub async fn look_up(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Option<StoredContent> {
        let disk = &self.disk;
        if disk.lanes.read.hangs() {
            disk.metrics.misses.inc();
            return None;
        }
        if let Some((opened, seen)) = disk.warm.find((registry, repository), digest) {
            disk.facts.touch(digest);
            disk.metrics.hits.inc();
            return Some(StoredContent::new(*digest, opened, seen));
        }
        let (registry, repository, digest) = (registry.clone(), repository.clone(), *digest);
        let look = move |store: &Self| {
            let content = store.content(&registry, &repository, &digest)?;
            let place = (&registry, &repository);
            store.disk.warm.keep(place, &digest, &content.opened, &content.seen);
            Some(content)
        };
        // On the heap, so that whoever finds it warm does not carry the room for this around.
        Box::pin(self.read(look)).await.flatten()
    }

    /// As [`Store::has_delivered`]; `false` also if the disk does not answer.
    pub async fn look_whether_delivered(&self, registry: &Registry, digest: &Digest) -> bool {
        let (registry, digest) = (registry.clone(), *digest);
        self.read(move |store| store.has_delivered(&registry, &digest)).await.unwrap_or(false)
    }

    /// How many contents were published so far.
    pub fn published(&self) -> u64 {
        self.disk.published.count()
    }

    /// Whether the content was published for `registry` after [`Self::published`] was `count`. Asks nothing of
    /// the disk.
    pub fn published_since(&self, count: u64, registry: &Registry, digest: &Digest) -> bool {
        self.disk.published.has_since(count, registry, digest)
    }

    /// As [`Store::ingest`], without waiting long for the disk.
    pub async fn begin(&self, digest: &Digest, length: Option<u64>) -> Result<Ingest, Unkept> {
        // Those who share the download may have to read what came.
        if self.disk.lanes.read.hangs() {
            return Err(Unkept::Hangs);
        }
        let digest = *digest;
        let begun = self.write(move |store| store.ingest(&digest, length)).await;
        begun.unwrap_or(Err(Unkept::Hangs))
    }

    /// Does `work`, which reads; `None` if the disk does not answer in time, or has too much else to do.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        self.run(&self.disk.lanes.read, Operation::Read, work).await
    }

    /// Does `work`, which writes and which somebody waits for; `None` if the disk does not answer in time.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        self.run(&self.disk.lanes.write, Operation::Write, work).await
    }

    /// Does `work`, which nobody waits for; `None` if the disk does not answer in time.
    pub async fn publish<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        self.run(&self.disk.lanes.publish, Operation::Publish, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: &Lane,
        operation: Operation,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let store = self.clone();
        match lane.run(move || work(&store)).await {
            Ok(done) => Some(done),
            // The disk did not fail: others are in front.
            Err(Undone::Busy) => None,
            Err(hangs @ Undone::Hangs) => {
                self.disk.health.failed(operation, &hangs);
                None
            }
        }
    }

    /// Has `before` called before each read: for tests, whose disk hangs in it.
    #[cfg(any(test, feature = "test-support"))]
    pub fn before_each_read(&self, before: impl Fn() + Send + Sync + 'static) {
        self.disk.lanes.read.before_each(Box::new(before));
    }

    /// The same before each write that somebody waits for.
    #[cfg(any(test, feature = "test-support"))]
    pub fn before_each_write(&self, before: impl Fn() + Send + Sync + 'static) {
        self.disk.lanes.write.before_each(Box::new(before));
    }
}

impl StoredContent {
    /// Up to where the bytes from `position` on can be had now without waiting for the disk, as far as is known; the
    /// answer is true for a few seconds, and says nothing about what is after it.
    pub fn ready_until(&self, position: usize) -> usize {
        self.opened.ready_until(position)
    }

    /// Reads the bytes from `position` on, up to the position that this gives; `None` if the disk does not
    /// answer in time.
    pub async fn make_ready(&self, store: &Store, position: usize) -> Option<usize> {
        let opened = Arc::clone(&self.opened);
        store.read(move |_| opened.make_ready(position)).await
    }

    /// Reads all of it; `None` if the disk does not answer in time.
    pub async fn make_all_ready(&self, store: &Store) -> Option<()> {
        self.make_beginning_ready(store, self.bytes.len()).await
    }

    /// Reads the first `length` bytes, or all if there are fewer; `None` if the disk does not answer in time.
    pub async fn make_beginning_ready(&self, store: &Store, length: usize) -> Option<()> {
        let length = length.min(self.bytes.len());
        let mut ready = 0;
        while ready < length {
            let until = self.ready_until(ready);
            if until == ready {
                break;
            }
            ready = until;
        }
        if ready >= length {
            return Some(());
        }
        let opened = Arc::clone(&self.opened);
        let read = move |_: &Store| {
            let mut position = 0;
            while position < length {
                position = opened.make_ready(position);
            }
        };
        store.read(read).await
    }
}
