//! Content facts on a disk: which bytes a digest stands for, which repository holds them, which
//! manifest lists which. Kept once, found by their digest, removed when room is needed, and never
//! changed. Knows nothing of trust: deleting all of it changes no verdict.
//!
//! Beside it, for whoever keeps something else in the same folder: files that are whole or not there at
//! all ([`atomic`]), the folder's one owner ([`StoreLock`]), and whether what is open is still there
//! ([`InPlace`]).

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
pub use in_place::InPlace;
pub use index::HeldAs;
pub use ingest::{Arriving, Ingest, Unkept, Whole};
pub use lock::{LockError, StoreLock};
pub use metrics::Metrics;

use self::disk::Disk;
use self::in_use::Opened;
use self::metrics::Fault;
use self::scrub::{Scrub, Step};
use crate::clock::{Clock, Timestamp};
use crate::oci::{Digest, Registry, Repository};

/// The store cannot be opened.
#[derive(Debug, Error)]
#[error("the store {} cannot be opened: {error}", .path.display())]
pub struct OpenError {
    path: PathBuf,
    error: io::Error,
}

/// What is kept. Cheap to clone; the clones are one store.
#[derive(Clone)]
pub struct Store {
    disk: Arc<Disk>,
}

/// Content that is kept. As long as it, or a piece of its bytes, is there, it is not removed.
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
    /// Where its folders cannot be made. A disk that is full, or that lets nothing be written, is no
    /// error: nothing is kept then until that is over.
    pub fn open(config: &Config, clock: Clock, metrics: &Metrics) -> Result<Self, OpenError> {
        let failed = |error| OpenError { path: config.path.clone(), error };
        let disk = Disk::new(config, clock, metrics);
        match disk.layout.make_folders().and_then(|()| disk.layout.sweep_incoming()) {
            Err(error) if !is_passing(&error) => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        disk.see_to();
        Ok(Self { disk: Arc::new(disk) })
    }

    /// Makes no folder any more while `place`, the lock of the folder, is not where it was: another process
    /// may own the folder then.
    pub fn only_while(&self, place: InPlace) {
        self.disk.layout.only_while(place);
    }

    /// The content of `digest`, if it is kept and that repository is known to hold it.
    pub fn content(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Option<StoredContent> {
        let found = self.disk.find((registry, repository), digest);
        let metrics = &self.disk.metrics;
        if found.is_some() {
            metrics.hits.inc()
        } else {
            metrics.misses.inc()
        };
        found.map(|(opened, seen)| StoredContent::new(*digest, opened, seen))
    }

    /// Whether those who read kept content keep so much of it from being removed that the next should read
    /// it by [`Self::piece`].
    pub fn is_crowded(&self) -> bool {
        self.disk.is_crowded()
    }

    /// A copy of at most `most` bytes of kept content from `position` on; `None` if it is not kept any more.
    pub fn piece(
        &self,
        (registry, repository): (&Registry, &Repository),
        digest: &Digest,
        position: u64,
        most: u64,
    ) -> Option<Bytes> {
        self.disk.piece((registry, repository), digest, position, most)
    }

    /// Whether the content is kept, whichever registry delivered it. Says nothing of who may have it.
    pub fn keeps(&self, digest: &Digest) -> bool {
        self.disk.facts.keeps(digest).unwrap_or(false)
    }

    /// Whether the content is kept and that repository is known to hold it. Does not count as a use.
    pub fn holds(&self, registry: &Registry, repository: &Repository, digest: &Digest) -> bool {
        self.disk.facts.held((registry, repository), digest).is_some()
    }

    /// Whether the content is kept and `registry` has delivered its bytes. Upstream then only needs to
    /// confirm that another repository of the same registry holds it.
    pub fn has_delivered(&self, registry: &Registry, digest: &Digest) -> bool {
        self.disk.facts.has_delivered(registry, digest)
    }

    /// Notes that, by the word of its registry, the repository holds content that is kept. Does nothing
    /// unless this registry has delivered the bytes itself: its word is no proof that it has them.
    pub fn confirm(&self, registry: &Registry, repository: &Repository, digest: &Digest) {
        self.disk.facts.confirm((registry, repository), digest);
    }

    /// Notes that the repository holds content that is kept, after its registry delivered the bytes.
    pub fn hold(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        as_what: &HeldAs,
    ) {
        self.disk.facts.hold((registry, repository), digest, as_what);
    }

    /// Whether content that is kept is known to be a manifest in that repository.
    #[cfg(any(test, feature = "test-support"))]
    pub fn is_manifest(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> bool {
        let held = self.disk.facts.held((registry, repository), digest);
        held.is_some_and(|held| matches!(held.seen, HeldAs::Manifest { .. }))
    }

    /// Notes that the manifest `parent` lists `child`, for as long as the parent is kept.
    #[cfg(any(test, feature = "test-support"))]
    pub fn link(
        &self,
        registry: &Registry,
        repository: &Repository,
        child: &Digest,
        parent: &Digest,
    ) {
        self.link_all(registry, repository, std::iter::once(*child), parent);
    }

    /// The same for many children at once.
    pub fn link_all(
        &self,
        registry: &Registry,
        repository: &Repository,
        children: impl Iterator<Item = Digest>,
        parent: &Digest,
    ) {
        self.disk.facts.link((registry, repository), children, parent);
    }

    /// The manifests of that repository which are kept and list `child`, the newest first.
    pub fn parents(
        &self,
        registry: &Registry,
        repository: &Repository,
        child: &Digest,
    ) -> Vec<Digest> {
        self.disk.facts.parents((registry, repository), child)
    }

    /// Has a manifest go last: it was served.
    pub fn keep_longest(&self, digest: &Digest) {
        self.disk.facts.served(digest);
    }

    /// Sets content aside that whoever read it found to be of another digest: it is fetched again.
    pub fn set_aside(&self, digest: &Digest) {
        self.disk.warm.clear();
        if let Some(pin) = self.disk.in_use.pin(digest) {
            self.disk.lose(&pin, Fault::Digest);
        }
    }

    /// Begins to write the content of `digest`, of `length` bytes if that is known.
    pub fn ingest(&self, digest: &Digest, length: Option<u64>) -> Result<Ingest, Unkept> {
        Ingest::begin(self.disk.clone(), digest, length)
    }

    /// Looks after what is kept until `shutdown`: to be run for as long as the store is used.
    pub async fn tend(self, shutdown: CancellationToken) {
        maintenance::tend(&self.disk, &shutdown).await;
    }

    /// Waits until the files of downloads that ended before this call are removed, for at most `most`.
    #[cfg(any(test, feature = "test-support"))]
    pub fn wait_for_removals(&self, most: Duration) {
        self.disk.removal.wait(most);
    }

    /// Does at once what [`Self::tend`] does every few seconds.
    #[cfg(any(test, feature = "test-support"))]
    pub fn look_after(&self) {
        self.disk.look_after(|| true);
    }

    /// Scrubs all that is due at `now`, as fast as the disk goes.
    #[cfg(any(test, feature = "test-support"))]
    pub fn scrub_due(&self, now: Timestamp) {
        let mut scrub = Scrub::new(self.disk.clone());
        while scrub.step(now) != Step::Idle {}
    }
}

/// Whether the disk may well be good again without anyone changing the configuration.
fn is_passing(error: &io::Error) -> bool {
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

    /// All of it. A piece of it keeps it from being removed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it was a manifest in the repository that it was asked for in.
    #[cfg(any(test, feature = "test-support"))]
    pub fn is_manifest(&self) -> bool {
        matches!(self.seen, HeldAs::Manifest { .. })
    }

    /// The content type that upstream gave, if it was a manifest there.
    pub fn content_type(&self) -> Option<&str> {
        match &self.seen {
            HeldAs::Manifest { content_type } => content_type.as_deref(),
            HeldAs::Blob => None,
        }
    }
}

/// One of those who read the same bytes.
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
