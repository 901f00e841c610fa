//! Stores content facts on disk: the bytes of each digest, the repositories that hold them, and the
//! manifests that list them. Content is stored once, found by its digest, evicted when space is needed,
//! and never changed. The store knows nothing about trust: deleting all of it changes no verdict.
//!
//! Other modules that keep files in the same folder can use three parts: files that are written
//! completely or not at all ([`atomic`]), the lock of the folder ([`StoreLock`]), and a check that an
//! open file is still at its path ([`InPlace`]).

pub mod atomic;
mod config;
mod disk;
mod evict;
mod index;
mod health;
mod in_place;
mod in_use;
mod ingest;
mod lane;
mod lanes;
mod layout;
mod listing;
mod lock;
mod mapped;
mod metrics;
mod published;
mod recent;
mod removal;
mod capacity;
mod quarantine;
mod scrub;
mod sweep;
mod maintenance;
mod touched;
mod warm;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use health::MemoryHealth;
pub use in_place::InPlace;
pub use index::HeldAs;
pub use ingest::{Arriving, Ingest, Unkept, Whole};
pub use lane::{Lane, Undone};
pub use listing::{digests, has_file};
pub use lock::{LockError, StoreLock};
pub use metrics::Metrics;

use self::disk::Disk;
use self::in_use::Opened;
use self::metrics::Fault;
use self::scrub::{Scrub, Step};
use crate::clock::{Clock, Timestamp};
use crate::oci::{Digest, Registry, RepositoryRef};

/// The store cannot be opened.
#[derive(Debug, Error)]
#[error("the store {} cannot be opened: {error}", .path.display())]
pub struct OpenError {
    path: PathBuf,
    error: io::Error,
}

/// A store of content on disk. Cheap to clone; all clones share one store.
#[derive(Clone)]
pub struct Store {
    disk: Arc<Disk>,
}

/// Stored content. The store does not evict it while this value or a slice of its bytes exists.
#[derive(Clone)]
pub struct StoredContent {
    digest: Digest,
    bytes: Bytes,
    opened: Arc<Opened>,
    seen: HeldAs,
}

