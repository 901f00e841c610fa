//! The recent decisions, found by request id. Bounded: a new decision replaces the oldest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::record::Record;
use super::request_id::RequestId;
use crate::clock::Timestamp;

/// How many denials are kept, and how many admissions.
pub const KEPT: usize = 10_000;

/// The recent decisions. Admissions never displace denials, however many there are.
#[derive(Debug)]
pub struct Recent {
    denied: Ring,
    admitted: Ring,
}

impl Default for Recent {
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl Recent {
    fn keeping(most: usize) -> Self {
        Self { denied: Ring::new(most), admitted: Ring::new(most) }
    }

    pub(super) fn keep(&self, record: Arc<Record>) {
        let ring = if record.is_admitted() { &self.admitted } else { &self.denied };
        ring.keep(record);
    }

    /// The kept denials that are no older than `age`, the newest first.
    pub fn denials(&self, now: Timestamp, age: Duration) -> Vec<Arc<Record>> {
        let mut denials = self.denied.all();
        denials.retain(|record| now.since(record.timestamp()) <= age);
        denials.sort_by_key(|record| std::cmp::Reverse(record.timestamp()));
        denials
    }

    /// The decision about the request with that id, if it is still kept.
    pub fn find(&self, id: RequestId) -> Option<Arc<Record>> {
        self.denied.find(id).or_else(|| self.admitted.find(id))
    }
}

/// A ring buffer. Each slot has a lock of its own, held only to replace or read it, so requests do not wait for
/// each other.
#[derive(Debug)]
struct Ring {
    places: Box<[Mutex<Option<Arc<Record>>>]>,
    next: AtomicUsize,
}

impl Ring {
    fn new(most: usize) -> Self {
        let places = (0..most).map(|_| Mutex::new(None)).collect();
        Self { places, next: AtomicUsize::new(0) }
    }

    fn keep(&self, record: Arc<Record>) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(place) = self.places.get(turn % self.places.len().max(1)) else { return };
        let before = place.lock().unwrap_or_else(PoisonError::into_inner).replace(record);
        // Frees the old record after the lock is released.
        drop(before);
    }

    fn all(&self) -> Vec<Arc<Record>> {
        let kept = self.places.iter();
        kept.filter_map(|place| place.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }

    fn find(&self, id: RequestId) -> Option<Arc<Record>> {
        self.places.iter().find_map(|place| {
            let place = place.lock().unwrap_or_else(PoisonError::into_inner);
            place.as_ref().filter(|record| record.request_id() == id).cloned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::undecided;
    use super::*;

    fn id(number: usize) -> RequestId {
        format!("{number:016x}").parse().unwrap()
    }

    #[test]
    fn denials_are_listed_from_the_newest_to_a_time() {
        let recent = Recent::keeping(3);
        for number in 0..4 {
            recent.keep(Arc::new(undecided(id(number), "r.example/a:1", "silence")));
        }
        let listed = recent.denials(Timestamp::from_unix(1 << 40), Duration::MAX);
        assert_eq!(listed.len(), 3);
        assert!(listed.iter().all(|record| record.request_id() != id(0)));
        assert!(recent.denials(Timestamp::from_unix(1 << 40), Duration::ZERO).is_empty());
    }

    #[test]
    fn only_the_most_recent_decisions_are_found() {
        let recent = Recent::keeping(3);
        for number in 0..4 {
            recent.keep(Arc::new(undecided(id(number), "r.example/a:1", "silence")));
        }
        assert!(recent.find(id(0)).is_none());
        for number in 1..4 {
            assert_eq!(recent.find(id(number)).unwrap().request_id(), id(number));
        }
        assert!(recent.find(id(9)).is_none());
    }
}
