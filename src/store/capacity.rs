//! Tracks how much of `max_size` is used by stored content, by content that is being written, and by
//! quarantined files. Space is reserved here before anything is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

/// One content may take 1/`SHARE_ANNOUNCED` of `max_size` if upstream announces its length, otherwise
/// 1/`SHARE_UNANNOUNCED`: an endless body must not evict everything else. It may always take `LEAST_SHARE` bytes.
const SHARE_ANNOUNCED: u64 = 2;
const SHARE_UNANNOUNCED: u64 = 4;
const LEAST_SHARE: u64 = 1 << 20;
/// Readers may pin 1/`SHARE_PINNED` of `max_size`.
const SHARE_PINNED: u64 = 2;

#[derive(Default)]
struct Taken {
    kept: u64,
    writing: u64,
    aside: u64,
}

impl Taken {
    fn all(&self) -> u64 {
        self.kept + self.writing + self.aside
    }
}

/// The capacity of one store.
pub(super) struct Capacity {
    max: u64,
    taken: Mutex<Taken>,
    /// The metric of stored bytes.
    kept: Gauge,
}

/// Reserved space for content that is being written. Dropping it releases the space.
pub(super) struct Reservation {
    capacity: Arc<Capacity>,
    bytes: AtomicU64,
}

impl Capacity {
    pub(super) fn new(max: u64, kept: Gauge) -> Self {
        Self { max, taken: Mutex::default(), kept }
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// The maximum length of one content, in bytes.
    pub(super) fn max_content(&self, announced: bool) -> u64 {
        let share = if announced { SHARE_ANNOUNCED } else { SHARE_UNANNOUNCED };
        (self.max / share).max(LEAST_SHARE).min(self.max)
    }

    /// The maximum number of bytes that readers may pin.
    pub(super) fn max_pinned(&self) -> u64 {
        self.max / SHARE_PINNED
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an empty reservation.
    pub(super) fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { capacity: self.clone(), bytes: AtomicU64::new(0) }
    }

    /// How many bytes must be freed before `more` bytes can be reserved.
    pub(super) fn shortfall(&self, more: u64) -> u64 {
        self.taken().all().saturating_add(more).saturating_sub(self.max)
    }

    /// Sets the size of the stored content after it was counted.
    pub(super) fn set_kept(&self, kept: u64) {
        let mut taken = self.taken();
        taken.kept = kept;
        self.show(&taken);
    }

    /// Updates the size of the stored content.
    pub(super) fn change_kept(&self, added: u64, removed: u64) {
        let mut taken = self.taken();
        taken.kept = (taken.kept + added).saturating_sub(removed);
        self.show(&taken);
    }

    /// Sets the size of the quarantined files.
    pub(super) fn set_aside(&self, aside: u64) {
        self.taken().aside = aside;
    }

    fn show(&self, taken: &Taken) {
        self.kept.set(i64::try_from(taken.kept).unwrap_or(i64::MAX));
    }
}

impl Reservation {
    /// Reserves `more` bytes. Returns whether they were free.
    pub(super) fn take(&self, more: u64) -> bool {
        let mut taken = self.capacity.taken();
        let free = taken.all().saturating_add(more) <= self.capacity.max;
        if free {
            taken.writing += more;
            self.bytes.fetch_add(more, Ordering::Relaxed);
        }
        free
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Releases the whole reservation: the write ended, or its bytes now count as stored content.
    pub(super) fn release(&self) {
        let mut taken = self.capacity.taken();
        taken.writing -= self.bytes.swap(0, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_content_length_depends_on_an_announced_length() {
        let large = Capacity::new(20 << 30, Gauge::default());
        assert_eq!(large.max_content(true), 10 << 30);
        assert_eq!(large.max_content(false), 5 << 30);
        let small = Capacity::new(1000, Gauge::default());
        assert_eq!((small.max_content(true), small.max_content(false)), (1000, 1000));
    }

    #[test]
    fn reservations_never_exceed_the_capacity_and_release_their_bytes() {
        let capacity = Arc::new(Capacity::new(10, Gauge::default()));
        capacity.set_kept(4);
        capacity.set_aside(1);
        let one = capacity.reserve();
        assert!(one.take(2) && one.take(1) && !one.take(3));
        assert_eq!((one.bytes(), capacity.shortfall(3)), (3, 1));
        assert_eq!(capacity.shortfall(u64::MAX), u64::MAX - 10);
        drop(one);
        let two = capacity.reserve();
        assert!(two.take(5) && !two.take(1));
        capacity.change_kept(5, 0);
        two.release();
        assert!(!two.take(1));
        capacity.change_kept(0, 9);
        assert_eq!(capacity.kept.get(), 0);
        assert!(two.take(9));
    }
}