impl Store {
    /// Opens the store in the folder of `config`, whose [`StoreLock`] the caller holds.
    ///
    /// # Errors
    ///
    /// The folders cannot be created. A full or read-only disk is not an error: the store then keeps
    /// nothing until the disk can be written to again.
    pub fn open(config: &Config, clock: Clock, metrics: &Metrics) -> Result<Self, OpenError> {
        let failed = |error| OpenError { path: config.path.clone(), error };
        let disk = Disk::new(config, clock, metrics);
        match disk.layout.make_folders().and_then(|()| disk.layout.sweep_incoming()) {
            Err(error) if !is_transient(&error) => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        disk.ensure_open();
        Ok(Self { disk: Arc::new(disk) })
    }

    /// Creates no more folders while `place`, the lock file of the folder, is not at its path: another
    /// process may own the folder then.
    pub fn only_while(&self, place: InPlace) {
        self.disk.layout.only_while(place);
    }

    /// Where the writes of trust memory, which is in the same folder, are reported.
    pub fn memory_health(&self) -> MemoryHealth {
        MemoryHealth::new(self.disk.health.clone())
    }

    /// Returns the content of `digest` if it is stored and the repository is known to hold it.
    pub fn content(&self, repository: &RepositoryRef, digest: &Digest) -> Option<StoredContent> {
        let found = self.disk.find(repository, digest);
        let metrics = &self.disk.metrics;
        if found.is_some() {
            metrics.hits.inc()
        } else {
            metrics.misses.inc()
        };
        found.map(|(opened, seen)| StoredContent::new(*digest, opened, seen))
    }

    /// Marks the content of `digest` as recently used, if it is stored and the repository is known to hold it. Returns whether
    /// it is. It counts as neither a hit nor a miss.
    pub fn mark_used(&self, repository: &RepositoryRef, digest: &Digest) -> bool {
        self.disk.find(repository, digest).is_some()
    }

    /// Whether readers pin so much content that further readers should use [`Self::piece`] instead.
    pub fn is_crowded(&self) -> bool {
        self.disk.is_crowded()
    }

    /// Copies at most `most` bytes of stored content, starting at `position`; `None` if the content was evicted.
    pub fn piece(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        position: u64,
        most: u64,
    ) -> Option<Bytes> {
        self.disk.piece(repository, digest, position, most)
    }

    /// Whether the content is stored, whichever registry delivered it. Does not say which repository may
    /// serve it.
    pub fn keeps(&self, digest: &Digest) -> bool {
        self.disk.index.keeps(digest).unwrap_or(false)
    }

    /// Whether the content is stored and the repository is known to hold it. Does not count as a use.
    pub fn holds(&self, repository: &RepositoryRef, digest: &Digest) -> bool {
        self.disk.index.held(repository, digest).is_some()
    }

    /// Whether the content is stored and `registry` has delivered its bytes. Upstream then only needs to
    /// confirm that another repository of the same registry holds it.
    pub fn has_delivered(&self, registry: &Registry, digest: &Digest) -> bool {
        self.disk.index.has_delivered(registry, digest)
    }

    /// Records that the repository holds stored content, according to its registry. Does nothing unless
    /// this registry has delivered the bytes itself: a claim does not prove that it has them.
    pub fn confirm(&self, repository: &RepositoryRef, digest: &Digest) {
        self.disk.index.confirm(repository, digest);
    }

    /// Records that the repository holds stored content, after its registry delivered the bytes.
    pub fn hold(&self, repository: &RepositoryRef, digest: &Digest, as_what: &HeldAs) {
        self.disk.index.hold(repository, digest, as_what);
    }

    /// Whether stored content is known to be a manifest in the repository.
    #[cfg(feature = "test-support")]
    pub fn is_manifest(&self, repository: &RepositoryRef, digest: &Digest) -> bool {
        let held = self.disk.index.held(repository, digest);
        held.is_some_and(|held| matches!(held.seen, HeldAs::Manifest { .. }))
    }

    /// Records that the manifest `parent` lists `child`. The record lasts as long as the parent is stored.
    #[cfg(feature = "test-support")]
    pub fn link(&self, repository: &RepositoryRef, child: &Digest, parent: &Digest) {
        self.link_all(repository, std::iter::once(*child), parent);
    }

    /// Same as [`Self::link`], for many children at once.
    pub fn link_all(
        &self,
        repository: &RepositoryRef,
        children: impl Iterator<Item = Digest>,
        parent: &Digest,
    ) {
        self.disk.index.link(repository, children, parent);
    }

    /// The stored manifests of the repository that list `child`, newest first.
    pub fn parents(&self, repository: &RepositoryRef, child: &Digest) -> Vec<Digest> {
        self.disk.index.parents(repository, child)
    }

    /// Marks a manifest as served, so that it is evicted last.
    pub fn keep_longest(&self, digest: &Digest) {
        self.disk.index.served(digest);
    }

    /// Quarantines content whose bytes a reader found to have another digest. It is fetched again.
    pub fn set_aside(&self, digest: &Digest) {
        self.disk.warm.clear();
        if let Some(pin) = self.disk.in_use.pin(digest) {
            self.disk.quarantine(&pin, Fault::Digest);
        }
    }

    /// Starts to write the content of `digest`, which has `length` bytes if the length is known.
    pub fn ingest(&self, digest: &Digest, length: Option<u64>) -> Result<Ingest, Unkept> {
        Ingest::begin(self.disk.clone(), digest, length)
    }

    /// Runs the maintenance of the store until `shutdown`. Run it as long as the store is used.
    pub async fn tend(self, shutdown: CancellationToken) {
        maintenance::run(&self.disk, &shutdown).await;
    }

    /// Waits at most `most` until the files of downloads that ended before this call are removed.
    #[cfg(feature = "test-support")]
    pub fn wait_for_removals(&self, most: Duration) {
        self.disk.removal.wait(most);
    }

    /// Runs once what [`Self::tend`] runs every few seconds.
    #[cfg(feature = "test-support")]
    pub fn look_after(&self) {
        self.disk.maintain(|| true);
    }

    /// Scrubs everything that is due at `now`, as fast as the disk allows.
    #[cfg(feature = "test-support")]
    pub fn scrub_due(&self, now: Timestamp) {
        let mut scrub = Scrub::new(self.disk.clone());
        while scrub.step(now) != Step::Idle {}
    }
}

/// Whether the error may disappear without a change of the configuration.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

impl StoredContent {
    fn new(digest: Digest, opened: Arc<Opened>, seen: HeldAs) -> Self {
        Self { digest, bytes: Bytes::from_owner(Shared(opened.clone())), opened, seen }
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// All bytes. A slice of them keeps the content from being evicted.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether the repository of the request holds this content as a manifest.
    #[cfg(feature = "test-support")]
    pub fn is_manifest(&self) -> bool {
        matches!(self.seen, HeldAs::Manifest { .. })
    }

    /// The content type that upstream sent, if the content is a manifest there.
    pub fn content_type(&self) -> Option<&str> {
        match &self.seen {
            HeldAs::Manifest { content_type } => content_type.as_deref(),
            HeldAs::Blob => None,
        }
    }
}

/// One reader of shared bytes.
struct Shared(Arc<Opened>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl fmt::Debug for StoredContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredContent")
            .field("digest", &self.digest)
            .field("length", &self.bytes.len())
            .field("seen", &self.seen)
            .finish()
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving").finish_non_exhaustive()
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").finish_non_exhaustive()
    }
}
