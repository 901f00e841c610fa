//! How much of `max_size` is taken: by content that is kept, by what is being written, and by what was
//! set aside. Nothing is written before it has its room here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

/// One content may take this fraction of `max_size` if upstream announces its length, and that fraction if it
/// does not: an endless one must not drive everything else out. In either case at least so many bytes.
const SHARE_ANNOUNCED: u64 = 2;
const SHARE_UNANNOUNCED: u64 = 4;
const LEAST_SHARE: u64 = 1 << 20;
/// The fraction of `max_size` that clients may keep from being removed while they read it.
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

/// The room of one store.
pub(super) struct Capacity {
    most: u64,
    taken: Mutex<Taken>,
    /// Shows what is kept.
    kept: Gauge,
}

/// Room for something that is being written; given back when it is dropped.
pub(super) struct Reservation {
    room: Arc<Capacity>,
    bytes: AtomicU64,
}

impl Capacity {
    pub(super) fn new(most: u64, kept: Gauge) -> Self {
        Self { most, taken: Mutex::default(), kept }
    }

    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// The most bytes that one content may take.
    pub(super) fn most_of_one(&self, announced: bool) -> u64 {
        let share = if announced { SHARE_ANNOUNCED } else { SHARE_UNANNOUNCED };
        (self.most / share).max(LEAST_SHARE).min(self.most)
    }

    /// The most bytes of content that may be kept from being removed by those who read it.
    pub(super) fn most_pinned(&self) -> u64 {
        self.most / SHARE_PINNED
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reservation of nothing yet.
    pub(super) fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { room: self.clone(), bytes: AtomicU64::new(0) }
    }

    /// What is missing before `more` bytes can be taken.
    pub(super) fn lacks(&self, more: u64) -> u64 {
        self.taken().all().saturating_add(more).saturating_sub(self.most)
    }

    /// What is kept was counted anew.
    pub(super) fn set_kept(&self, kept: u64) {
        let mut taken = self.taken();
        taken.kept = kept;
        self.show(&taken);
    }

    /// Content came, and content went.
    pub(super) fn change_kept(&self, came: u64, went: u64) {
        let mut taken = self.taken();
        taken.kept = (taken.kept + came).saturating_sub(went);
        self.show(&taken);
    }

    /// What was set aside is so much now.
    pub(super) fn set_aside(&self, aside: u64) {
        self.taken().aside = aside;
    }

    fn show(&self, taken: &Taken) {
        self.kept.set(i64::try_from(taken.kept).unwrap_or(i64::MAX));
    }
}

impl Reservation {
    /// Takes `more` bytes, if they are free.
    pub(super) fn take(&self, more: u64) -> bool {
        let mut taken = self.room.taken();
        let free = taken.all().saturating_add(more) <= self.room.most;
        if free {
            taken.writing += more;
            self.bytes.fetch_add(more, Ordering::Relaxed);
        }
        free
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Gives it all back: nothing is being written any more, or it is counted as kept.
    pub(super) fn give_back(&self) {
        let mut taken = self.room.taken();
        taken.writing -= self.bytes.swap(0, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_content_takes_a_share_that_depends_on_whether_its_length_is_known() {
        let large = Capacity::new(20 << 30, Gauge::default());
        assert_eq!(large.most_of_one(true), 10 << 30);
        assert_eq!(large.most_of_one(false), 5 << 30);
        let small = Capacity::new(1000, Gauge::default());
        assert_eq!((small.most_of_one(true), small.most_of_one(false)), (1000, 1000));
    }

    #[test]
    fn no_more_is_taken_than_there_is_and_what_is_given_back_is_free_again() {
        let room = Arc::new(Capacity::new(10, Gauge::default()));
        room.set_kept(4);
        room.set_aside(1);
        let one = room.reserve();
        assert!(one.take(2) && one.take(1) && !one.take(3));
        assert_eq!((one.bytes(), room.lacks(3)), (3, 1));
        assert_eq!(room.lacks(u64::MAX), u64::MAX - 10);
        drop(one);
        let two = room.reserve();
        assert!(two.take(5) && !two.take(1));
        room.change_kept(5, 0);
        two.give_back();
        assert!(!two.take(1));
        room.change_kept(0, 9);
        assert_eq!(room.kept.get(), 0);
        assert!(two.take(9));
    }
}
