//! Async access to the store for threads that serve clients. Each disk access runs in a lane with a deadline; if
//! the disk does not answer, a read is a miss and a write stores nothing.

use std::sync::Arc;
use std::time::Duration;

use super::lane::{Lane, Undone};
use super::metrics::Operation;
use super::{Ingest, Store, StoredContent, Unkept};
use crate::oci::{Digest, Registry, RepositoryRef};

/// How long a client waits for stored content.
const READ: Duration = Duration::from_secs(1);
/// How long a download waits for the disk before it continues without storing.
const WRITE: Duration = Duration::from_secs(2);
/// How long publishing complete content may take. No client waits for it.
const PUBLISH: Duration = Duration::from_secs(60);

/// The lanes of one disk, by kind of work.
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
    /// Same as [`Store::content`], with a short deadline for the disk.
    pub async fn look_up(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Option<StoredContent> {
        let disk = &self.disk;
        if disk.lanes.read.hangs() {
            disk.metrics.misses.inc();
            return None;
        }
        if let Some((opened, seen)) = disk.warm.find(repository, digest) {
            disk.index.touch(digest);
            disk.metrics.hits.inc();
            return Some(StoredContent::new(*digest, opened, seen));
        }
        let (repository, digest) = (repository.clone(), *digest);
        let look = move |store: &Self| {
            let content = store.content(&repository, &digest)?;
            store.disk.warm.keep(&repository, &digest, &content.opened, &content.seen);
            Some(content)
        };
        // Boxed to keep the future of a warm lookup small.
        Box::pin(self.read(look)).await.flatten()
    }

    /// Same as [`Store::has_delivered`]; `false` also if the disk does not answer.
    pub async fn look_whether_delivered(&self, registry: &Registry, digest: &Digest) -> bool {
        let (registry, digest) = (registry.clone(), *digest);
        self.read(move |store| store.has_delivered(&registry, &digest)).await.unwrap_or(false)
    }

    /// The number of contents published so far.
    pub fn published(&self) -> u64 {
        self.disk.published.count()
    }

    /// Whether the content was published for `registry` after [`Self::published`] returned `count`. Does not
    /// access the disk.
    pub fn published_since(&self, count: u64, registry: &Registry, digest: &Digest) -> bool {
        self.disk.published.has_since(count, registry, digest)
    }

    /// Same as [`Store::ingest`], with a short deadline for the disk.
    pub async fn begin(&self, digest: &Digest, length: Option<u64>) -> Result<Ingest, Unkept> {
        // Other clients of the same download may have to read the written bytes.
        if self.disk.lanes.read.hangs() {
            return Err(Unkept::Hangs);
        }
        let digest = *digest;
        let begun = self.write(move |store| store.ingest(&digest, length)).await;
        begun.unwrap_or(Err(Unkept::Hangs))
    }

    /// Runs `work`, which reads; `None` if the disk does not answer in time or has too much other work.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        self.run(&self.disk.lanes.read, Operation::Read, work).await
    }

    /// Runs `work`, which writes and which a client waits for; `None` if the disk does not answer in time.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        self.run(&self.disk.lanes.write, Operation::Write, work).await
    }

    /// Runs `work`, which no client waits for; `None` if the disk does not answer in time.
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
            // The disk did not fail: other work is ahead in the queue.
            Err(Undone::Busy) => None,
            Err(hangs @ Undone::Hangs) => {
                self.disk.health.failed(operation, &hangs);
                None
            }
        }
    }

    /// Calls `before` before each read. For tests, which block in it to simulate a disk that hangs.
    #[cfg(feature = "test-support")]
    pub fn before_each_read(&self, before: impl Fn() + Send + Sync + 'static) {
        self.disk.lanes.read.before_each(Box::new(before));
    }

    /// Same as [`Self::before_each_read`], for writes that a client waits for.
    #[cfg(feature = "test-support")]
    pub fn before_each_write(&self, before: impl Fn() + Send + Sync + 'static) {
        self.disk.lanes.write.before_each(Box::new(before));
    }
}

impl StoredContent {
    /// The end of the bytes from `position` on that can probably be read without waiting for the disk. The answer is
    /// valid for a few seconds, and says nothing about later bytes.
    pub fn ready_until(&self, position: usize) -> usize {
        self.opened.ready_until(position)
    }

    /// Reads the bytes from `position` up to the returned position; `None` if the disk does not answer in
    /// time.
    pub async fn make_ready(&self, store: &Store, position: usize) -> Option<usize> {
        let opened = Arc::clone(&self.opened);
        store.read(move |_| opened.make_ready(position)).await
    }

    /// Reads all bytes; `None` if the disk does not answer in time.
    pub async fn make_all_ready(&self, store: &Store) -> Option<()> {
        self.make_beginning_ready(store, self.bytes.len()).await
    }

    /// Reads the first `length` bytes, or all of them if there are fewer; `None` if the disk does not answer in time.
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
