//! The parts of a store on a disk, and the way from a digest to its bytes.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::facts::{Facts, Place, Seen};
use super::health::Health;
use super::in_use::{InUse, Opened, Pin};
use super::ingest::Unkept;
use super::layout::Layout;
use super::mapped::Mapped;
use super::metrics::{Fault, Metrics, Operation};
use super::room::{Reservation, Room};
use crate::clock::Clock;
use crate::oci::Digest;

pub(super) struct Disk {
    pub(super) layout: Arc<Layout>,
    pub(super) health: Arc<Health>,
    pub(super) room: Arc<Room>,
    pub(super) facts: Facts,
    pub(super) in_use: Arc<InUse>,
    pub(super) metrics: Metrics,
}

/// Why content cannot be opened.
enum Unopened {
    Fault(Fault),
    Io(io::Error),
}

impl Disk {
    pub(super) fn new(layout: Layout, max_size: u64, clock: Clock, metrics: &Metrics) -> Self {
        let layout = Arc::new(layout);
        let health = Health::new(clock.clone(), metrics.clone());
        let room = Arc::new(Room::new(max_size, metrics.bytes.clone()));
        let facts = Facts::new(layout.clone(), clock, health.clone(), room.clone());
        let in_use = Arc::default();
        Self { layout, health, room, facts, in_use, metrics: metrics.clone() }
    }

    /// Sees to it that what failed is tried again when it is time.
    pub(super) fn see_to(&self) {
        self.facts.see_to();
    }

    /// Tells of what the disk did not do.
    pub(super) fn unkept(&self, operation: Operation, error: io::Error) -> Unkept {
        self.health.failed(operation, &error);
        Unkept::Disk(error)
    }

    /// Keeps `digest` from going; waits while it goes.
    pub(super) fn pin(&self, digest: &Digest) -> Arc<Pin> {
        loop {
            if let Some(pin) = self.in_use.pin(digest) {
                return pin;
            }
            std::thread::yield_now();
        }
    }

    /// Takes `more` bytes for what is being written.
    pub(super) fn make_room(&self, room: &Reservation, more: u64) -> Result<(), Unkept> {
        if room.take(more) {
            Ok(())
        } else if room.bytes().saturating_add(more) > self.room.most() {
            Err(Unkept::TooLarge)
        } else {
            Err(Unkept::NoRoom)
        }
    }

    /// The content of `digest`, if that repository is known to hold it.
    pub(super) fn find(&self, place: Place<'_>, digest: &Digest) -> Option<(Arc<Opened>, Seen)> {
        // In this order: what is in use does not go between the one and the other.
        let pin = self.in_use.pin(digest)?;
        let held = self.facts.held(place, digest)?;
        let opened = match pin.opened(|| self.open(digest, held.length)) {
            Ok(opened) => opened,
            Err(Unopened::Fault(fault)) => {
                self.lose(digest, fault);
                return None;
            }
            Err(Unopened::Io(error)) => {
                self.health.failed(Operation::Read, &error);
                return None;
            }
        };
        self.facts.touch(digest);
        Some((opened, held.seen))
    }

    fn open(&self, digest: &Digest, length: u64) -> Result<Mapped, Unopened> {
        let file = match File::open(self.layout.content(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Unopened::Fault(Fault::Missing));
            }
            Err(error) => return Err(Unopened::Io(error)),
        };
        if file.metadata().map_err(Unopened::Io)?.len() != length {
            return Err(Unopened::Fault(Fault::Length));
        }
        Mapped::of(&file, length).map_err(Unopened::Io)
    }

    /// Content is not what it was: it is not found any more.
    pub(super) fn lose(&self, digest: &Digest, fault: Fault) {
        self.metrics.lost(fault);
        tracing::warn!(%digest, fault = fault.as_str(), "stored content is not what it was; it is fetched again");
        // Where that fails the facts are closed, and it is not found either.
        let _ = self.facts.forget(digest);
    }
}
