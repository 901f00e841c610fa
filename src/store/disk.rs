//! The parts of a store, and the lookup of a digest's bytes on disk.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::capacity::Capacity;
use super::config::Config;
use super::health::Health;
use super::in_use::{InUse, Opened};
use super::index::{ContentIndex, HeldAs};
use super::ingest::Unkept;
use super::lanes::Lanes;
use super::layout::Layout;
use super::mapped::Mapped;
use super::metrics::{Fault, Metrics, Operation};
use super::published::Published;
use super::recent::Recent;
use super::removal::Removal;
use super::warm::Warm;
use crate::clock::Clock;
use crate::oci::{Digest, RepositoryRef};

pub(super) struct Disk {
    pub(super) clock: Clock,
    /// The maximum age of the last scrub of content.
    pub(super) scrub_every: Duration,
    pub(super) layout: Arc<Layout>,
    pub(super) health: Arc<Health>,
    pub(super) capacity: Arc<Capacity>,
    pub(super) index: ContentIndex,
    pub(super) in_use: Arc<InUse>,
    pub(super) recent: Recent,
    pub(super) warm: Warm,
    pub(super) published: Published,
    pub(super) lanes: Lanes,
    pub(super) removal: Arc<Removal>,
    pub(super) metrics: Metrics,
    /// Held while evicting.
    pub(super) evicting: Mutex<()>,
    /// Whether the index and the files on disk may disagree.
    pub(super) unswept: AtomicBool,
}

/// Why content cannot be opened.
pub(super) enum Unopened {
    Fault(Fault),
    Io(io::Error),
}

impl Disk {
    pub(super) fn new(config: &Config, clock: Clock, metrics: &Metrics) -> Self {
        let layout = Arc::new(Layout::new(&config.path));
        let health = Health::new(clock.clone(), metrics.clone());
        let capacity = Arc::new(Capacity::new(config.max_size, metrics.bytes.clone()));
        let index =
            ContentIndex::new(layout.clone(), clock.clone(), health.clone(), capacity.clone());
        let in_use = Arc::default();
        Self {
            clock,
            scrub_every: config.scrub_every,
            layout,
            health,
            capacity,
            index,
            in_use,
            recent: Recent::default(),
            warm: Warm::default(),
            published: Published::default(),
            lanes: Lanes::default(),
            removal: Arc::default(),
            metrics: metrics.clone(),
            evicting: Mutex::new(()),
            unswept: AtomicBool::new(false),
        }
    }

    /// Opens the index if it is closed and a retry is due.
    pub(super) fn ensure_open(&self) {
        if self.index.ensure_open() {
            self.trim_quarantine(usize::MAX);
            self.unswept.store(true, Ordering::Relaxed);
        }
    }

    /// Records a failure of the disk, and returns it as the reason why content is not stored.
    pub(super) fn unkept(&self, operation: Operation, error: io::Error) -> Unkept {
        self.health.failed(operation, &error);
        Unkept::Disk(error)
    }

    /// The content of `digest` if the repository is known to hold it.
    pub(super) fn find(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Option<(Arc<Opened>, HeldAs)> {
        // Pin first: pinned content cannot be evicted between the two steps.
        let pin = self.in_use.pin(digest)?;
        let held = self.index.held(repository, digest)?;
        let opened = pin.opened(|| self.open(digest, held.length));
        let opened = match opened.and_then(|opened| self.unchanged(opened, digest, held.length)) {
            Ok(opened) => opened,
            Err(Unopened::Fault(fault)) => {
                // If the whole folder disappeared, it may come back.
                if self.index.in_place() {
                    self.quarantine(&pin, fault);
                }
                return None;
            }
            Err(Unopened::Io(error)) => {
                self.health.failed(Operation::Read, &error);
                return None;
            }
        };
        self.index.touch(digest);
        self.recent.keep(&opened, self.clock.now());
        Some((opened, held.seen))
    }

    /// Whether readers pin so much content that further readers should copy pieces instead.
    pub(super) fn is_crowded(&self) -> bool {
        let most = self.capacity.max_pinned();
        if self.in_use.mapped() <= most {
            return false;
        }
        self.recent.clear();
        self.warm.clear();
        self.in_use.mapped() > most
    }

    /// Copies at most `most` bytes of `digest`, starting at `position`. The copy does not pin the content.
    pub(super) fn piece(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        position: u64,
        most: u64,
    ) -> Option<Bytes> {
        let _pin = self.in_use.pin(digest)?;
        let held = self.index.held(repository, digest)?;
        let length = usize::try_from(most.min(held.length.checked_sub(position)?)).ok()?;
        let file = self.open_file(digest, held.length).ok()?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, position)
            .inspect_err(|error| self.health.failed(Operation::Read, error))
            .ok()?;
        self.index.touch(digest);
        Some(bytes.into())
    }

    fn open(&self, digest: &Digest, length: u64) -> Result<Mapped, Unopened> {
        let file = self.open_file(digest, length)?;
        Mapped::of(&file, length).map_err(Unopened::Io)
    }

    /// Returns `opened` if its file still has its length. A mapped file may have been opened some time ago.
    fn unchanged(
        &self,
        opened: Arc<Opened>,
        digest: &Digest,
        length: u64,
    ) -> Result<Arc<Opened>, Unopened> {
        if !opened.is_mapped() {
            return Ok(opened);
        }
        match fs::metadata(self.layout.content(digest)) {
            Ok(file) if file.len() == length => Ok(opened),
            Ok(_) => Err(Unopened::Fault(Fault::Length)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Unopened::Fault(Fault::Missing))
            }
            Err(error) => Err(Unopened::Io(error)),
        }
    }

    /// The file of `digest`, which has `length` bytes.
    pub(super) fn open_file(&self, digest: &Digest, length: u64) -> Result<File, Unopened> {
        let opened = File::open(self.layout.content(digest))
            .and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
        match opened {
            Ok((file, is)) if is == length => Ok(file),
            Ok(_) => Err(Unopened::Fault(Fault::Length)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Unopened::Fault(Fault::Missing))
            }
            // If another path opens, the cause is not a limit of open files.
            Err(error) if File::open(self.layout.quarantine_folder()).is_ok() => {
                tracing::warn!(%digest, %error, "stored content cannot be opened");
                Err(Unopened::Fault(Fault::Unreadable))
            }
            Err(error) => Err(Unopened::Io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn content_that_nobody_reads_does_not_crowd_the_store() {
        let name = format!("countersign-crowded-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (max_size, scrub_every) = (400 << 10, Duration::from_secs(1));
        let config = Config { path: path.clone(), max_size, scrub_every };
        let store = Store::open(&config, Clock::default(), &Metrics::default()).unwrap();
        let repository = "r.example/app".parse().unwrap();
        for byte in 0..2 {
            let content = vec![byte; 150 << 10];
            let digest = Digest::of(&content);
            let mut ingest = store.ingest(&digest, None).unwrap();
            ingest.append(&content).unwrap();
            let whole = ingest.verify().unwrap();
            drop(whole.publish(&repository, HeldAs::Blob).unwrap());
            assert!(store.look_up(&repository, &digest).await.is_some());
        }
        assert!(store.disk.in_use.mapped() > store.disk.capacity.max_pinned());
        assert!(!store.is_crowded());
        std::fs::remove_dir_all(path).unwrap();
    }
}
