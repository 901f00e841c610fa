//! The parts of a store on a disk, and the way from a digest to its bytes.

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
use super::index::{ContentIndex, HeldAs, Place};
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
use crate::oci::Digest;

pub(super) struct Disk {
    pub(super) clock: Clock,
    /// How old the last scrub of content may become.
    pub(super) scrub_every: Duration,
    pub(super) layout: Arc<Layout>,
    pub(super) health: Arc<Health>,
    pub(super) room: Arc<Capacity>,
    pub(super) facts: ContentIndex,
    pub(super) in_use: Arc<InUse>,
    pub(super) recent: Recent,
    pub(super) warm: Warm,
    pub(super) published: Published,
    pub(super) lanes: Lanes,
    pub(super) removal: Arc<Removal>,
    pub(super) metrics: Metrics,
    /// Held by whoever makes room.
    pub(super) evicting: Mutex<()>,
    /// What is on the disk may not be what is known of.
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
        let room = Arc::new(Capacity::new(config.max_size, metrics.bytes.clone()));
        let facts = ContentIndex::new(layout.clone(), clock.clone(), health.clone(), room.clone());
        let in_use = Arc::default();
        Self {
            clock,
            scrub_every: config.scrub_every,
            layout,
            health,
            room,
            facts,
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

    /// Sees to it that what failed is tried again when it is time.
    pub(super) fn see_to(&self) {
        if self.facts.see_to() {
            self.count_rotten(usize::MAX);
            self.unswept.store(true, Ordering::Relaxed);
        }
    }

    /// Tells of what the disk did not do.
    pub(super) fn unkept(&self, operation: Operation, error: io::Error) -> Unkept {
        self.health.failed(operation, &error);
        Unkept::Disk(error)
    }

    /// The content of `digest`, if that repository is known to hold it.
    pub(super) fn find(&self, place: Place<'_>, digest: &Digest) -> Option<(Arc<Opened>, HeldAs)> {
        // In this order: what is in use does not go between the one and the other.
        let pin = self.in_use.pin(digest)?;
        let held = self.facts.held(place, digest)?;
        let opened = pin.opened(|| self.open(digest, held.length));
        let opened = match opened.and_then(|opened| self.unchanged(opened, digest, held.length)) {
            Ok(opened) => opened,
            Err(Unopened::Fault(fault)) => {
                // Where everything is gone, it may come back.
                if self.facts.in_place() {
                    self.lose(&pin, fault);
                }
                return None;
            }
            Err(Unopened::Io(error)) => {
                self.health.failed(Operation::Read, &error);
                return None;
            }
        };
        self.facts.touch(digest);
        self.recent.keep(&opened, self.clock.now());
        Some((opened, held.seen))
    }

    /// Whether those who read content keep so much of it from being removed that others should not.
    pub(super) fn is_crowded(&self) -> bool {
        let most = self.room.most_pinned();
        if self.in_use.mapped() <= most {
            return false;
        }
        self.recent.clear();
        self.warm.clear();
        self.in_use.mapped() > most
    }

    /// A copy of at most `most` bytes of `digest` from `position` on, which keeps nothing from being removed.
    pub(super) fn piece(
        &self,
        place: Place<'_>,
        digest: &Digest,
        position: u64,
        most: u64,
    ) -> Option<Bytes> {
        let _pin = self.in_use.pin(digest)?;
        let held = self.facts.held(place, digest)?;
        let length = usize::try_from(most.min(held.length.checked_sub(position)?)).ok()?;
        let file = self.open_file(digest, held.length).ok()?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, position)
            .inspect_err(|error| self.health.failed(Operation::Read, error))
            .ok()?;
        self.facts.touch(digest);
        Some(bytes.into())
    }

    fn open(&self, digest: &Digest, length: u64) -> Result<Mapped, Unopened> {
        let file = self.open_file(digest, length)?;
        Mapped::of(&file, length).map_err(Unopened::Io)
    }

    /// What is mapped may have been opened some time ago: `opened`, if its file still has its length.
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
            // Where something else can be opened, it is not that too many files are open.
            Err(error) if File::open(self.layout.rotten_folder()).is_ok() => {
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
    async fn content_that_nobody_reads_any_more_is_no_crowd() {
        let name = format!("countersign-crowded-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (max_size, scrub_every) = (400 << 10, Duration::from_secs(1));
        let config = Config { path: path.clone(), max_size, scrub_every };
        let store = Store::open(&config, Clock::default(), &Metrics::default()).unwrap();
        let (registry, repository) = ("r.example".parse().unwrap(), "app".parse().unwrap());
        for byte in 0..2 {
            let content = vec![byte; 150 << 10];
            let digest = Digest::of(&content);
            let mut ingest = store.ingest(&digest, None).unwrap();
            ingest.append(&content).unwrap();
            let whole = ingest.verify().unwrap();
            drop(whole.publish(&registry, &repository, HeldAs::Blob).unwrap());
            assert!(store.look_up(&registry, &repository, &digest).await.is_some());
        }
        assert!(store.disk.in_use.mapped() > store.disk.room.most_pinned());
        assert!(!store.is_crowded());
        std::fs::remove_dir_all(path).unwrap();
    }
}
